"""The description of a method: its hyperparameters, equations, differences and reference."""

from abc import abstractmethod
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from losslab.choice import Frozen

if TYPE_CHECKING:
    import torch

Decay = Annotated[float, Field(ge=0, lt=1)]
"""A coefficient of a moving average: 0 forgets at once, 1 would never learn."""

GRADIENT = r"g_t = \nabla L(\theta_{t-1}) + \lambda\, \theta_{t-1}"
"""The gradient of the loss with coupled L2, from which most rules start."""

COMMON_TERMS = {
    r"\theta_t": "the weights after step t",
    r"L": "the loss of the minibatch",
    r"g_t": "the gradient of the loss with its L2 penalty; squares, roots and quotients are taken weight by weight",
    r"\eta": "the learning rate (lr)",
    r"\lambda": "the strength of the L2 penalty (weight_decay), 0 for none",
}
"""The symbols that most rules share."""


class Method(Frozen):
    """An update rule: its hyperparameters are the fields, its description the class attributes.

    Importing a method does not import torch, so that specs are checked and reports written without it.
    """

    title: ClassVar[str]
    """The name as papers write it."""
    equations: ClassVar[tuple[str, ...]]
    """The update of one step in LaTeX, a line each; g is the gradient, theta the weights, all element-wise."""
    terms: ClassVar[dict[str, str]]
    """LaTeX symbol -> what it is, in one short plain sentence."""
    differences: ClassVar[str]
    """Where torch and Keras define or default it differently."""
    versus_rmsprop: ClassVar[str] = ""
    """How it differs from RMSProp, in words; empty where the two are not relatives."""
    reference: ClassVar[str]
    """The paper or book, with its section."""
    default_lr: ClassVar[float]
    """Learning rate that the source or torch proposes."""
    compiles: ClassVar[bool] = False
    """Whether its step can be compiled: torch has no fused one."""

    name: str

    @abstractmethod
    def build(self, groups: Iterable[dict[str, Any]], lr: float) -> "torch.optim.Optimizer":
        """The torch optimizer of this rule.

        Args:
            groups: parameter groups: ``params``, and where wanted ``weight_decay`` (else 0) and ``lr``.
            lr: learning rate of the groups that name none.
        """


def listed(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """List the groups and their parameters, so that both can be read more than once."""
    return [{**group, "params": list(group["params"])} for group in groups]


def fused_on_cpu(groups: list[dict[str, Any]]) -> bool | None:
    """True when all parameters are real and on the CPU, where a fused pass is fastest; else None, torch's choice."""
    # torch's default on a CPU is one operation after the other; elsewhere its own default is kept.
    parameters = chain.from_iterable(group["params"] for group in groups)
    fits = all(
        parameter.device.type == "cpu" and parameter.is_floating_point()
        for parameter in parameters
    )
    return True if fits else None
