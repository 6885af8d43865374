"""Policies by name: what a spec or the command line says of a learning rate or batch size, made into a schedule.

Lengths that a policy leaves open come from the run: a ramp fills it, and cycles are counted so that it ends with one.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from losslab import schedules
from losslab.choice import Choice, check_options
from losslab.errors import InvalidInput
from losslab.policies.batch import BATCH_POLICIES
from losslab.policies.horizon import Horizon, Policy
from losslab.policies.lr import LR_POLICIES
from losslab.schedules import Schedule

__all__ = ["BATCH_POLICIES", "LR_POLICIES", "Horizon", "Policy", "batch_schedule", "check_policy", "lr_schedule"]

_SPECIMEN = Horizon(1000, images=100, epochs=10.0, seen=range(1001))
"""The run over which a policy is tried before the real one's length is known."""
_LEAST = {"lr": 0, "batch": 1}


def lr_schedule(policy: float | Choice, horizon: Horizon) -> Schedule:
    """The schedule of a learning-rate policy over a run.

    Raises:
        InvalidInput: when the policy does not fit into a run of that length.
    Example:
        >>> schedule = lr_schedule(Choice(name="triangular", base_lr=1, max_lr=3, cycles=1), Horizon(4, images=256))
        >>> [schedule(step) for step in range(5)]
        [1.0, 2.0, 3.0, 2.0, 1.0]
    """
    if isinstance(policy, Choice):
        return _over(horizon, "lr", LR_POLICIES, policy, policy.options)
    return schedules.constant(policy)


def batch_schedule(policy: int | Choice, horizon: Horizon) -> Callable[[int], int]:
    """The schedule of a batch-size policy over a run, rounded to whole multiples.

    Raises:
        InvalidInput: when the policy does not fit into a run of that length.
    Example:
        >>> schedule = batch_schedule(Choice(name="triangular", b_min=16, b_max=64, cycles=1), Horizon(4, images=256))
        >>> [schedule(step) for step in range(5)]
        [64, 26, 16, 26, 64]
    """
    if not isinstance(policy, Choice):
        return lambda _step: policy
    options = policy.options
    multiple = options.pop("multiple", 1)
    return schedules.whole(_over(horizon, "batch", BATCH_POLICIES, policy, options), multiple)


def _over(
    horizon: Horizon, kind: str, policies: Mapping[str, Policy], choice: Choice, options: Mapping[str, Any]
) -> Schedule:
    try:
        return policies[choice.name](horizon, **options)
    except ValueError as error:
        raise InvalidInput(f"{kind} policy {choice} over {horizon.total_steps} steps: {error}") from error


def check_policy(kind: str, policies: Mapping[str, Policy], choice: Choice) -> Choice:
    """The choice, once it is known to be a policy whose options fit together over some run.

    Raises:
        ValueError: unknown option, missing option or impossible values.
    """
    options = choice.options
    if kind == "batch":
        _check_multiple(options.pop("multiple", 1))
    policy = policies[choice.name]
    check_options(f"{kind} policy", choice.name, policy, options)
    parameters = _bound(policy, options)
    for name, value in options.items():
        _check_numbers(name, value, many=parameters[name].annotation == Sequence[float])
    least = min(map(policy(_SPECIMEN, **options), range(_SPECIMEN.total_steps)))
    if least < _LEAST[kind]:
        raise ValueError(f"its values go down to {least:g}; they must be at least {_LEAST[kind]}")
    return choice


def _bound(policy: Policy, options: Mapping[str, Any]) -> Mapping[str, inspect.Parameter]:
    """The policy's parameters, once the options are known to hold all that are required."""
    signature = inspect.signature(policy)
    try:
        signature.bind(_SPECIMEN, **options)
    except TypeError as error:
        raise ValueError(str(error)) from None
    return signature.parameters


def _check_multiple(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"`multiple` (={value!r}) must be a whole number of at least 1")


def _check_numbers(name: str, value: object, *, many: bool) -> None:
    numbers = value if many else [value]
    if not isinstance(numbers, list | tuple) or not all(_is_number(number) for number in numbers):
        raise ValueError(f"`{name}` (={value!r}) must be {'a list of numbers' if many else 'a number'}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
