"""A schedule is a function from the optimizer step, counted from 0, to a value: a learning rate or a batch size."""

from collections.abc import Callable

Schedule = Callable[[int], float]


def constant(value: float) -> Schedule:
    """The same value at every step.

    Example:
        >>> constant(0.1)(1000)
        0.1
    """
    return lambda _step: value
