"""Smith's triangular cycles, and the envelopes by which their height decays."""

from collections.abc import Callable
from functools import wraps
from math import floor
from typing import Any

from losslab.schedules.checks import LEFT_OPEN, check_fraction, check_positive, of_numbers
from losslab.schedules.named import Schedule, bare, named
from losslab.schedules.ramps import constant

Envelope = Callable[[int], float]
"""Step -> the part of a cycle's amplitude that is left, in (0, 1]."""
DEFAULT_CYCLES = 4


@named
def cycle(
    low: float,
    high: float,
    half_cycle_steps: float,
    envelope: Envelope | Callable[..., Envelope] | None = None,
    *,
    down_steps: float | None = None,
) -> Schedule:
    """Triangles from ``low`` up to ``high`` and back, whose height the envelope scales.

    .. math:: c = floor(1 + t / 2s), x = |t/s - 2c + 1|, value = low + (high - low) max(0, 1 - x) envelope(t)

    Args:
        low: value at the ends of every cycle.
        high: value at the middle of a cycle where the envelope is 1.
        half_cycle_steps: s, the steps from low to high; need not be whole.
        envelope: ``triangular`` (the default), ``triangular2``, :func:`decay`, or any function of the step.
        down_steps: steps from high to low where they differ from s.
    Raises:
        ValueError: when ``low`` does not lie below ``high`` or a half cycle is not positive.
        TypeError: when the envelope is ``exp_range`` without its gamma, or no function.
    Example:
        >>> [cycle(1, 3, 2)(step) for step in range(5)]
        [1.0, 2.0, 3.0, 2.0, 1.0]
        >>> [cycle(1, 3, 1, triangular2, down_steps=2)(step) for step in range(6)]
        [1.0, 3.0, 2.0, 1.0, 2.0, 1.5]

    Reference:
        Smith 2015, arXiv:1506.01186, section 3.1 and its reference code; torch's CyclicLR has the same values.
    """
    if not low < high:
        raise ValueError(f"`high` (={high}) must exceed `low` (={low}); swap them?")
    down = half_cycle_steps if down_steps is None else down_steps
    check_positive(half_cycle_steps=half_cycle_steps, down_steps=down)
    triangle = _triangle(half_cycle_steps, down)
    height = bare(_envelope(envelope, (half_cycle_steps + down) / 2))
    return lambda step: low + (high - low) * triangle(step) * height(step)


@named
def halving(half_cycle_steps: float) -> Envelope:
    """The envelope of ``triangular2``: 1/2^(c - 1) in cycle c.

    Raises:
        ValueError: when the half cycle is not positive.
    Example:
        >>> [halving(2)(step) for step in (0, 3, 4, 8)]
        [1.0, 1.0, 0.5, 0.25]
    """
    check_positive(half_cycle_steps=half_cycle_steps)
    # By whole cycles: the height is halved at the base, where it is 0, and the value has no jump.
    return lambda step: 0.5 ** floor(step / (2 * half_cycle_steps))


@named
def decay(gamma: float) -> Envelope:
    """The envelope of ``exp_range``: gamma^t, t the step and not the cycle.

    Raises:
        ValueError: when ``gamma`` is not in (0, 1].
    Example:
        >>> decay(0.5)(2)
        0.25
    """
    if not 0 < gamma <= 1:
        raise ValueError(f"`gamma` (={gamma}) must lie in (0, 1]")
    return lambda step: gamma**step


@of_numbers
def gamma_for(end_fraction: float, steps: int) -> float:
    """The gamma of :func:`decay` under which the height has come down to ``end_fraction`` after ``steps`` steps.

    Raises:
        ValueError: when ``end_fraction`` is not in (0, 1] or ``steps`` is not positive.
    Example:
        >>> round(gamma_for(0.1, 1000) ** 1000, 6)
        0.1
    """
    if not 0 < end_fraction <= 1:
        raise ValueError(f"`end_fraction` (={end_fraction}) must lie in (0, 1]")
    check_positive(steps=steps)
    return float(end_fraction ** (1 / steps))


def _or_envelope(
    envelope: Callable[..., Envelope],
) -> Callable[[Callable[..., Schedule]], Callable[..., Schedule]]:
    """Have a function of whole cycles, called with less than two ends, return its envelope alone.

    ``cycle(low, high, s, exp_range(0.99))`` is how Smith's code and torch's CyclicLR split it.
    """

    def decorate(whole: Callable[..., Schedule]) -> Callable[..., Schedule]:
        @wraps(whole)
        def either(*args: Any, **options: Any) -> Schedule:
            is_whole = len(args) + len(options) >= 2
            return whole(*args, **options) if is_whole else envelope(*args, **options)

        return either

    return decorate


@_or_envelope(lambda: constant(1.0))
@named
def triangular(
    base_lr: float,
    max_lr: float,
    steps: int = LEFT_OPEN,
    *,
    cycles: float | None = None,
    half_cycle_steps: float | None = None,
    up_fraction: float = 0.5,
) -> Schedule:
    """Cycles of one height over a run. ``triangular()`` is their envelope alone, for :func:`cycle`.

    Args:
        base_lr: value at the ends of every cycle.
        max_lr: value at its peak.
        steps: length of the run.
        cycles: how many the run has, 4 when absent; the run then ends where a cycle does.
        half_cycle_steps: half the length of a cycle, in place of their number.
        up_fraction: part of a cycle that goes up.
    Raises:
        ValueError: when ``base_lr`` does not lie below ``max_lr``, a length is not positive or given twice.
    Example:
        >>> [triangular(1, 3, 8, cycles=2)(step) for step in range(5)]
        [1.0, 2.0, 3.0, 2.0, 1.0]

    Reference:
        Smith 2015, arXiv:1506.01186, section 3.
    """
    up, down = _halves(steps, cycles, half_cycle_steps, up_fraction)
    return cycle(base_lr, max_lr, up, down_steps=down)


