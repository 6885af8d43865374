"""SGD, plain, with heavy-ball momentum or with Nesterov's."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from losslab.optimizers.method import (
    COMMON_TERMS,
    GRADIENT,
    Decay,
    Method,
    fused_on_cpu,
    listed,
)

if TYPE_CHECKING:
    import torch


class SGD(Method):
    """Stochastic gradient descent; the rule is torch's, fused on the CPU."""

    title: ClassVar[str] = "SGD"
    equations: ClassVar[tuple[str, ...]] = (
        GRADIENT,
        r"b_t = \mu\, b_{t-1} + g_t",
        r"\theta_t = \theta_{t-1} - \eta\, b_t \quad \text{or, with nesterov,}",
        r"\theta_t = \theta_{t-1} - \eta\, (g_t + \mu\, b_t)",
    )
    terms: ClassVar[dict[str, str]] = COMMON_TERMS | {
        r"b_t": "the accumulated gradient, 0 at the start",
        r"\mu": "how much of it is kept each step (momentum), 0 for plain SGD",
    }
    differences: ClassVar[str] = (
        "torch: the rule and its defaults (lr 0.001, no momentum). The paper and Keras (lr 0.01) accumulate the step, "
        "learning rate included, where torch accumulates the gradient: the same while lr is constant, but after a drop "
        "of lr torch's old velocity shrinks with it. With nesterov all three hold the look-ahead point in the weights."
    )
    versus_rmsprop: ClassVar[str] = (
        "One learning rate serves all weights; no gradient is divided by its own size."
    )
    reference: ClassVar[str] = "Sutskever et al. 2013, ICML, section 2; heavy ball: Polyak 1964"
    default_lr: ClassVar[float] = 0.001

    name: Literal["sgd"] = "sgd"
    momentum: Decay = Field(
        0.0, description="decay of the accumulated gradient; torch's default"
    )
    nesterov: bool = Field(
        False, description="take the gradient at the look-ahead point; torch's default"
    )

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("`nesterov` (=True) needs `momentum` (=0.0) above 0; 0.9 is usual")
        return self

    def build(self, groups: Iterable[dict[str, Any]], lr: float) -> "torch.optim.Optimizer":
        """`torch.optim.SGD` with these hyperparameters."""
        import torch

        groups = listed(groups)
        return torch.optim.SGD(
            groups,
            lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=0.0,
            fused=fused_on_cpu(groups),
        )
