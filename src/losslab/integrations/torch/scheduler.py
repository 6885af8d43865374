"""A schedule as torch's learning-rate scheduler."""

from collections.abc import Sequence
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from losslab.schedules import Schedule


def lr_scheduler(optimizer: Optimizer, schedule: Schedule | Sequence[Schedule]) -> LambdaLR:
    """Make a torch scheduler under which the lr is the schedule's; call its ``step()`` every batch.

    Args:
        optimizer: whose learning rates it sets.
        schedule: of the first parameter group, to which the other groups keep their present ratio; or a schedule for
            each group.
    Raises:
        ValueError: when a group's lr that is scaled is not positive, or there are not as many schedules as groups.
    Example:
        >>> import torch
        >>> from losslab.schedules import cycle
        >>> groups = [{"params": [torch.zeros(1)], "lr": lr} for lr in (1.0, 0.1)]
        >>> scheduler = lr_scheduler(torch.optim.SGD(groups), cycle(1.0, 3.0, 2))
        >>> scheduler.get_last_lr()
        [1.0, 0.1]
    """
    groups = optimizer.param_groups
    # `initial_lr` where a scheduler was here before: `lr` is then already a multiple of it.
    rates = [float(group.get("initial_lr", group["lr"])) for group in groups]
    if not isinstance(schedule, Sequence):
        if not rates[0] > 0:
            raise ValueError(
                f"`lr` (={rates[0]}) of the first parameter group must be positive: the others are scaled by it"
            )
        return LambdaLR(optimizer, partial(_ratio, schedule, rates[0]))
    if len(schedule) != len(groups):
        raise ValueError(
            f"`schedule` (={len(schedule)} of them) must be one, or one for each of {len(groups)} groups"
        )
    if min(rates) <= 0:
        raise ValueError(
            f"`lr` (={min(rates)}) of every parameter group must be positive: torch multiplies it"
        )
    return LambdaLR(
        optimizer, [partial(_ratio, own, lr) for own, lr in zip(schedule, rates, strict=True)]
    )


def _ratio(schedule: Schedule, lr: float, step: int) -> float:
    # A partial of a function, unlike a lambda, can be pickled, and torch keeps nothing of it in the scheduler's state.
    return schedule(step) / lr
