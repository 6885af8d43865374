"""A schedule is a function from the optimizer step, counted from 0, to a value: a learning rate or a batch size.

Schedules are plain closures over numbers; they are composed by calling one within another.
"""

from collections.abc import Callable, Sequence
from math import cos, floor, inf, pi

Schedule = Callable[[int], float]
Envelope = Callable[[int], float]
"""Step -> the part of a cycle's amplitude that is left, in (0, 1]."""


def constant(value: float) -> Schedule:
    """The same value at every step.

    Example:
        >>> constant(0.1)(1000)
        0.1
    """
    return lambda _step: value


def linear_ramp(start: float, end: float, steps: int) -> Schedule:
    """From ``start`` at step 0 to ``end`` at step ``steps - 1`` in equal differences, then ``end``.

    Raises:
        ValueError: when ``steps`` is below 2.
    Example:
        >>> [linear_ramp(1, 3, 3)(step) for step in range(4)]
        [1.0, 2.0, 3.0, 3.0]
    """
    last = _last(steps)
    return lambda step: start + (end - start) * (min(step, last) / last)


def exponential_ramp(start: float, end: float, steps: int) -> Schedule:
    """From ``start`` at step 0 to ``end`` at step ``steps - 1`` in equal ratios, then ``end``.

    Raises:
        ValueError: when ``steps`` is below 2, or an end is not positive.
    Example:
        >>> [round(exponential_ramp(1, 100, 3)(step), 6) for step in range(4)]
        [1.0, 10.0, 100.0, 100.0]
    """
    last = _last(steps)
    _check_positive(start=start, end=end)

    def value(step: int) -> float:
        part = min(step, last) / last
        return float(start ** (1 - part) * end**part)

    return value


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
        raise ValueError(f"`values` (={list(values)}) must be one more than the ordered boundaries {list(boundaries)}")
    return lambda step: values[sum(step >= boundary for boundary in boundaries)]


def warmup(schedule: Schedule, steps: int) -> Schedule:
    """A schedule whose first ``steps`` values are scaled up linearly: by 1/steps at step 0, by 1 at step ``steps - 1``.

    Raises:
        ValueError: when ``steps`` is not positive.
    Example:
        >>> [warmup(constant(1.0), 4)(step) for step in range(5)]
        [0.25, 0.5, 0.75, 1.0, 1.0]

    Reference:
        Goyal et al. 2017, arXiv:1706.02677, section 2.2.
    """
    _check_positive(steps=steps)
    return lambda step: schedule(step) * min(1.0, (step + 1) / steps)


def cosine(high: float, low: float, steps: int) -> Schedule:
    """From ``high`` at step 0 to ``low`` at step ``steps`` along half a cosine, then ``low``.

    .. math:: low + (high - low) (1 + cos(pi t / steps)) / 2

    Raises:
        ValueError: when ``steps`` is not positive.
    Example:
        >>> [round(cosine(1, 0, 2)(step), 6) for step in range(3)]
        [1.0, 0.5, 0.0]

    Reference:
        Loshchilov & Hutter 2016, arXiv:1608.03983, equation 5, without restarts.
    """
    _check_positive(steps=steps)
    return lambda step: low + (high - low) * (1 + cos(pi * min(step, steps) / steps)) / 2


def one_cycle(
    max_lr: float, steps: int, *, up_fraction: float = 0.3, start_divisor: float = 25.0, end_divisor: float = 1e4
) -> Schedule:
    """Up from max_lr/start_divisor to ``max_lr``, then down to max_lr/(start_divisor*end_divisor), both along a cosine.

    Args:
        max_lr: the peak.
        steps: length; the last value is at step ``steps - 1``.
        up_fraction: part of the steps that go up.
        start_divisor: peak over start.
        end_divisor: start over end.
    Raises:
        ValueError: when the lengths leave no step for going up or down.
    Example:
        >>> one_cycle(1.0, 10)(2)
        1.0

    Reference:
        Smith & Topin 2017, arXiv:1708.07120; torch's OneCycleLR has the same values.
    """
    peak, last = up_fraction * steps - 1, steps - 1
    if not 0 < peak < last:
        raise ValueError(
            f"`steps` (={steps}) with `up_fraction` (={up_fraction}) must leave steps for going up and down"
        )
    start = max_lr / start_divisor
    end = start / end_divisor

    def value(step: int) -> float:
        step = min(step, last)
        if step <= peak:
            return max_lr + (start - max_lr) * (1 + cos(pi * step / peak)) / 2
        return end + (max_lr - end) * (1 + cos(pi * (step - peak) / (last - peak))) / 2

    return value


