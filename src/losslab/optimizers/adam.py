"""Adam: a moving average of gradients over the root of one of their squares, both corrected for their start."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

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

MOMENTS = (
    r"m_t = \beta_1\, m_{t-1} + (1 - \beta_1)\, g_t",
    r"v_t = \beta_2\, v_{t-1} + (1 - \beta_2)\, g_t^2",
)
"""The two moving averages that Adam and its relatives share."""

MOMENT_TERMS = {
    r"m_t": "the moving average of gradients, 0 at the start",
    r"v_t": "the moving average of squared gradients, 0 at the start",
    r"\beta_1": "how much of the average of gradients is kept each step (betas[0])",
    r"\beta_2": "how much of the average of squares is kept each step (betas[1])",
    r"\hat{m}_t": "the average of gradients, corrected for starting at 0",
    r"\hat{v}_t": "the average of squares, corrected for starting at 0",
    r"\epsilon": "a small number that keeps the quotient finite (eps)",
}
"""Their symbols."""

AMSGRAD_FIELD = Field(
    False,
    description="divide by the largest average of squares so far (AMSGrad); torch's default, the paper has none",
)
"""Reddi, Kale & Kumar 2018, arXiv:1904.09237, Algorithm 2."""


class Adam(Method):
    """Adam, with AMSGrad where wanted; the rule is torch's, fused on the CPU."""

    title: ClassVar[str] = "Adam"
    equations: ClassVar[tuple[str, ...]] = (
        GRADIENT,
        *MOMENTS,
        r"\hat{m}_t = \frac{m_t}{1 - \beta_1^t}, \quad \hat{v}_t = \frac{v_t}{1 - \beta_2^t}",
        r"\theta_t = \theta_{t-1} - \eta\, \frac{\hat{m}_t}{\sqrt{\hat{v}_t} + \epsilon}",
    )
    terms: ClassVar[dict[str, str]] = COMMON_TERMS | MOMENT_TERMS
    differences: ClassVar[str] = (
        "torch: the rule and its defaults (lr 0.001, betas 0.9 and 0.999, eps 1e-8), which are the paper's. "
        "Keras: eps 1e-7, added to the root before its correction (the paper's eps-hat form)."
    )
    versus_rmsprop: ClassVar[str] = (
        "Adam keeps RMSProp's moving average of squared gradients and makes two changes. First, what it divides "
        "is a moving average of gradients, not the last gradient alone: momentum. Second, both averages "
        "start at 0 and are too small at first; Adam corrects each for that, RMSProp does not. So Adam's first "
        "step is as long as lr, while RMSProp's is lr over the root of 1 - rho, 10 times lr at rho 0.99."
    )
    reference: ClassVar[str] = "Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1"
    default_lr: ClassVar[float] = 0.001

    name: Literal["adam"] = "adam"
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.999),
        description="decays of the averages of gradients and of squares; the paper's defaults",
    )
    eps: float = Field(
        1e-8, gt=0, description="added to the corrected root; the paper's default"
    )
    amsgrad: bool = AMSGRAD_FIELD

    def build(self, groups: Iterable[dict[str, Any]], lr: float) -> "torch.optim.Optimizer":
        """`torch.optim.Adam` with these hyperparameters."""
        import torch

        groups = listed(groups)
        options = self.model_dump(exclude={"name"})
        return torch.optim.Adam(
            groups, lr, **options, weight_decay=0.0, fused=fused_on_cpu(groups)
        )
