"""Learning-rate policies: schedules laid out over a run, with the options that a user gives."""

from collections.abc import Sequence

from losslab import schedules
from losslab.policies.horizon import Horizon, Policy
from losslab.schedules import Schedule


def constant(_horizon: Horizon, *, value: float) -> Schedule:
    """One value."""
    return schedules.constant(value)


def linear_ramp(horizon: Horizon, *, start: float, end: float) -> Schedule:
    """From start to end over the run, in equal differences."""
    return schedules.linear_ramp(start, end, horizon.total_steps)


def exponential_ramp(horizon: Horizon, *, start: float, end: float) -> Schedule:
    """From start to end over the run, in equal ratios: the learning-rate range test."""
    return schedules.exponential_ramp(start, end, horizon.total_steps)


def piecewise(
    horizon: Horizon, *, values: Sequence[float], epochs: Sequence[float] = (), fractions: Sequence[float] = ()
) -> Schedule:
    """The next value at each of the epochs, or at each fraction of the run."""
    if bool(epochs) == bool(fractions):
        raise ValueError(f"give `epochs` (={list(epochs)}) or `fractions` (={list(fractions)}), and not both")
    places = [horizon.step_at(epoch) for epoch in epochs] or [round(horizon.total_steps * part) for part in fractions]
    return schedules.piecewise(values, places)


def cosine(horizon: Horizon, *, high: float, low: float = 0.0, warmup_epochs: float = 0.0) -> Schedule:
    """Half a cosine from high to low over the run; the warm-up scales its beginning and does not delay it."""
    schedule = schedules.cosine(high, low, horizon.total_steps)
    steps = horizon.step_at(warmup_epochs)
    return schedules.warmup(schedule, steps) if steps else schedule


def one_cycle(horizon: Horizon, *, max_lr: float, up_fraction: float = 0.3) -> Schedule:
    """One cycle over the run."""
    return schedules.one_cycle(max_lr, horizon.total_steps, up_fraction=up_fraction)


def triangular(
    horizon: Horizon,
    *,
    base_lr: float,
    max_lr: float,
    cycles: float | None = None,
    half_cycle_epochs: float | None = None,
) -> Schedule:
    """Cycles of one height between base_lr and max_lr."""
    return schedules.cycle(base_lr, max_lr, horizon.half_cycle(cycles, half_cycle_epochs))


def triangular2(
    horizon: Horizon,
    *,
    base_lr: float,
    max_lr: float,
    cycles: float | None = None,
    half_cycle_epochs: float | None = None,
) -> Schedule:
    """Cycles that halve their height."""
    steps = horizon.half_cycle(cycles, half_cycle_epochs)
    return schedules.cycle(base_lr, max_lr, steps, schedules.triangular2(steps))


def exp_range(
    horizon: Horizon,
    *,
    base_lr: float,
    max_lr: float,
    cycles: float | None = None,
    half_cycle_epochs: float | None = None,
    gamma: float | None = None,
    end_fraction: float = 0.1,
) -> Schedule:
    """Cycles whose height falls by gamma a step; without gamma, to end_fraction by the end of the run."""
    steps = horizon.half_cycle(cycles, half_cycle_epochs)
    factor = schedules.gamma_for(end_fraction, horizon.total_steps) if gamma is None else gamma
    return schedules.cycle(base_lr, max_lr, steps, schedules.exp_range(factor))


LR_POLICIES: dict[str, Policy] = {
    "constant": constant,
    "linear_ramp": linear_ramp,
    "exponential_ramp": exponential_ramp,
    "piecewise": piecewise,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "triangular": triangular,
    "triangular2": triangular2,
    "exp_range": exp_range,
}
"""Name -> learning-rate policy."""
