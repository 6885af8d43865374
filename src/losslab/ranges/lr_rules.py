"""Rules by which a learning rate is suggested: a curve and its fall in, a rate out."""

from collections.abc import Callable

import numpy as np

from losslab.errors import unknown_name
from losslab.ranges.curves import (
    Array,
    Fall,
)

Rule = Callable[[Array, Array, Fall], float]
"""(log10 of the learning rates, smoothed losses, where they fall) -> log10 of the learning rate to train with."""


def steepest(log_lr: Array, losses: Array, fall: Fall) -> float:
    """Where the loss falls fastest for each decade."""
    inside = slice(fall.begin, fall.lowest + 1)
    slopes = np.gradient(losses[inside], log_lr[inside])
    return float(log_lr[inside][np.argmin(slopes)])


def half_fall(log_lr: Array, losses: Array, fall: Fall) -> float:
    """Where half of the fall is done."""
    middle = (losses[0] + losses[fall.lowest]) / 2
    steps_to_middle = np.argmax(losses[fall.begin :] <= middle)
    return float(log_lr[fall.begin + steps_to_middle])


def valley(log_lr: Array, _losses: Array, fall: Fall) -> float:
    """Four fifths of the way, in decades, from where the loss begins to fall to where it is lowest.

    Of the rules here it has the lowest regret, see docs/range-tests.md; it always lies within the range.
    """
    return float(log_lr[fall.begin] + 0.8 * (log_lr[fall.lowest] - log_lr[fall.begin]))


def minimum(log_lr: Array, _losses: Array, fall: Fall) -> float:
    """Where the loss is lowest."""
    return float(log_lr[fall.lowest])


def minimum_over_ten(log_lr: Array, _losses: Array, fall: Fall) -> float:
    """A tenth of where the loss is lowest; may lie below lr_min where the fall is short."""
    return float(log_lr[fall.lowest]) - 1


RULES: dict[str, Rule] = {
    "steepest": steepest,
    "half_fall": half_fall,
    "valley": valley,
    "minimum": minimum,
    "minimum_over_ten": minimum_over_ten,
}
"""Name -> rule."""
DEFAULT_RULES = {"ramp": "valley", "grid": "minimum"}
"""Mode -> its rule: a grid measures what training at each rate comes to, a ramp only how the loss moves there."""


def check_rule(mode: str, rule: str | None) -> str:
    """The rule of a mode, once both are known to exist."""
    # As texts, since what is no text, such as a list, cannot be looked up.
    if str(mode) not in DEFAULT_RULES:
        raise ValueError(unknown_name("mode", str(mode), DEFAULT_RULES))
    if rule is not None and str(rule) not in RULES:
        raise ValueError(unknown_name("rule", str(rule), RULES))
    return rule or DEFAULT_RULES[mode]
