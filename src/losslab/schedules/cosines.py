"""Half a cosine, once or again and again (warm restarts)."""

from math import cos, floor, inf, pi

from losslab.schedules.checks import LEFT_OPEN, check_positive
from losslab.schedules.combined import warmup
from losslab.schedules.named import Schedule, named


@named
def cosine(
    high: float, low: float = 0.0, steps: int = LEFT_OPEN, *, warmup_steps: int = 0
) -> Schedule:
    """From ``high`` at step 0 to ``low`` at step ``steps`` along half a cosine, then ``low``.

    .. math:: low + (high - low) (1 + cos(pi t / steps)) / 2

    Args:
        high: first value.
        low: last value.
        steps: length.
        warmup_steps: so many steps at the beginning are scaled as by :func:`warmup`, which delays nothing.
    Raises:
        ValueError: when ``steps`` is not positive.
    Example:
        >>> [round(cosine(1, 0, 2)(step), 6) for step in range(3)]
        [1.0, 0.5, 0.0]

    Reference:
        Loshchilov & Hutter 2016, arXiv:1608.03983, equation 5, without restarts.
    """
    check_positive(steps=steps)

    def value(step: int) -> float:
        return low + (high - low) * (1 + cos(pi * min(step, steps) / steps)) / 2

    return warmup(value, warmup_steps) if warmup_steps else value


@named
def cosine_batch(b_min: float, b_max: float, steps: int = LEFT_OPEN) -> Schedule:
    """A batch size that grows from ``b_min`` to ``b_max`` along half a cosine, where a learning rate would fall.

    Raises:
        ValueError: when ``b_max`` does not exceed ``b_min`` or a value is not positive.
    Example:
        >>> [cosine_batch(16, 48, 2)(step) for step in range(4)]
        [16.0, 32.0, 48.0, 48.0]

    Reference:
        CosineAnnealingBS of bs-scheduler, up to its first maximum.
    """
    check_positive(b_min=b_min)
    if not b_min < b_max:
        raise ValueError(f"`b_max` (={b_max}) must exceed `b_min` (={b_min}); swap them?")
    return cosine(b_min, b_max, steps)


@named
def restarts(
    high: float, low: float, first_cycle_steps: float, *, growth: float = 1.0
) -> Schedule:
    """Half a cosine from ``high`` to ``low``, begun anew at its end; each cycle is ``growth`` times as long.

    .. math:: low + (high - low) (1 + cos(pi t_c / T_c)) / 2, T_c = growth^c T_0

    Args:
        high: value at the beginning of every cycle.
        low: value at its end, where the next one begins.
        first_cycle_steps: T_0; need not be whole.
        growth: 1 or more.
    Raises:
        ValueError: when the length is not positive or ``growth`` is below 1.
    Example:
        >>> [round(restarts(1, 0, 2, growth=2)(step), 3) for step in range(7)]
        [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]

    Reference:
        Loshchilov & Hutter 2016, arXiv:1608.03983, equation 5; torch's CosineAnnealingWarmRestarts has the same values.
    """
    check_positive(first_cycle_steps=first_cycle_steps)
    if not 1 <= growth < inf:
        raise ValueError(
            f"`growth` (={growth}) must be at least 1: cycles keep their length or become longer"
        )

    def value(step: int) -> float:
        begin, length = _cycle_at(step, first_cycle_steps, growth)
        return low + (high - low) * (1 + cos(pi * (step - begin) / length)) / 2

    return value


@named
def warm_restarts(
    high: float,
    low: float = 0.0,
    steps: int = LEFT_OPEN,
    *,
    cycles: int = 4,
    growth: float = 1.0,
) -> Schedule:
    """:func:`restarts` whose last cycle ends with the run.

    Args:
        high: value at the beginning of every cycle.
        low: value at its end.
        steps: length of all cycles together.
        cycles: how many.
        growth: length of a cycle over that of the one before.
    Raises:
        ValueError: when ``steps`` or ``cycles`` is not positive or ``growth`` is below 1.
    Example:
        >>> warm_restarts(1, 0, 14, cycles=3, growth=2) == restarts(1, 0, 2, growth=2)
        False
        >>> warm_restarts(1, 0, 14, cycles=3, growth=2)(5) == restarts(1, 0, 2, growth=2)(5)
        True
    """
    check_positive(steps=steps, cycles=cycles)
    # The cycles are T_0, growth T_0, growth^2 T_0 ...; as many T_0 as their sum are the run.
    length_in_first_cycles = sum(growth**index for index in range(cycles))
    return restarts(high, low, steps / length_in_first_cycles, growth=growth)


def _cycle_at(step: int, first: float, growth: float) -> tuple[float, float]:
    """Where the cycle of a step begins, and how long it is."""
    # Cycles that grow are few, however long the run is; equal ones may be thousands, and need no loop.
    if growth == 1:
        # A length that is not exact, such as a sixth of 100 steps, puts a cycle's begin a hair behind its step.
        return floor(step / first + 1e-9) * first, first
    begin, length = 0.0, first
    while begin + length <= step + 1e-9 * length:
        begin, length = begin + length, length * growth
    return begin, length
