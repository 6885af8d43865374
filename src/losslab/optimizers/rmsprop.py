"""RMSProp: the gradient divided by the root of the moving average of its square."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from losslab.optimizers.method import COMMON_TERMS, GRADIENT, Decay, Method

if TYPE_CHECKING:
    import torch


class RMSProp(Method):
    """RMSProp: plain, with heavy-ball momentum, centred, or both; the rule is torch's."""

    title: ClassVar[str] = "RMSProp"
    equations: ClassVar[tuple[str, ...]] = (
        GRADIENT,
        r"v_t = \rho\, v_{t-1} + (1 - \rho)\, g_t^2",
        r"\theta_t = \theta_{t-1} - \frac{\eta}{\sqrt{v_t} + \epsilon}\, g_t",
    )
    terms: ClassVar[dict[str, str]] = COMMON_TERMS | {
        r"v_t": "the moving average of squared gradients, 0 at the start",
        r"\rho": "how much of that average is kept each step (rho)",
        r"\epsilon": "a small number that keeps the quotient finite (eps)",
    }
    differences: ClassVar[str] = (
        "torch: the rule and its defaults (lr 0.01, alpha 0.99, which is rho here, eps 1e-8 outside the root). "
        "Keras: lr 0.001, rho 0.9, eps 1e-7 inside the root. The lecture has rho 0.9 and no eps."
    )
    reference: ClassVar[str] = (
        "Tieleman & Hinton 2012, Neural Networks for Machine Learning, lecture 6.5"
    )
    default_lr: ClassVar[float] = 0.01
    compiles: ClassVar[bool] = True

    name: Literal["rmsprop"] = "rmsprop"
    rho: Decay = Field(
        0.99, description="decay of the average of squared gradients; torch's default (alpha)"
    )
    eps: float = Field(
        1e-8, gt=0, description="added to the root of the average; torch's default"
    )
    momentum: Decay = Field(
        0.0, description="decay of the accumulated quotients (heavy ball); torch's default"
    )
    centered: bool = Field(
        False, description="subtract the square of the average gradient; torch's default"
    )

    def build(self, groups: Iterable[dict[str, Any]], lr: float) -> "torch.optim.Optimizer":
        """torch's rule in blocks; torch has no fused step of it."""
        from losslab.optimizers._rmsprop_step import RMSPropStep

        return RMSPropStep(groups, lr=lr, **self.model_dump(exclude={"name"}))
