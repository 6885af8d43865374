"""AdaDelta: RMSProp whose learning rate is the size of its own recent updates."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from losslab.optimizers.method import COMMON_TERMS, GRADIENT, Decay, Method

if TYPE_CHECKING:
    import torch


class AdaDelta(Method):
    """AdaDelta; the rule is torch's, which multiplies the paper's update by lr."""

    title: ClassVar[str] = "AdaDelta"
    equations: ClassVar[tuple[str, ...]] = (
        GRADIENT,
        r"v_t = \rho\, v_{t-1} + (1 - \rho)\, g_t^2",
        r"\Delta_t = - \frac{\sqrt{w_{t-1} + \epsilon}}{\sqrt{v_t + \epsilon}}\, g_t",
        r"w_t = \rho\, w_{t-1} + (1 - \rho)\, \Delta_t^2",
        r"\theta_t = \theta_{t-1} + \eta\, \Delta_t",
    )
    terms: ClassVar[dict[str, str]] = COMMON_TERMS | {
        r"v_t": "the moving average of squared gradients, 0 at the start",
        r"\Delta_t": "the update that the paper applies as it is",
        r"w_t": "the moving average of squared updates, 0 at the start",
        r"\rho": "how much of both averages is kept each step (rho)",
        r"\epsilon": "a number inside both roots (eps); it sets the size of the first steps",
        r"\eta": "a factor on the update (lr); the paper has none, which is 1",
    }
    differences: ClassVar[str] = (
        "torch: the rule and its defaults (lr 1.0, rho 0.9, eps 1e-6 inside both roots). "
        "Keras: lr 0.001, a thousand times slower than the paper, with rho 0.95 and eps 1e-7. "
        "The paper has no lr and uses rho 0.95 and eps 1e-6."
    )
    versus_rmsprop: ClassVar[str] = (
        "AdaDelta keeps RMSProp's moving average of squared gradients and adds a second one, of its own squared "
        "updates. The root of that second average, as it was one step before, stands where RMSProp has the "
        "learning rate. So no learning rate has to be chosen (lr 1 is the paper's rule), every weight has its own, and "
        "an update has the units of the weight, which RMSProp's lacks. Since the second average starts at 0, the first "
        "steps are only about as large as the root of eps, and grow from there."
    )
    reference: ClassVar[str] = "Zeiler 2012, arXiv:1212.5701, Algorithm 1"
    default_lr: ClassVar[float] = 1.0
    compiles: ClassVar[bool] = True

    name: Literal["adadelta"] = "adadelta"
    rho: Decay = Field(
        0.9,
        description="decay of both averages; torch's default, the paper's experiments use 0.95",
    )
    eps: float = Field(
        1e-6, gt=0, description="added inside both roots; torch's default, and the paper's"
    )

    def build(self, groups: Iterable[dict[str, Any]], lr: float) -> "torch.optim.Optimizer":
        """torch's rule in blocks; torch has no fused step of it."""
        from losslab.optimizers._adadelta_step import AdaDeltaStep

        return AdaDeltaStep(groups, lr=lr, **self.model_dump(exclude={"name"}))