def cycle(low: float, high: float, half_cycle_steps: float, envelope: Envelope | None = None) -> Schedule:
    """Triangles from ``low`` up to ``high`` and back, whose height the envelope scales.

    .. math:: c = floor(1 + t / 2s), x = |t/s - 2c + 1|, value = low + (high - low) max(0, 1 - x) envelope(t)

    Args:
        low: value at the ends of every cycle.
        high: value at the middle of a cycle where the envelope is 1.
        half_cycle_steps: s; need not be whole.
        envelope: :func:`triangular` (the default), :func:`triangular2` or :func:`exp_range`.
    Raises:
        ValueError: when ``low`` does not lie below ``high`` or the half cycle is not positive.
    Example:
        >>> [cycle(1, 3, 2)(step) for step in range(5)]
        [1.0, 2.0, 3.0, 2.0, 1.0]

    Reference:
        Smith 2015, arXiv:1506.01186, section 3.1 and its reference code.
    """
    if not low < high:
        raise ValueError(f"`high` (={high}) must exceed `low` (={low}); swap them?")
    _check_positive(half_cycle_steps=half_cycle_steps)
    height = envelope or triangular()

    def value(step: int) -> float:
        place = step / half_cycle_steps
        distance = abs(place - 2 * floor(1 + place / 2) + 1)
        return low + (high - low) * max(0.0, 1 - distance) * height(step)

    return value


def triangular() -> Envelope:
    """All cycles of the same height."""
    return lambda _step: 1.0


def triangular2(half_cycle_steps: float) -> Envelope:
    """Every cycle half as high as the one before: 1/2^(c - 1) in cycle c.

    Raises:
        ValueError: when the half cycle is not positive.
    """
    _check_positive(half_cycle_steps=half_cycle_steps)
    return lambda step: 0.5 ** floor(step / (2 * half_cycle_steps))


def exp_range(gamma: float) -> Envelope:
    """Height gamma^t, t the step and not the cycle.

    Raises:
        ValueError: when ``gamma`` is not in (0, 1].
    """
    if not 0 < gamma <= 1:
        raise ValueError(f"`gamma` (={gamma}) must lie in (0, 1]")
    return lambda step: gamma**step


def gamma_for(end_fraction: float, steps: int) -> float:
    """The gamma of :func:`exp_range` whose envelope has come down to ``end_fraction`` after ``steps`` steps.

    Raises:
        ValueError: when ``end_fraction`` is not in (0, 1] or ``steps`` is not positive.
    Example:
        >>> round(gamma_for(0.1, 1000) ** 1000, 6)
        0.1
    """
    if not 0 < end_fraction <= 1:
        raise ValueError(f"`end_fraction` (={end_fraction}) must lie in (0, 1]")
    _check_positive(steps=steps)
    return float(end_fraction ** (1 / steps))


def mirror(lr_schedule: Schedule, noise: float) -> Schedule:
    """The batch-size schedule under which a constant lr has the gradient noise of ``lr_schedule`` at a constant batch.

    .. math:: g = lr N / B: B(t) = noise / lr(t)

    Where the lr rises to its peak the batch size dips, and where the peaks decay the dips become shallower: the mirror
    of an exponentially decaying lr is an exponentially growing batch size.

    Args:
        lr_schedule: the schedule to mirror; its values must be positive.
        noise: constant lr times the batch size that goes with the lr schedule, so that B(t) is that batch size
            where ``lr_schedule`` has the constant's value.
    Raises:
        ValueError: when ``noise`` is not positive, or, on calling the mirror, the lr is not.
    Example:
        >>> [round(mirror(cycle(1, 4, 2), noise=128)(step), 1) for step in range(5)]
        [128.0, 51.2, 32.0, 51.2, 128.0]

    Reference:
        Smith et al. 2017, arXiv:1711.00489, section 2.
    """
    _check_positive(noise=noise)

    def batch_size(step: int) -> float:
        lr = lr_schedule(step)
        if not lr > 0:
            raise ValueError(f"the learning rate (={lr}) at step {step} has no mirror; it must be positive")
        return noise / lr

    return batch_size


def whole(schedule: Schedule, multiple: int = 1) -> Callable[[int], int]:
    """A schedule rounded to the nearest multiple, at least one of it: batch sizes.

    Example:
        >>> [whole(constant(size), 32)(0) for size in (3, 70, 90)]
        [32, 64, 96]
    """
    _check_positive(multiple=multiple)
    return lambda step: max(1, round(schedule(step) / multiple)) * multiple


def _last(steps: int) -> int:
    if steps < 2:
        raise ValueError(f"`steps` (={steps}) must be at least 2, one for each end")
    return steps - 1


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < inf:
            raise ValueError(f"`{name}` (={value}) must be positive and finite")
