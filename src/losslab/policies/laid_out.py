"""A number or a policy, laid out over a run as a schedule."""

from collections.abc import Callable, Mapping
from typing import Any

from losslab import schedules
from losslab.choice import Choice
from losslab.errors import InvalidInput
from losslab.policies.batch import BATCH_POLICIES
from losslab.policies.horizon import Horizon, Policy
from losslab.policies.lr import LR_POLICIES
from losslab.schedules import Schedule


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
        return schedules.whole(schedules.constant(policy))
    options = policy.options
    multiple = options.pop("multiple", 1)
    return schedules.whole(_over(horizon, "batch", BATCH_POLICIES, policy, options), multiple)


def _over(
    horizon: Horizon,
    kind: str,
    policies: Mapping[str, Policy],
    choice: Choice,
    options: Mapping[str, Any],
) -> Schedule:
    try:
        return policies[choice.name](horizon, **options)
    except ValueError as error:
        raise InvalidInput(
            f"{kind} policy {choice} over {horizon.total_steps} steps: {error}"
        ) from error
