"""NAdam: Adam with Nesterov's momentum folded into its corrected average."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from losslab.optimizers.adam import MOMENT_TERMS, MOMENTS
from losslab.optimizers.method import COMMON_TERMS, GRADIENT, Decay, Method

if TYPE_CHECKING:
    import torch


class NAdam(Method):
    """NAdam with the paper's momentum schedule; the rule is torch's."""

    title: ClassVar[str] = "NAdam"
    equations: ClassVar[tuple[str, ...]] = (
        GRADIENT,
        r"\mu_t = \beta_1 \left(1 - \frac{1}{2} \cdot 0.96^{\,t \psi}\right)",
        *MOMENTS,
        r"\hat{m}_t = \frac{\mu_{t+1}\, m_t}{1 - \prod_{i=1}^{t+1} \mu_i}"
        r" + \frac{(1 - \mu_t)\, g_t}{1 - \prod_{i=1}^{t} \mu_i}, \quad \hat{v}_t = \frac{v_t}{1 - \beta_2^t}",
        r"\theta_t = \theta_{t-1} - \eta\, \frac{\hat{m}_t}{\sqrt{\hat{v}_t} + \epsilon}",
    )
    terms: ClassVar[dict[str, str]] = (
        COMMON_TERMS
        | MOMENT_TERMS
        | {
            r"\mu_t": "the momentum of step t; it rises from half of its final value",
            r"\psi": "how fast it rises (momentum_decay)",
            r"\hat{m}_t": "the corrected average with the next step's momentum already applied",
        }
    )
    differences: ClassVar[str] = (
        "torch: the rule and its defaults (lr 0.002, eps 1e-8, momentum_decay 0.004). torch keeps the running product "
        "of the momenta in float32 unless float64 is its default type. "
        "Keras: lr 0.001, eps 1e-7, and no momentum_decay, so momentum rises 250 times faster (as if it were 1)."
    )
    versus_rmsprop: ClassVar[str] = (
        "As Adam, and the momentum is applied one step ahead. The gradient is still taken at the weights, which is why "
        "NAdam is not RMSProp with Nesterov momentum."
    )
    reference: ClassVar[str] = (
        "Dozat 2016, Incorporating Nesterov Momentum into Adam, ICLR workshop, Algorithm 2"
    )
    default_lr: ClassVar[float] = 0.002
    compiles: ClassVar[bool] = True

    name: Literal["nadam"] = "nadam"
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.999),
        description="decays of the averages of gradients and of squares; torch's defaults",
    )
    eps: float = Field(1e-8, gt=0, description="added to the corrected root; torch's default")
    momentum_decay: float = Field(
        4e-3, ge=0, description="how fast momentum rises; torch's default"
    )

    def build(self, groups: Iterable[dict[str, Any]], lr: float) -> "torch.optim.Optimizer":
        """torch's rule in blocks; torch has no fused step of it."""
        from losslab.optimizers._nadam_step import NAdamStep

        return NAdamStep(groups, lr=lr, **self.model_dump(exclude={"name"}))
