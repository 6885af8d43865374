"""The update rules, one file a method, all proved against their equation; and anyone's optimizer beside them."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag, TypeAdapter

from losslab.choice import as_choice
from losslab.errors import unknown_name
from losslab.optimizers.adadelta import AdaDelta
from losslab.optimizers.adagrad import AdaGrad
from losslab.optimizers.adam import Adam
from losslab.optimizers.adamw import AdamW
from losslab.optimizers.foreign import Foreign, is_foreign
from losslab.optimizers.method import Method
from losslab.optimizers.modes import at_iterate
from losslab.optimizers.nadam import NAdam
from losslab.optimizers.rmsprop import RMSProp
from losslab.optimizers.rmsprop_nesterov import RMSPropNesterov
from losslab.optimizers.sgd import SGD

__all__ = [
    "OPTIMIZERS",
    "Foreign",
    "Method",
    "Optimizer",
    "at_iterate",
    "check_has_momentum",
    "choose",
]

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
    name = choice.get("name") if isinstance(choice, Mapping) else None
    if isinstance(name, str) and name not in OPTIMIZERS and not is_foreign(name):
        raise ValueError(
            f"{unknown_name('optimizer', name, OPTIMIZERS)}; others by torch.optim/NAME or module:factory"
        )
    return choice


def _kind(value: object) -> str | None:
    """The name of a method; ``foreign`` for an optimizer of torch or anyone's."""
    # pydantic asks for the kind of a table, when it validates, and of a method, when it writes one as JSON.
    name = value.get("name") if isinstance(value, Mapping) else getattr(value, "name", None)
    if not isinstance(name, str):
        return None
    return name if name in OPTIMIZERS else "foreign"


Optimizer = Annotated[
    Annotated[AdaGrad, Tag("adagrad")]
    | Annotated[RMSProp, Tag("rmsprop")]
    | Annotated[RMSPropNesterov, Tag("rmsprop-nesterov")]
    | Annotated[AdaDelta, Tag("adadelta")]
    | Annotated[Adam, Tag("adam")]
    | Annotated[SGD, Tag("sgd")]
    | Annotated[AdamW, Tag("adamw")]
    | Annotated[NAdam, Tag("nadam")]
    | Annotated[Foreign, Tag("foreign")],
    Discriminator(_kind),
    BeforeValidator(_known),
]
"""The pydantic type of a method, given as itself, as a table or as a text such as ``adam(betas=(0.9, 0.95))``."""

_OPTIMIZER: TypeAdapter[Method] = TypeAdapter(Optimizer)


def choose(choice: str | Mapping[str, Any] | Method) -> Method:
    """Build the method that a text or a table names, with its hyperparameters.

    Args:
        choice: a name in `OPTIMIZERS`, ``torch.optim/NAME`` or ``package.module:factory``, with options.
    Raises:
        pydantic.ValidationError: a ValueError that lists every fault: unknown name or hyperparameter, value out of
            bounds. Options of other optimizers are checked when these are built.
    Example:
        >>> choose("adam(betas=(0.9, 0.95))").betas
        (0.9, 0.95)
        >>> choose("torch.optim/RAdam(betas=[0.9, 0.99])").options
        {'betas': [0.9, 0.99]}
    """
    return _OPTIMIZER.validate_python(choice)


def check_has_momentum(method: Method) -> None:
    """Raise ValueError when a method has no momentum that could be cycled; that of others shows when they are built."""
    if isinstance(method, Foreign) or type(method).model_fields.keys() & {"momentum", "betas"}:
        return
    raise ValueError(
        f"`momentum` is cycled, and {method.name} has neither `momentum` nor `betas`; leave it out"
    )
