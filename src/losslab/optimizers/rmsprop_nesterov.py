"""RMSProp with Nesterov momentum, the literal Algorithm 8.6 of *Deep Learning*; neither torch nor Keras has it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from losslab.optimizers.method import COMMON_TERMS, Decay, Method

if TYPE_CHECKING:
    from losslab.optimizers._rmsprop_nesterov_step import RMSPropNesterovStep


class RMSPropNesterov(Method):
    """RMSProp whose gradient is taken where momentum is about to carry the weights.

    During training the parameters hold the look-ahead point, so one gradient a step is enough; evaluate inside
    ``losslab.optimizers.at_iterate(optimizer)``, where they hold theta. L2 is coupled: it is part of the loss, so its
    gradient is taken at the look-ahead point too.
    """

    title: ClassVar[str] = "RMSProp + Nesterov"
    equations: ClassVar[tuple[str, ...]] = (
        r"\tilde{\theta}_t = \theta_{t-1} + \alpha\, u_{t-1}",
        r"g_t = \nabla L(\tilde{\theta}_t) + \lambda\, \tilde{\theta}_t",
        r"r_t = \rho\, r_{t-1} + (1 - \rho)\, g_t^2",
        r"u_t = \alpha\, u_{t-1} - \frac{\eta}{\sqrt{r_t} + \epsilon}\, g_t",
        r"\theta_t = \theta_{t-1} + u_t",
    )
    terms: ClassVar[dict[str, str]] = COMMON_TERMS | {
        r"\tilde{\theta}_t": "the look-ahead point: where momentum alone would carry the weights",
        r"u_t": "the velocity: the step that the weights take, 0 at the start",
        r"\alpha": "how much of the velocity is kept each step (momentum)",
        r"r_t": "the moving average of squared gradients, 0 at the start",
        r"\rho": "how much of that average is kept each step (rho)",
        r"\epsilon": "a small number that keeps the quotient finite (eps); the book's rule has none",
    }
    differences: ClassVar[str] = (
        "In neither torch nor Keras: the momentum argument of their RMSProp is heavy ball, which takes the gradient at "
        "the weights themselves, and NAdam is a relative, not the same. The book has no eps here; without it a weight "
        "whose gradient has always been 0, as behind a silent ReLU, becomes 0/0."
    )
    versus_rmsprop: ClassVar[str] = (
        "It adds a velocity: scaled gradients accumulate, where RMSProp applies each once and forgets it. And the "
        "gradient is taken ahead of the weights, where the velocity is about to carry them, so that an overshoot is "
        "noticed one step earlier. At momentum 0 it is RMSProp exactly."
    )
    reference: ClassVar[str] = (
        "Goodfellow, Bengio & Courville 2016, Deep Learning, Algorithm 8.6"
    )
    default_lr: ClassVar[float] = 0.001
    compiles: ClassVar[bool] = True

    name: Literal["rmsprop-nesterov"] = "rmsprop-nesterov"
    rho: Decay = Field(
        0.99,
        description="decay of the average of squared gradients; as in rmsprop, the book leaves it open",
    )
    momentum: Decay = Field(
        0.9, description="decay of the velocity; the usual choice, the book leaves it open"
    )
    eps: float = Field(
        1e-8,
        gt=0,
        description="added to the root of the average; as in rmsprop, the book has none",
    )

    def build(self, groups: Iterable[dict[str, Any]], lr: float) -> "RMSPropNesterovStep":
        """Our own torch optimizer: torch has none of this rule."""
        from losslab.optimizers._rmsprop_nesterov_step import RMSPropNesterovStep

        return RMSPropNesterovStep(groups, lr=lr, **self.model_dump(exclude={"name"}))
