"""Policies by name: what a spec or the command line says of a learning rate or batch size, made into a schedule.

Lengths that a policy leaves open come from the run: a ramp fills it, and cycles are counted so that it ends with one.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from losslab import schedules
from losslab.choice import Choice, check_options
from losslab.schedules import Schedule

DEFAULT_CYCLES = 4
DEFAULT_END_FRACTION = 0.1


@dataclass(frozen=True)
class Horizon:
    """The length of a run, in which policies are laid out.

    Attributes:
        total_steps: optimizer steps of the run.
        steps_per_epoch: optimizer steps of an epoch, on average where the batch size varies.
    """

    total_steps: int
    steps_per_epoch: float


Policy = Callable[..., Schedule]


def half_cycle(
    horizon: Horizon, cycles: float | None, half_cycle_epochs: float | None, half_cycle_steps: float | None
) -> float:
    """Half a cycle in steps, said in one of three ways; 4 cycles in the run when none is.

    Raises:
        ValueError: when it is said twice.
    """
    said = [value for value in (cycles, half_cycle_epochs, half_cycle_steps) if value is not None]
    if len(said) > 1:
        raise ValueError("give one of `cycles`, `half_cycle_epochs` and `half_cycle_steps`")
    if half_cycle_steps is not None:
        return half_cycle_steps
    if half_cycle_epochs is not None:
        return half_cycle_epochs * horizon.steps_per_epoch
    return horizon.total_steps / (2 * (cycles or DEFAULT_CYCLES))


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
        raise ValueError("give one of `epochs` and `fractions`")
    places = [epoch * horizon.steps_per_epoch for epoch in epochs] or [f * horizon.total_steps for f in fractions]
    return schedules.piecewise(values, [round(place) for place in places])


def cosine(horizon: Horizon, *, high: float, low: float = 0.0, warmup_epochs: float = 0.0) -> Schedule:
    """Half a cosine from high to low over the run, after a linear warm-up."""
    steps = round(warmup_epochs * horizon.steps_per_epoch)
    schedule = schedules.cosine(high, low, horizon.total_steps)
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
    half_cycle_steps: float | None = None,
) -> Schedule:
    """Cycles of one height between base_lr and max_lr."""
    steps = half_cycle(horizon, cycles, half_cycle_epochs, half_cycle_steps)
    return schedules.cycle(base_lr, max_lr, steps)


def triangular2(
    horizon: Horizon,
    *,
    base_lr: float,
    max_lr: float,
    cycles: float | None = None,
    half_cycle_epochs: float | None = None,
    half_cycle_steps: float | None = None,
) -> Schedule:
    """Cycles that halve their height."""
    steps = half_cycle(horizon, cycles, half_cycle_epochs, half_cycle_steps)
    return schedules.cycle(base_lr, max_lr, steps, schedules.triangular2(steps))


def exp_range(
    horizon: Horizon,
    *,
    base_lr: float,
    max_lr: float,
    cycles: float | None = None,
    half_cycle_epochs: float | None = None,
    half_cycle_steps: float | None = None,
    gamma: float | None = None,
    end_fraction: float = DEFAULT_END_FRACTION,
) -> Schedule:
    """Cycles whose height falls by gamma a step; without gamma, to end_fraction by the end of the run."""
    steps = half_cycle(horizon, cycles, half_cycle_epochs, half_cycle_steps)
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

_CYCLES = ("triangular", "triangular2", "exp_range")


def _mirrored(policy: Policy) -> Policy:
    """The batch-size cycle that mirrors an lr cycle: from b_max down to b_min and back, 1/B being the triangle."""

    def mirrored(horizon: Horizon, *, b_min: float, b_max: float, **options: Any) -> Schedule:
        if not 0 < b_min < b_max:
            raise ValueError(f"`b_max` (={b_max}) must exceed `b_min` (={b_min}), which must be positive")
        return schedules.mirror(policy(horizon, base_lr=1 / b_max, max_lr=1 / b_min, **options), noise=1.0)

    cycle_options = [
        parameter
        for name, parameter in inspect.signature(policy).parameters.items()
        if name not in ("base_lr", "max_lr")
    ]
    bounds = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in ("b_min", "b_max")]
    mirrored.__signature__ = inspect.Signature([*cycle_options[:1], *bounds, *cycle_options[1:]])  # type: ignore[attr-defined]
    return mirrored


BATCH_POLICIES: dict[str, Policy] = {
    **{name: LR_POLICIES[name] for name in ("constant", "linear_ramp", "exponential_ramp", "piecewise")},
    **{name: _mirrored(LR_POLICIES[name]) for name in _CYCLES},
}
"""Name -> batch-size policy; every one also takes `multiple`, to which its values are rounded."""


def lr_schedule(policy: float | Choice, horizon: Horizon) -> Schedule:
    """The schedule of a learning-rate policy over a run.

    Raises:
        ValueError: when the policy's values are impossible.
    """
    if isinstance(policy, Choice):
        return LR_POLICIES[policy.name](horizon, **policy.options)
    return schedules.constant(policy)


def batch_schedule(policy: int | Choice, horizon: Horizon) -> Callable[[int], int]:
    """The schedule of a batch-size policy over a run, rounded to whole multiples."""
    if not isinstance(policy, Choice):
        return lambda _step: policy
    options = policy.options
    multiple = options.pop("multiple", 1)
    return schedules.whole(BATCH_POLICIES[policy.name](horizon, **options), multiple)


def check_policy(kind: str, policies: Mapping[str, Policy], choice: Choice) -> Choice:
    """The choice, once it is known to be a policy whose options fit together over some run.

    Raises:
        ValueError: unknown option, missing option or impossible values.
    """
    options = {key: value for key, value in choice.options.items() if (kind, key) != ("batch", "multiple")}
    check_options(f"{kind} policy", choice.name, policies[choice.name], options)
    try:
        value = policies[choice.name](Horizon(1000, 100.0), **options)(0)
    except TypeError as error:
        raise ValueError(f"{kind} policy {choice.name}: {error}") from None
    if not value > 0 and kind == "batch":
        raise ValueError(f"{kind} policy {choice.name}: its first value is {value}")
    return choice
