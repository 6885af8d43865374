"""A learning rate and a batch size laid out together, for a training loop of one's own."""

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeGuard

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from losslab.choice import Choice
from losslab.integrations.torch.sampler import PolicyBatchSampler
from losslab.integrations.torch.scheduler import lr_scheduler
from losslab.policies import (
    BATCH_POLICIES,
    LR_POLICIES,
    Horizon,
    Policy,
    batch_schedule,
    lr_schedule,
    number_or_policy,
)
from losslab.policies.sizes import Size, batches, sizes_to_see, steps_to_see
from losslab.schedules import Named, Schedule, whole

PolicyLike = float | str | Mapping[str, Any] | Schedule
"""A number, a policy as text or table, or a schedule: with its length, or without `steps`."""


@dataclass(frozen=True)
class Course:
    """A training laid out: learning rate and batch size together, over the same steps.

    Attributes:
        lr: the learning rate by step.
        batch_sizes: samples of every step.
        batch_sampler: for a DataLoader; iterate over that, epoch after epoch, until all steps are done.
    """

    lr: Schedule
    batch_sizes: tuple[int, ...]
    batch_sampler: PolicyBatchSampler

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the training."""
        return len(self.batch_sizes)

    def lr_scheduler(self, optimizer: Optimizer) -> LambdaLR:
        """The learning rate as a torch scheduler, as :func:`lr_scheduler`."""
        return lr_scheduler(optimizer, self.lr)


def lay_out(
    *,
    lr: PolicyLike,
    batch: PolicyLike,
    dataset_size: Sized | int,
    epochs: float,
    seed: int = 0,
    drop_last: bool = False,
    shuffle: bool = True,
    rank: int | None = None,
    replicas: int = 1,
) -> Course:
    """Lay out a learning rate and a batch size over a training of your own, so that both end where it ends.

    How many steps the epochs have follows from the batch sizes, and the batch sizes, where they cycle, from the steps:
    this is solved first, and the learning rate is laid out over what comes out.

    Args:
        lr: ``0.1``, ``"exp_range(1e-3, 0.1, cycles=3)"``, or a schedule of :mod:`losslab.schedules`.
        batch: ``64``, ``"exp_range(16, 256)"``, or a schedule.
        dataset_size: samples of an epoch, or the dataset.
        epochs: length of the training.
        seed: seed of the order, as in :class:`PolicyBatchSampler`.
        drop_last: leave out batches that are short.
        shuffle: whether each epoch has its own random order.
        rank: which replica this is.
        replicas: processes that train on one batch together.
    Returns:
        The learning rate by step, the sizes of all batches and a batch sampler.
    Raises:
        TypeError: a DataLoader in place of its dataset.
        ValueError: a policy that is not known, or whose options do not fit; a length that is not positive.
        InvalidInput: a policy that does not fit into so many steps.
    Example:
        >>> course = lay_out(lr="exp_range(1e-3, 0.1)", batch="exp_range(8, 64)", dataset_size=1000, epochs=3)
        >>> course.total_steps, course.lr(0), round(course.lr(course.total_steps), 6)
        (91, 0.001, 0.001)
    """
    if isinstance(dataset_size, DataLoader):
        # Its length is of batches, whose sizes are laid out here.
        raise TypeError("`dataset_size` is a DataLoader; give its dataset: loader.dataset")
    samples = len(dataset_size) if isinstance(dataset_size, Sized) else dataset_size
    if not epochs > 0 or samples < 1:
        raise ValueError(
            f"`epochs` (={epochs}) and `dataset_size` (={samples}) must be positive"
        )
    wanted = max(1, round(epochs * samples))
    size, sizes = _laid_out_batch(batch, samples, wanted, drop_last)
    sampler = PolicyBatchSampler(
        samples, size, drop_last, seed=seed, shuffle=shuffle, rank=rank, replicas=replicas
    )
    counted = islice(batches(size, samples, drop_last=drop_last), len(sizes))
    seen = [0, *(seen for _batch, seen in counted)]
    horizon = Horizon(len(sizes), samples, seen[-1] / samples, seen)
    return Course(laid_out_lr(lr, horizon), tuple(sizes), sampler)


def _laid_out_batch(
    batch: PolicyLike, samples: int, wanted: int, drop_last: bool
) -> tuple[Size, list[int]]:
    """The scheduled sizes, and those of all steps of the training."""
    if is_closed(batch):
        size = whole(batch)
        return size, sizes_to_see(wanted, size, samples, drop_last=drop_last)
    policy = policy_of("batch", BATCH_POLICIES, batch)
    # A policy's sizes are cut to what is left of an epoch; a number that never fits is a slip.
    if not isinstance(policy, Choice) and policy > samples:
        raise ValueError(
            f"`batch` (={batch}) exceeds `dataset_size` (={samples}); give at most {samples}"
        )
    number_or_choice = policy if isinstance(policy, Choice) else int(policy)

    def size_over(steps: int) -> Size:
        horizon = Horizon(steps, samples, wanted / samples, drop_last=drop_last)
        return batch_schedule(number_or_choice, horizon)

    def sizes_over(steps: int) -> list[int]:
        return sizes_to_see(wanted, size_over(steps), samples, drop_last=drop_last)

    steps = steps_to_see(wanted, sizes_over) if isinstance(policy, Choice) else 1
    return size_over(steps), sizes_over(steps)


def laid_out_lr(lr: PolicyLike, horizon: Horizon) -> Schedule:
    """The learning rate over a training; a schedule that has its length stays as it is."""
    if is_closed(lr):
        return lr
    return lr_schedule(policy_of("lr", LR_POLICIES, lr), horizon)


def equal_steps(total_steps: int, epoch_steps: int) -> Horizon:
    """The horizon of a training whose epochs all have so many steps."""
    # One step is one sample here: where epochs begin is all that a learning rate reads of them.
    return Horizon(total_steps, epoch_steps, total_steps / epoch_steps, range(total_steps + 1))


def policy_of(kind: str, policies: Mapping[str, Policy], value: PolicyLike) -> float | Choice:
    """A number, or a policy whose length is open; the error names the argument."""
    try:
        return number_or_policy(kind, policies, value)
    except ValueError as error:
        raise ValueError(f"`{kind}` (={value!r}): {error}") from None


def is_closed(policy: PolicyLike) -> TypeGuard[Schedule]:
    """Whether a policy is a schedule that has its length."""
    return callable(policy) and not (isinstance(policy, Named) and policy.is_open)
