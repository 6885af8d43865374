"""The update rules, one file a method; all are proved against their equation."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter

from losslab.choice import as_choice
from losslab.errors import unknown_name
from losslab.optimizers.adadelta import AdaDelta
from losslab.optimizers.adagrad import AdaGrad
from losslab.optimizers.adam import Adam
from losslab.optimizers.adamw import AdamW
from losslab.optimizers.method import Method
from losslab.optimizers.nadam import NAdam
from losslab.optimizers.rmsprop import RMSProp
from losslab.optimizers.rmsprop_nesterov import RMSPropNesterov
from losslab.optimizers.sgd import SGD

if TYPE_CHECKING:
    import torch

__all__ = ["OPTIMIZERS", "Method", "Optimizer", "at_iterate", "choose"]

OPTIMIZERS: dict[str, type[Method]] = {
    "adagrad": AdaGrad,
    "rmsprop": RMSProp,
    "rmsprop-nesterov": RMSPropNesterov,
    "adadelta": AdaDelta,
    "adam": Adam,
    "sgd": SGD,
    "adamw": AdamW,
    "nadam": NAdam,
}
"""Name -> method; the five that a study compares come first."""


def _known(value: object) -> object:
    """A text as its table, once its name is known."""
    choice = as_choice(value)
    if isinstance(choice, Mapping) and isinstance(choice.get("name"), str) and choice["name"] not in OPTIMIZERS:
        raise ValueError(unknown_name("optimizer", choice["name"], OPTIMIZERS))
    return choice


Optimizer = Annotated[
    AdaGrad | RMSProp | RMSPropNesterov | AdaDelta | Adam | SGD | AdamW | NAdam,
    Field(discriminator="name"),
    BeforeValidator(_known),
]
"""The pydantic type of a method, given as itself, as a table or as a text such as ``adam(betas=(0.9, 0.95))``."""

_OPTIMIZER: TypeAdapter[Method] = TypeAdapter(Optimizer)


def choose(choice: str | Mapping[str, Any] | Method) -> Method:
    """The method that a text or a table names, with its hyperparameters.

    Raises:
        pydantic.ValidationError: a ValueError that lists every fault: unknown name or hyperparameter, value out of
            bounds.
    Example:
        >>> choose("adam(betas=(0.9, 0.95))")
        Adam(name='adam', betas=(0.9, 0.95), eps=1e-08)
    """
    return _OPTIMIZER.validate_python(choice)


def at_iterate(optimizer: "torch.optim.Optimizer") -> AbstractContextManager[None]:
    """A context in which the parameters hold the weights to evaluate.

    Only `rmsprop-nesterov` moves them, from its look-ahead point to theta and back, bit for bit; with any other
    optimizer nothing happens.
    """
    swap = getattr(optimizer, "at_iterate", nullcontext)
    context: AbstractContextManager[None] = swap()
    return context
