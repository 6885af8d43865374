"""Rules that suggest one learning rate from a curve; each is a pure function."""

from collections.abc import Callable

import numpy as np

from losslab.ranges.curves import Array, Fall

Rule = Callable[[Array, Array, Fall], float]
"""(log10 of the learning rates, smoothed losses, where they fall) -> log10 of the learning rate to train with."""


def steepest(log_lr: Array, losses: Array, fall: Fall) -> float:
    """Where the loss falls fastest for each decade."""
    inside = slice(fall.begin, fall.lowest + 1)
    return float(log_lr[inside][np.argmin(np.gradient(losses[inside], log_lr[inside]))])


def half_fall(log_lr: Array, losses: Array, fall: Fall) -> float:
    """Where half of the fall is done."""
    middle = (losses[0] + losses[fall.lowest]) / 2
    return float(log_lr[fall.begin + np.argmax(losses[fall.begin :] <= middle)])


def valley(log_lr: Array, _losses: Array, fall: Fall) -> float:
    """Two thirds of the way, in decades, through the range in which the loss falls."""
    return float(log_lr[fall.begin] + (log_lr[fall.end] - log_lr[fall.begin]) * 2 / 3)


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
