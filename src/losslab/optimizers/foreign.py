"""Any other optimizer: one of torch's by ``torch.optim/NAME``, or anyone's by ``package.module:factory``."""

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, JsonValue, field_validator, model_validator

from losslab.choice import check_options, import_attribute, is_factory
from losslab.errors import InvalidInput
from losslab.optimizers.method import Method, listed
from losslab.optimizers.modes import switch

if TYPE_CHECKING:
    import torch

TORCH = "torch.optim/"

OF_THE_RUN = {
    "lr": "the run's `lr` is",
    "weight_decay": "the run's `weight_decay`, or that of its `parameter_groups`, is",
    "params": "the parameters come from the model; `parameter_groups`, which divides them, is",
}
"""Option -> what counts instead."""


def is_foreign(name: str) -> bool:
    """Whether a name has one of the two forms; nothing is imported."""
    return is_factory(name) or (
        name.startswith(TORCH) and name.removeprefix(TORCH).isidentifier()
    )


class Foreign(Method):
    """An optimizer that losslab does not know: its factory is called as ``factory(groups, lr=lr, **options)``.

    The factory gives a `torch.optim.Optimizer` that steps on gradients alone. Options are checked against the factory's
    signature when the optimizer is built, since reading that needs torch.

    Example:
        >>> Foreign(name="torch.optim/RAdam", betas=(0.9, 0.99)).options
        {'betas': [0.9, 0.99]}
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    equations: ClassVar[tuple[str, ...]] = ()
    terms: ClassVar[dict[str, str]] = {}
    default_lr: ClassVar[float] = 0.001

    name: str

    @field_validator("name")
    @classmethod
    def _foreign(cls, name: str) -> str:
        if not is_foreign(name):
            raise ValueError(f"must be of the form {TORCH}NAME or package.module:factory")
        return name

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        """Turn options into what JSON has, so that a tuple and a list are the same run."""
        if not isinstance(value, dict):
            return value
        for option, instead in OF_THE_RUN.items():
            if option in value:
                raise ValueError(f"`{option}` is no option here: {instead} what counts")
        return {
            key: list(item) if isinstance(item, tuple) else item for key, item in value.items()
        }

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the factory beside the groups and lr."""
        return dict(self.__pydantic_extra__ or {})

    def build(self, groups: Iterable[dict[str, Any]], lr: float) -> "torch.optim.Optimizer":
        """The factory's optimizer, in training mode where it has modes.

        Raises:
            InvalidInput: no such factory, an option that it does not take, any error that it raises, a result that is
                no optimizer or cannot step on gradients alone.
        """
        path = self.name.replace("/", ":") if self.name.startswith(TORCH) else self.name
        factory = import_attribute(f"optimizer '{self.name}'", path)
        try:
            check_options("optimizer", self.name, factory, self.options)
            optimizer = factory(listed(groups), lr=lr, **self.options)
        except Exception as error:  # a stranger's code may raise anything
            raise InvalidInput(f"optimizer '{self.name}': {_in_one_line(error)}") from error
        return self._checked(optimizer)

    def _checked(self, optimizer: Any) -> "torch.optim.Optimizer":
        import torch

        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InvalidInput(
                f"optimizer '{self.name}' gave {type(optimizer).__name__}, not a torch.optim.Optimizer"
            )
        if _needs_closure(optimizer.step):
            raise InvalidInput(
                f"optimizer '{self.name}' evaluates the loss within a step; losslab gives it gradients"
            )
        switch(optimizer, "train")
        return optimizer


def _needs_closure(step: Callable[..., Any]) -> bool:
    # torch's own `step(closure=None)` may be called without one; LBFGS's closure has no default.
    parameters = inspect.signature(step).parameters.values()
    return any(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        for p in parameters
    )


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"
