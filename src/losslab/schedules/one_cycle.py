"""One cycle over the whole run: of the learning rate, of the momentum against it, of the batch size."""

from bisect import bisect_left
from collections.abc import Sequence
from math import cos, pi

from losslab.schedules.checks import LEFT_OPEN, check_fraction, check_positive
from losslab.schedules.named import Schedule, named


@named
def one_cycle(
    max_lr: float,
    steps: int = LEFT_OPEN,
    *,
    up_fraction: float = 0.3,
    start_divisor: float = 25.0,
    end_divisor: float = 1e4,
    three_phase: bool = False,
    linear: bool = False,
) -> Schedule:
    """Up from max_lr/start_divisor to ``max_lr``, then down to max_lr/(start_divisor*end_divisor), along cosines.

    Args:
        max_lr: the peak.
        steps: length; the last value is at step ``steps - 1``.
        up_fraction: part of the steps that go up.
        start_divisor: peak over start.
        end_divisor: start over end.
        three_phase: come down to the start as fast as up, and only then to the end, as in the paper.
        linear: along straight lines in place of cosines.
    Raises:
        ValueError: when the lengths leave no step for a phase.
    Example:
        >>> one_cycle(1.0, 10)(2)
        1.0

    Reference:
        Smith & Topin 2017, arXiv:1708.07120; torch's OneCycleLR has the same values.
    """
    check_positive(start_divisor=start_divisor, end_divisor=end_divisor)
    start = max_lr / start_divisor
    end = start / end_divisor
    if three_phase:
        return _through([start, max_lr, start, end], _three_phases(steps, up_fraction), linear)
    return _through([start, max_lr, end], _two_phases(steps, up_fraction), linear)


@named
def one_cycle_momentum(
    steps: int,
    *,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    up_fraction: float = 0.3,
    three_phase: bool = False,
    linear: bool = False,
) -> Schedule:
    """The momentum that goes with :func:`one_cycle`: lowest at the peak of the learning rate.

    Args:
        steps: length, as that of the learning rate.
        base_momentum: where the learning rate is highest.
        max_momentum: where it is low.
        up_fraction: part of the steps in which the learning rate goes up.
        three_phase: as that of the learning rate; in the third phase the momentum stays.
        linear: as that of the learning rate.
    Raises:
        ValueError: when the lengths leave no step for a phase.
    Example:
        >>> [round(one_cycle_momentum(10)(step), 3) for step in (0, 2, 9)]
        [0.95, 0.85, 0.95]

    Reference:
        Smith 2018, arXiv:1803.09820, section 4.3; torch's OneCycleLR with ``cycle_momentum`` has the same values.
    """
    if three_phase:
        values = [max_momentum, base_momentum, max_momentum, max_momentum]
        return _through(values, _three_phases(steps, up_fraction), linear)
    return _through(
        [max_momentum, base_momentum, max_momentum], _two_phases(steps, up_fraction), linear
    )


@named
def one_cycle_batch(
    b_start: float,
    b_min: float,
    b_max: float,
    steps: int = LEFT_OPEN,
    *,
    down_fraction: float = 0.3,
    linear: bool = False,
) -> Schedule:
    """A batch size that dips from ``b_start`` to ``b_min`` where :func:`one_cycle` peaks, then grows to ``b_max``.

    Args:
        b_start: size at step 0.
        b_min: the dip.
        b_max: size at step ``steps - 1``.
        steps: length.
        down_fraction: part of the steps that go down.
        linear: along straight lines in place of cosines.
    Raises:
        ValueError: when ``b_min`` is not below the others or the lengths leave no step for a phase.
    Example:
        >>> [one_cycle_batch(64, 16, 256, 10)(step) for step in (0, 2, 9)]
        [64.0, 16.0, 256.0]

    Reference:
        OneCycleBS of bs-scheduler.
    """
    check_positive(b_min=b_min)
    for name, value in {"b_start": b_start, "b_max": b_max}.items():
        if not value > b_min:
            raise ValueError(f"`{name}` (={value}) must exceed `b_min` (={b_min})")
    return _through(
        [b_start, b_min, b_max], _two_phases(steps, down_fraction, "down_fraction"), linear
    )


def _two_phases(steps: int, fraction: float, name: str = "up_fraction") -> list[float]:
    """The steps at which the phases end; the turn lies one step early, as torch has it."""
    turn, last = fraction * steps - 1, steps - 1
    if not 0 < turn < last:
        raise ValueError(
            f"`steps` (={steps}) with `{name}` (={fraction}) must leave steps for going up and down"
        )
    return [turn, last]


def _three_phases(steps: int, up_fraction: float) -> list[float]:
    check_fraction(up_fraction=up_fraction)
    # Two steps early, since each of the two phases ends one step early, as torch has it.
    turn, back, last = up_fraction * steps - 1, 2 * up_fraction * steps - 2, steps - 1
    if not 0 < turn < back < last:
        raise ValueError(
            f"`steps` (={steps}) with `up_fraction` (={up_fraction}) must leave steps for three phases"
        )
    return [turn, back, last]


def _through(values: Sequence[float], ends: Sequence[float], linear: bool) -> Schedule:
    """From value to value, one at the end of each phase; then the last."""
    begins = [0, *ends[:-1]]

    def value(step: int) -> float:
        step = min(step, int(ends[-1]))
        # To the left: the end of a phase, which need not be a whole step, still belongs to it.
        phase = bisect_left(ends, step)
        start, end = values[phase], values[phase + 1]
        within, length = step - begins[phase], ends[phase] - begins[phase]
        if linear:
            return start + (end - start) * (within / length)
        return end + (start - end) * (1 + cos(pi * within / length)) / 2

    return value
