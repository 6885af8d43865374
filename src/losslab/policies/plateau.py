"""The factor on a run's learning rate that falls where its loss stops falling."""

import inspect
from typing import Any

from losslab.choice import Choice, as_choice, check_options
from losslab.errors import unknown_name
from losslab.schedules import Plateau, reduce_on_plateau


def reduce(
    *,
    factor: float = 0.1,
    min_fraction: float = 0.0,
    patience: int = 10,
    threshold: float = 1e-4,
    threshold_mode: str = "rel",
    cooldown: int = 0,
) -> Plateau:
    """A factor on the learning rate: 1 at the start, multiplied by ``factor`` at each plateau of the loss.

    Args:
        factor: below 1.
        min_fraction: the lowest factor.
        patience: evaluations without improvement that are waited for.
        threshold: least improvement that counts.
        threshold_mode: ``rel`` to the best, or ``abs``.
        cooldown: evaluations after a fall in which nothing is counted.
    Raises:
        ValueError: when a value is out of its bounds.
    Example:
        >>> plateau = reduce(factor=0.5, patience=1)
        >>> [plateau.update(loss) for loss in (5, 4, 4, 4, 4)]
        [1.0, 1.0, 1.0, 0.5, 0.5]
    """
    if not 0 <= min_fraction < 1:
        raise ValueError(f"`min_fraction` (={min_fraction}) must be from 0 to below 1")
    # No change is too small for a factor, unlike for torch's rates, which have a unit.
    return reduce_on_plateau(
        1.0,
        factor=factor,
        min_lr=min_fraction,
        patience=patience,
        threshold=threshold,
        threshold_mode=threshold_mode,  # type: ignore[arg-type]
        cooldown=cooldown,
        eps=0.0,
    )


PLATEAUS = {"reduce": reduce}
"""Name -> factor on the learning rate that is told the loss of each evaluation."""


def check_plateau(value: object) -> Choice | None:
    """A known plateau whose options fit together, the others filled in.

    Raises:
        ValueError: unknown name or option, or impossible values.
    """
    if value is None:
        return None
    choice = Choice.model_validate(as_choice(value))
    if choice.name not in PLATEAUS:
        raise ValueError(unknown_name("plateau", choice.name, PLATEAUS))
    check_options("plateau", choice.name, PLATEAUS[choice.name], choice.options)
    # Filled in, so that `reduce` and `reduce(factor=0.1)` are the same run.
    options = _defaults(choice.name) | choice.options
    for name, number in options.items():
        _check_kind(name, number, _defaults(choice.name)[name])
    filled = Choice(name=choice.name, **options)
    new_plateau(filled)
    return filled


def new_plateau(choice: Choice | None) -> Plateau | None:
    """The factor before the first evaluation; None where none is wanted."""
    return None if choice is None else PLATEAUS[choice.name](**choice.options)


def _defaults(name: str) -> dict[str, Any]:
    parameters = inspect.signature(PLATEAUS[name]).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def _check_kind(name: str, value: object, default: object) -> None:
    kinds = {
        int: (int, "a whole number"),
        float: (int | float, "a number"),
        str: (str, "a text"),
    }
    kind, rule = kinds[type(default)]
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ValueError(f"`{name}` (={value!r}) must be {rule}")
