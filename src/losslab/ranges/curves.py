"""The arithmetic of range tests: curves smoothed without bias, cut where they diverge, and the part where they fall."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SPIKE_STEPS = 5
"""Width of the running median that takes out spikes of at most two steps."""
FALL_SHARE = 0.05
"""A range reaches from where this part of the whole fall is done to where this part is left."""
NOISE_FACTOR = 5.0
"""A fall counts when it is so many standard errors deep."""


STOP_BETA = 0.9
"""Of the average by which a running test is stopped."""


class NoRange(Exception):  # noqa: N818 - ends an analysis; becomes a finding with this reason, never an error
    """There is no range to be found, and why."""


def smooth(losses: Sequence[float] | Array, beta: float = 0.98) -> Array:
    r"""The exponential average over the steps before and after each step, without bias at either end.

    .. math:: s_i = \sum_j \beta^{|i-j|} x_j / \sum_j \beta^{|i-j|}

    At the last step this is the bias-corrected average of all steps before it, as learning-rate finders have it while
    they run. Elsewhere it looks both ways and so does not lag; an average over the past alone lags by beta/(1 - beta)
    steps, which with 0.98 and 50 steps a decade moves every reading by a decade.

    Args:
        losses: finite values, one a step.
        beta: weight of a neighbour relative to the step itself, in [0, 1); 0 leaves the losses as they are.
    Raises:
        ValueError: when ``beta`` is out of bounds.
    Example:
        >>> smooth([2.0, 2.0, 5.0], beta=0.5).round(2).tolist()
        [2.43, 2.75, 3.71]
    """
    if not 0 <= beta < 1:
        raise ValueError(f"`beta` (={beta}) must lie in [0, 1)")
    values = np.asarray(losses, dtype=np.float64)
    # The sum of the weights, which is smaller at the ends: dividing by it takes out the bias.
    weights = _both_ways(np.ones_like(values), beta)
    return np.asarray(_both_ways(values, beta) / weights)


def beta_for(steps: int, fraction: float) -> float:
    """The beta whose average looks over a fraction of the steps on either side.

    Example:
        >>> beta_for(500, 0.02)
        0.9
    """
    # An average with beta looks over 1 / (1 - beta) steps.
    neighbours = max(1.0, fraction * steps)
    return max(0.0, 1 - 1 / neighbours)


def without_spikes(losses: Sequence[float] | Array) -> Array:
    """The running median over five steps, so that one or two wild batches do not move the average.

    Example:
        >>> without_spikes([1.0, 1.0, 90.0, 1.0, 1.0]).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    half = SPIKE_STEPS // 2
    values = np.asarray(losses, dtype=np.float64)
    if len(values) <= half:
        return values
    padded = np.pad(values, half, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, SPIKE_STEPS)
    return np.asarray(np.median(windows, axis=1))


def steps_before_divergence(losses: Sequence[float], beta: float) -> int:
    """How many steps come before the loss is no number, or its average so far is four times the best there was.

    For losses near or below zero "four times" reads: above the best by three times the best's size, or by three times
    the fall so far where that is more; for a positive loss that fell by less than half it is the plain four times. A
    rise within three times the usual change from step to step is noise, whatever the loss.

    Example:
        >>> steps_before_divergence([2.0, 1.9, float("nan"), 2.0], beta=0.5)
        2
    """
    values = np.asarray(losses, dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        values = values[: int(np.argmin(finite))]
    if not len(values):
        return 0
    weights = _decayed(np.ones_like(values), beta)
    average = _decayed(without_spikes(values), beta) / weights
    best = np.minimum.accumulate(average)
    fall = average[0] - best
    noise = np.median(abs(np.diff(values))) if len(values) > 1 else 0.0
    # A third of the rise that counts. For a positive loss it is mostly the best itself: four times that is too much.
    scale = np.maximum.reduce([abs(best), fall, np.full_like(best, noise)])
    diverged = average - best > 3 * scale
    return int(np.argmax(diverged)) if diverged.any() else len(values)


def finite_or_none(values: Array) -> list[float | None]:
    """As numbers of JSON; None for a training that diverged."""
    return [float(value) if np.isfinite(value) else None for value in values]


def standard_error(losses: Array, smoothed: Array, beta: float) -> float:
    r"""The standard error of an average at the end of its curve, where half as many losses speak as elsewhere.

    .. math:: 1.25 \sigma \sqrt{(1 - \beta) / (1 + \beta)}

    The deviation sigma of losses about their course is estimated by the median, so that spikes do not count; 1.25 is
    what the running median costs.

    Example:
        >>> standard_error(np.array([1.1, 0.9, 1.1, 0.9]), np.ones(4), beta=0.9).__round__(3)
        0.043
    """
    # 1.4826 makes a median of deviations the standard deviation of normal noise.
    deviation = 1.4826 * float(np.median(abs(losses - smoothed)))
    of_average = sqrt((1 - beta) / (1 + beta))
    return 1.25 * deviation * of_average


@dataclass(frozen=True)
class Fall:
    """The part of a curve in which it does its falling, as indices of the curve."""

    begin: int
    end: int
    lowest: int


def find_fall(losses: Array, error: float, remedy: str = "") -> Fall:
    """Where a curve begins to fall and where it has done so: 5 % of the fall before and after.

    The fall is from the first value to the lowest. It begins at the last point before which less than 5 % of it is
    done, and ends at the first point after it where 95 % is.

    Args:
        losses: smooth curve.
        error: standard error of its values.
        remedy: what to try where it does not fall.
    Raises:
        NoRange: when the curve does not fall by more than its noise.
    Example:
        >>> find_fall(np.array([2.0, 2.0, 1.0, 0.5, 0.49, 0.8]), error=0.01)
        Fall(begin=1, end=3, lowest=4)
    """
    lowest = int(np.argmin(losses))
    depth = float(losses[0] - losses[lowest])
    # The second bound is for curves without noise, whose rounding is no fall.
    if depth <= NOISE_FACTOR * error or depth <= 1e-6 * abs(float(losses[0])):
        reason = f"the loss never falls below its first value, {losses[0]:.4g}, by more than its noise"
        raise NoRange("; ".join(filter(None, [reason, remedy])))
    done = (losses[0] - losses[: lowest + 1]) / depth
    begin = int(np.flatnonzero(done < FALL_SHARE)[-1])
    is_done = done[begin:] >= 1 - FALL_SHARE
    return Fall(begin, begin + int(np.argmax(is_done)), lowest)


def _both_ways(values: Array, beta: float) -> Array:
    before = _decayed(values, beta)
    after = _decayed(values[::-1], beta)[::-1]
    return before + after - values  # each step is in both


def _decayed(values: Array, beta: float) -> Array:
    totals = accumulate(values.tolist(), lambda total, value: total * beta + value)
    return np.fromiter(totals, np.float64, len(values))