@_or_envelope(halving)
@named
def triangular2(
    base_lr: float,
    max_lr: float,
    steps: int = LEFT_OPEN,
    *,
    cycles: float | None = None,
    half_cycle_steps: float | None = None,
    up_fraction: float = 0.5,
) -> Schedule:
    """Cycles over a run, each half as high as the one before. ``triangular2(half_cycle_steps)`` is :func:`halving`.

    Args:
        base_lr: value at the ends of every cycle.
        max_lr: value at the first peak.
        steps: length of the run.
        cycles: as in :func:`triangular`.
        half_cycle_steps: as in :func:`triangular`.
        up_fraction: as in :func:`triangular`.
    Raises:
        ValueError: as :func:`triangular`.
    Example:
        >>> [triangular2(1, 3, 8, cycles=2)(step) for step in (0, 2, 4, 6, 8)]
        [1.0, 3.0, 1.0, 2.0, 1.0]

    Reference:
        Smith 2015, arXiv:1506.01186, section 3.
    """
    up, down = _halves(steps, cycles, half_cycle_steps, up_fraction)
    return cycle(base_lr, max_lr, up, halving((up + down) / 2), down_steps=down)


@_or_envelope(decay)
@named
def exp_range(
    base_lr: float,
    max_lr: float,
    steps: int = LEFT_OPEN,
    *,
    cycles: float | None = None,
    half_cycle_steps: float | None = None,
    up_fraction: float = 0.5,
    gamma: float | None = None,
    end_fraction: float = 0.1,
) -> Schedule:
    """Cycles over a run whose height falls by gamma a step. ``exp_range(gamma)`` is :func:`decay`.

    Args:
        base_lr: value at the ends of every cycle.
        max_lr: value at a peak where nothing has decayed.
        steps: length of the run.
        cycles: as in :func:`triangular`.
        half_cycle_steps: as in :func:`triangular`.
        up_fraction: as in :func:`triangular`.
        gamma: factor of the height by step; when absent it follows from ``end_fraction``.
        end_fraction: part of the height that is left at the end.
    Raises:
        ValueError: as :func:`triangular`, or when a fraction is not in (0, 1].
    Example:
        >>> schedule = exp_range(0, 1, 100, cycles=2)
        >>> [round(schedule(step), 3) for step in (0, 25, 50, 75, 100)]
        [0.0, 0.562, 0.0, 0.178, 0.0]

    Reference:
        Smith 2015, arXiv:1506.01186, section 3.
    """
    up, down = _halves(steps, cycles, half_cycle_steps, up_fraction)
    factor = gamma_for(end_fraction, steps) if gamma is None else gamma
    return cycle(base_lr, max_lr, up, decay(factor), down_steps=down)


def _halves(
    steps: int, cycles: float | None, half_cycle_steps: float | None, up_fraction: float
) -> tuple[float, float]:
    """The steps of a cycle that go up, and those that come down."""
    if cycles is not None and half_cycle_steps is not None:
        raise ValueError(
            f"give `cycles` (={cycles}) or half a cycle's length (={half_cycle_steps:g} steps), not both"
        )
    check_fraction(up_fraction=up_fraction)
    if half_cycle_steps is None:
        count = DEFAULT_CYCLES if cycles is None else cycles
        check_positive(steps=steps, cycles=count)
        half_cycle_steps = steps / (2 * count)
    up = 2 * half_cycle_steps * up_fraction
    return up, 2 * half_cycle_steps - up


def _envelope(
    envelope: Envelope | Callable[..., Envelope] | None, half_cycle_steps: float
) -> Envelope:
    """The envelope of a cycle; the functions of Smith's policies stand for theirs."""
    if envelope is None or envelope is triangular:
        return constant(1.0)
    if envelope is triangular2:
        return halving(half_cycle_steps)
    if envelope is exp_range:
        raise TypeError(
            "`envelope` (=exp_range) has no gamma: give decay(gamma_for(0.1, steps)), or call exp_range"
        )
    if not callable(envelope):
        raise TypeError(
            f"`envelope` (={envelope!r}) must be a function of the step, such as losslab.schedules.triangular2"
        )
    return envelope  # type: ignore[return-value]  # no other function of functions has a meaning here


def _triangle(up: float, down: float) -> Callable[[int], float]:
    """The height of a triangle of height 1, repeated."""
    if up == down:
        # Smith's formula as it is written: another that is equal on paper has other last bits than torch's CyclicLR.

        def even(step: int) -> float:
            halves = step / up
            distance = abs(halves - 2 * floor(1 + halves / 2) + 1)
            return max(0.0, 1 - distance)

        return even

    def uneven(step: int) -> float:
        within = step % (up + down)
        return within / up if within <= up else (up + down - within) / down

    return uneven
