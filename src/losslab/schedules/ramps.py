"""Schedules that go one way: constant, linear, exponential, polynomial, in pieces."""

from bisect import bisect_right
from collections.abc import Sequence

from losslab.schedules.checks import LEFT_OPEN, check_positive
from losslab.schedules.named import Schedule, named


@named
def constant(value: float) -> Schedule:
    """The same value at every step.

    Example:
        >>> constant(0.1)(1000)
        0.1
    """
    return lambda _step: value


@named
def linear_ramp(start: float, end: float, steps: int = LEFT_OPEN) -> Schedule:
    """From ``start`` at step 0 to ``end`` at step ``steps - 1`` in equal differences, then ``end``.

    Raises:
        ValueError: when ``steps`` is below 2.
    Example:
        >>> [linear_ramp(1, 3, 3)(step) for step in range(4)]
        [1.0, 2.0, 3.0, 3.0]
    """
    last = _last(steps)
    return lambda step: start + (end - start) * (min(step, last) / last)


@named
def exponential_ramp(start: float, end: float, steps: int = LEFT_OPEN) -> Schedule:
    """From ``start`` at step 0 to ``end`` at step ``steps - 1`` in equal ratios, then ``end``.

    Raises:
        ValueError: when ``steps`` is below 2, or an end is not positive.
    Example:
        >>> [round(exponential_ramp(1, 100, 3)(step), 6) for step in range(4)]
        [1.0, 10.0, 100.0, 100.0]
    """
    last = _last(steps)
    check_positive(start=start, end=end)

    def value(step: int) -> float:
        part = min(step, last) / last
        # A product of two powers has both ends exactly, where start * (end / start) ** part would round the last one.
        return float(start ** (1 - part) * end**part)

    return value


@named
def polynomial(
    start: float, end: float = 0.0, steps: int = LEFT_OPEN, *, power: float = 1.0
) -> Schedule:
    """From ``start`` at step 0 to ``end`` at step ``steps`` along a power of what is left, then ``end``.

    .. math:: end + (start - end) (1 - t / steps)^{power}

    Raises:
        ValueError: when ``steps`` or ``power`` is not positive.
    Example:
        >>> [polynomial(4, 0, 2, power=2)(step) for step in range(4)]
        [4.0, 1.0, 0.0, 0.0]

    Reference:
        torch's PolynomialLR, whose ``end`` is 0.
    """
    check_positive(steps=steps, power=power)
    return lambda step: end + (start - end) * (1 - min(step, steps) / steps) ** power


@named
def piecewise(values: Sequence[float], boundaries: Sequence[int]) -> Schedule:
    """``values[i]`` from boundary i - 1 on, up to boundary i.

    Args:
        values: one more than boundaries.
        boundaries: steps at which the next value begins, in order; a value between two that are equal is never taken.
    Raises:
        ValueError: when the lengths do not fit or the boundaries are out of order.
    Example:
        >>> [piecewise([0.1, 0.01], [2])(step) for step in range(4)]
        [0.1, 0.1, 0.01, 0.01]
    """
    if len(values) != len(boundaries) + 1 or list(boundaries) != sorted(boundaries):
        raise ValueError(
            f"`values` (={list(values)}) must be one more than the ordered boundaries {list(boundaries)}"
        )
    return lambda step: values[bisect_right(boundaries, step)]


def _last(steps: int) -> int:
    if steps < 2:
        raise ValueError(f"`steps` (={steps}) must be at least 2, one for each end")
    return steps - 1
