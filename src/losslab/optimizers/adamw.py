"""AdamW: Adam whose weights decay apart from the gradient."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from losslab.optimizers.adam import AMSGRAD_FIELD, MOMENT_TERMS, MOMENTS
from losslab.optimizers.method import COMMON_TERMS, Decay, Method, fused_on_cpu, listed

if TYPE_CHECKING:
    import torch


class AdamW(Method):
    """Adam with decoupled weight decay; the rule is torch's, fused on the CPU. Weight decay comes from the groups."""

    title: ClassVar[str] = "AdamW"
    equations: ClassVar[tuple[str, ...]] = (
        r"g_t = \nabla L(\theta_{t-1})",
        *MOMENTS,
        r"\hat{m}_t = \frac{m_t}{1 - \beta_1^t}, \quad \hat{v}_t = \frac{v_t}{1 - \beta_2^t}",
        r"\theta_t = (1 - \eta\, \lambda)\, \theta_{t-1} - \eta\, \frac{\hat{m}_t}{\sqrt{\hat{v}_t} + \epsilon}",
    )
    terms: ClassVar[dict[str, str]] = (
        COMMON_TERMS
        | MOMENT_TERMS
        | {
            r"g_t": "the gradient of the loss alone; squares, roots and quotients are taken weight by weight",
            r"\lambda": "the rate at which weights decay, times the learning rate (weight_decay), 0 for none",
        }
    )
    differences: ClassVar[str] = (
        "torch: the rule and its defaults, except that weight_decay is 0.01 there and here what the run says. "
        "Keras: weight_decay 0.004, eps 1e-7 in the eps-hat form. "
        "The paper's decay is not multiplied by the base learning rate, only by the schedule."
    )
    versus_rmsprop: ClassVar[str] = (
        "As Adam; besides, the weights decay at a rate of their own, which the division by the root does not change."
    )
    reference: ClassVar[str] = "Loshchilov & Hutter 2019, arXiv:1711.05101, Algorithm 2"
    default_lr: ClassVar[float] = 0.001

    name: Literal["adamw"] = "adamw"
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.999),
        description="decays of the averages of gradients and of squares; the paper's defaults",
    )
    eps: float = Field(
        1e-8, gt=0, description="added to the corrected root; the paper's default"
    )
    amsgrad: bool = AMSGRAD_FIELD

    def build(self, groups: Iterable[dict[str, Any]], lr: float) -> "torch.optim.Optimizer":
        """`torch.optim.AdamW` with these hyperparameters."""
        import torch

        groups = listed(groups)
        options = self.model_dump(exclude={"name"})
        return torch.optim.AdamW(
            groups, lr, **options, weight_decay=0.0, fused=fused_on_cpu(groups)
        )
