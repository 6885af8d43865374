"""AdaGrad: each weight's step shrinks with all the squared gradients it has seen."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from losslab.optimizers.method import COMMON_TERMS, GRADIENT, Method, fused_on_cpu, listed

if TYPE_CHECKING:
    import torch


class AdaGrad(Method):
    """AdaGrad in its diagonal form; the rule is torch's, fused on the CPU."""

    title: ClassVar[str] = "AdaGrad"
    equations: ClassVar[tuple[str, ...]] = (
        GRADIENT,
        r"G_t = G_{t-1} + g_t^2",
        r"\theta_t = \theta_{t-1} - \frac{\eta}{\sqrt{G_t} + \epsilon}\, g_t",
    )
    terms: ClassVar[dict[str, str]] = COMMON_TERMS | {
        r"G_t": "the sum of all squared gradients so far; it only grows, so steps only shrink",
        r"G_0": "what that sum starts from (initial_accumulator_value)",
        r"\epsilon": "a small number that keeps the quotient finite (eps)",
    }
    differences: ClassVar[str] = (
        "torch: the rule and its defaults (lr 0.01, eps 1e-10, sum starting at 0). "
        "Keras: lr 0.001, eps 1e-7 inside the root, sum starting at 0.1."
    )
    versus_rmsprop: ClassVar[str] = (
        "AdaGrad sums all squared gradients since the start, each with the same weight, where RMSProp averages the "
        "recent ones. Its steps therefore shrink for ever, about as one over the root of the step count, while "
        "RMSProp's recover when gradients become small."
    )
    reference: ClassVar[str] = (
        "Duchi, Hazan & Singer 2011, JMLR 12:2121-2159, section 1.1, diagonal form"
    )
    default_lr: ClassVar[float] = 0.01

    name: Literal["adagrad"] = "adagrad"
    eps: float = Field(1e-10, gt=0, description="added to the root of the sum; torch's default")
    initial_accumulator_value: float = Field(
        0.0, ge=0, description="start of the sum of squares; torch's default, and the paper's"
    )

    def build(self, groups: Iterable[dict[str, Any]], lr: float) -> "torch.optim.Optimizer":
        """`torch.optim.Adagrad` with these hyperparameters."""
        import torch

        groups = listed(groups)
        return torch.optim.Adagrad(
            groups,
            lr,
            eps=self.eps,
            initial_accumulator_value=self.initial_accumulator_value,
            weight_decay=0.0,  # of groups that name none; those that decay bring their own
            fused=fused_on_cpu(groups),
        )
