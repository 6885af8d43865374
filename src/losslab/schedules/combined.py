"""Schedules of schedules: warmed up, in sequence, mirrored, rounded."""

from bisect import bisect_right
from collections.abc import Callable, Sequence

from losslab.schedules.checks import check_positive
from losslab.schedules.named import Schedule, bare, named


@named
def warmup(schedule: Schedule, steps: int) -> Schedule:
    """A schedule whose first ``steps`` values are scaled up linearly: by 1/steps at step 0, by 1 at step ``steps - 1``.

    Raises:
        ValueError: when ``steps`` is not positive.
    Example:
        >>> from losslab.schedules import constant
        >>> [warmup(constant(1.0), 4)(step) for step in range(5)]
        [0.25, 0.5, 0.75, 1.0, 1.0]

    Reference:
        Goyal et al. 2017, arXiv:1706.02677, section 2.2.
    """
    check_positive(steps=steps)
    value = bare(schedule)
    # From 1/steps and not from 0, with which the first step would train nothing.
    return lambda step: value(step) * min(1.0, (step + 1) / steps)


@named
def chain(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """Schedules in sequence; each counts its own steps from 0.

    Args:
        schedules: one more than boundaries.
        boundaries: steps at which the next one begins, in order.
    Raises:
        ValueError: when the lengths do not fit or the boundaries are out of order.
    Example:
        >>> from losslab.schedules import constant, linear_ramp
        >>> [chain([linear_ramp(1, 3, 3), constant(0.5)], [3])(step) for step in range(5)]
        [1.0, 2.0, 3.0, 0.5, 0.5]

    Reference:
        torch's SequentialLR has the same values.
    """
    if len(schedules) != len(boundaries) + 1 or list(boundaries) != sorted(boundaries):
        raise ValueError(
            f"`schedules` (={len(schedules)} of them) must be one more than the ordered boundaries {list(boundaries)}"
        )
    begins = [0, *boundaries]
    values = [bare(schedule) for schedule in schedules]

    def value(step: int) -> float:
        # To the right: the step of a boundary is the first of the next schedule.
        index = bisect_right(boundaries, step)
        return values[index](step - begins[index])

    return value


@named
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
        >>> from losslab.schedules import cycle
        >>> [round(mirror(cycle(1, 4, 2), noise=128)(step), 1) for step in range(5)]
        [128.0, 51.2, 32.0, 51.2, 128.0]

    Reference:
        Smith et al. 2017, arXiv:1711.00489, section 2.
    """
    check_positive(noise=noise)
    lr_of = bare(lr_schedule)

    def batch_size(step: int) -> float:
        lr = lr_of(step)
        if not lr > 0:
            raise ValueError(
                f"the learning rate (={lr}) at step {step} has no mirror; it must be positive"
            )
        return noise / lr

    return batch_size


@named
def mirror_momentum(
    lr_schedule: Schedule,
    base_lr: float,
    max_lr: float,
    *,
    base_momentum: float = 0.8,
    max_momentum: float = 0.9,
) -> Schedule:
    """The momentum cycled against a learning rate: lowest where the lr is highest.

    .. math:: m(t) = m_{max} - (m_{max} - m_{base}) (lr(t) - lr_{base}) / (lr_{max} - lr_{base})

    Args:
        lr_schedule: the learning rate.
        base_lr: where the momentum is ``max_momentum``.
        max_lr: where it is ``base_momentum``.
        base_momentum: lowest momentum.
        max_momentum: highest momentum.
    Raises:
        ValueError: when ``base_lr`` does not lie below ``max_lr``.
    Example:
        >>> from losslab.schedules import cycle
        >>> [round(mirror_momentum(cycle(1, 3, 2), 1, 3)(step), 3) for step in range(5)]
        [0.9, 0.85, 0.8, 0.85, 0.9]

    Reference:
        Smith 2018, arXiv:1803.09820, section 4.3; torch's CyclicLR with ``cycle_momentum`` has the same values. The
        momentum of one cycle, whose two sides differ, is :func:`losslab.schedules.one_cycle_momentum`.
    """
    if not base_lr < max_lr:
        raise ValueError(f"`max_lr` (={max_lr}) must exceed `base_lr` (={base_lr}); swap them?")
    lr_of = bare(lr_schedule)

    def momentum(step: int) -> float:
        height = (lr_of(step) - base_lr) / (max_lr - base_lr)
        return max_momentum - (max_momentum - base_momentum) * height

    return momentum


@named
def whole(schedule: Schedule, multiple: int = 1) -> Callable[[int], int]:
    """A schedule rounded to the nearest multiple, at least one of it: batch sizes.

    Example:
        >>> from losslab.schedules import constant
        >>> [whole(constant(size), 32)(0) for size in (3, 70, 90)]
        [32, 64, 96]
    """
    check_positive(multiple=multiple)
    value = bare(schedule)
    return lambda step: max(1, round(value(step) / multiple)) * multiple
