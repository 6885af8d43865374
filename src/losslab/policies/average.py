"""Averages of a run's weights, by name."""

from losslab.choice import Choice, as_choice
from losslab.errors import unknown_name

AVERAGES = {"ema": {"decay": 0.999}, "equal": {"start": 0.75}}
"""Average -> its option and default, a number in [0, 1)."""


def check_average(value: object) -> object:
    """A known average of weights, its option filled in, so that `ema` and `ema(decay=0.999)` are the same run.

    Raises:
        ValueError: when the average, its option or the number is none that there is.
    """
    if value is None:
        return None
    choice = Choice.model_validate(as_choice(value))
    if choice.name not in AVERAGES:
        raise ValueError(unknown_name("average", choice.name, AVERAGES))
    known = AVERAGES[choice.name]
    options = known | choice.options
    for key, number in options.items():
        if key not in known:
            raise ValueError(unknown_name(f"option of {choice.name}", key, known))
        if (
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not 0 <= number < 1
        ):
            raise ValueError(f"`{key}` (={number}) must be a number from 0 to below 1")
    return Choice(name=choice.name, **options)
