"""What every optimizer of losslab says about itself."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from losslab.choice import Frozen

if TYPE_CHECKING:
    import torch


class Method(Frozen):
    """An update rule: its hyperparameters are the fields, its description the class attributes.

    Importing a method does not import torch, so that specs are checked and reports written without it.
    """

    title: ClassVar[str]
    """The name as papers write it."""
    equations: ClassVar[tuple[str, ...]]
    """The update of one step in LaTeX, a line each; g is the gradient, theta the weights, all element-wise."""
    terms: ClassVar[dict[str, str]]
    """LaTeX symbol -> what it is, one short plain sentence each."""
    differences: ClassVar[str]
    """Where torch and Keras define or default it differently."""
    reference: ClassVar[str]
    """The paper or book, with its section."""
    default_lr: ClassVar[float]
    """Learning rate that the source or torch proposes."""
    l2: ClassVar[str] = "coupled"
    """`coupled`: weight_decay * theta is added to the gradient; `decoupled`: weights shrink apart from the rule."""

    name: str

    @abstractmethod
    def build(self, groups: Iterable[dict[str, Any]], lr: float) -> "torch.optim.Optimizer":
        """The torch optimizer of this rule over parameter groups (``params``, and ``weight_decay`` per group)."""
