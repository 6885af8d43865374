"""Batch-size policies: the ramps of the learning rate, and the mirrors of its cycles.

A mirrored cycle starts at b_max and dips to b_min where the lr cycle rises from base_lr to its peak: 1/B runs along the
triangle between 1/b_max and 1/b_min, so that lr/B is that of an lr cycle over the same ratio.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import ceil

from losslab.policies import lr
from losslab.policies.horizon import Horizon, Policy
from losslab.schedules import Schedule, mirror
from losslab.schedules import piecewise as piecewise_schedule


def piecewise(
    horizon: Horizon, *, values: Sequence[float], epochs: Sequence[float] = (), fractions: Sequence[float] = ()
) -> Schedule:
    """The next value at each of the epochs, or at each fraction of the run's steps.

    Where every epoch has its own number of steps, the step of an epoch follows from the values before it.
    """
    if min(values, default=0) <= 0:
        raise ValueError(f"`values` (={list(values)}) must be positive")
    if not epochs or fractions:
        return lr.piecewise(horizon, values=values, epochs=epochs, fractions=fractions)
    spans = [end - start for start, end in pairwise([0.0, *epochs])]
    steps = [span * ceil(horizon.images / value) for span, value in zip(spans, values, strict=False)]
    return piecewise_schedule(values, [round(step) for step in accumulate(steps)])


def triangular(
    horizon: Horizon,
    *,
    b_min: float,
    b_max: float,
    cycles: float | None = None,
    half_cycle_epochs: float | None = None,
) -> Schedule:
    """Dips of one depth from b_max to b_min."""
    return _mirrored(lr.triangular, horizon, b_min, b_max, cycles=cycles, half_cycle_epochs=half_cycle_epochs)


def triangular2(
    horizon: Horizon,
    *,
    b_min: float,
    b_max: float,
    cycles: float | None = None,
    half_cycle_epochs: float | None = None,
) -> Schedule:
    """Dips whose depth, in 1/B, halves from one to the next."""
    return _mirrored(lr.triangular2, horizon, b_min, b_max, cycles=cycles, half_cycle_epochs=half_cycle_epochs)


def exp_range(
    horizon: Horizon,
    *,
    b_min: float,
    b_max: float,
    cycles: float | None = None,
    half_cycle_epochs: float | None = None,
    gamma: float | None = None,
    end_fraction: float = 0.1,
) -> Schedule:
    """Dips that become shallower exponentially: the mean batch size grows as the mean of lr's exp_range falls."""
    lengths = {"cycles": cycles, "half_cycle_epochs": half_cycle_epochs}
    return _mirrored(lr.exp_range, horizon, b_min, b_max, **lengths, gamma=gamma, end_fraction=end_fraction)


def _mirrored(policy: Policy, horizon: Horizon, b_min: float, b_max: float, **options: float | None) -> Schedule:
    if not 0 < b_min < b_max:
        raise ValueError(f"`b_max` (={b_max}) must exceed `b_min` (={b_min}), which must be positive")
    return mirror(policy(horizon, base_lr=1 / b_max, max_lr=1 / b_min, **options), noise=1.0)


BATCH_POLICIES: dict[str, Policy] = {
    "constant": lr.constant,
    "linear_ramp": lr.linear_ramp,
    "exponential_ramp": lr.exponential_ramp,
    "piecewise": piecewise,
    "triangular": triangular,
    "triangular2": triangular2,
    "exp_range": exp_range,
}
"""Name -> batch-size policy; every one also takes `multiple`, to which its values are rounded."""
