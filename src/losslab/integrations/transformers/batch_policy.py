"""A batch size that varies within a Transformers Trainer, whose steps and epochs it counts rightly."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch.utils.data import DataLoader
from transformers import Trainer

from losslab.integrations.torch.course import Course, PolicyLike, lay_out
from losslab.integrations.torch.loader import (
    check_loader,
    is_shuffled,
    own_batches,
    sampler_for,
    with_batches,
)
from losslab.integrations.torch.sampler import PolicyBatchSampler
from losslab.ranges.restored import process_state

PATCHED = (
    "get_train_dataloader",
    "set_initial_training_values",
    "_init_training_state",
    "_run_epoch",
)
"""Methods of a Trainer that are led while a policy holds, in the instance alone."""


@contextmanager
def batch_policy(trainer: Trainer, policy: PolicyLike, *, seed: int = 0) -> Iterator[Course]:
    """Let a Trainer train on batches whose size follows a policy within the context; afterwards it is as it was.

    The Trainer's loader keeps its dataset, collator and workers. Each epoch uses every sample once; ``max_steps`` and
    ``state.epoch`` follow from the policy, and so do checkpoints and ``resume_from_checkpoint``. Several processes
    split each batch of the policy among them.

    Args:
        trainer: not subclassed for this; its ``num_train_epochs`` is the length.
        policy: ``"exp_range(8, 64)"``, a number, or a schedule; samples of a step in all processes together.
        seed: of the order.
    Yields:
        The course: ``batch_sizes`` of all steps, ``total_steps``.
    Raises:
        ValueError: where the Trainer accumulates or counts by ``max_steps``, or is older than Transformers 5; where it
            resumes amid an epoch with ``ignore_data_skip``.
        TypeError: for a dataset without a length, or samples in an order of their own, such as grouped by length.
    """
    _check(trainer)
    own = _own_loader(trainer)
    check_loader(own)
    shape = {
        "dataset_size": len(own.dataset),  # type: ignore[arg-type]
        "epochs": trainer.args.num_train_epochs,
        "drop_last": own_batches(own).drop_last,
        "shuffle": is_shuffled(own),
        "seed": seed,
    }
    course = lay_out(lr=1.0, batch=policy, **shape)
    led = _Led(trainer, own, course, partial(lay_out, batch=policy, **shape))
    # Of this Trainer alone, such as a method that a user has put in the place of its class's.
    own_methods = {name: vars(trainer)[name] for name in PATCHED if name in vars(trainer)}
    for name in PATCHED:
        vars(trainer)[name] = getattr(led, name)
    try:
        yield course
    finally:
        for name in PATCHED:
            vars(trainer).pop(name, None)
        vars(trainer).update(own_methods)


class _Led:
    """A Trainer's methods with the steps of a course in place of equal epochs."""

    def __init__(
        self, trainer: Trainer, own: DataLoader[Any], course: Course, lay: Any
    ) -> None:
        self.own = own
        self.course = course
        self.lay = lay
        self.seed = course.batch_sampler.seed
        self.before = {name: getattr(trainer, name) for name in PATCHED}
        self.rank, self.replicas = trainer.args.process_index, trainer.args.world_size

    def get_train_dataloader(self) -> DataLoader[Any]:
        """A loader of the course's batches, this process's share of each."""
        loader = with_batches(self.own, self._sampler(self.rank, self.replicas))
        # The Trainer sets the epoch by this name; LrPolicy lays itself out by the other.
        vars(loader)["set_epoch"] = loader.batch_sampler.set_epoch  # type: ignore[union-attr]
        vars(loader)["course_of"] = lambda lr: self.lay(lr=lr)
        return loader

    def set_initial_training_values(self, *arguments: Any, **options: Any) -> tuple[Any, ...]:
        """The Trainer's own values, but for the number of steps, which is the last of them."""
        *values, _steps = self.before["set_initial_training_values"](*arguments, **options)
        return (*values, self.course.total_steps)

    def _init_training_state(self, *arguments: Any, **options: Any) -> tuple[int, int]:
        """Where a training that is resumed goes on: the epoch, and the steps of it that are done."""
        trainer = self.before["_init_training_state"].__self__
        self.before["_init_training_state"](*arguments, **options)
        epoch, done = 0, trainer.state.global_step
        while done and done >= self._epoch_steps(epoch):
            done -= self._epoch_steps(epoch)
            epoch += 1
        if done and trainer.args.ignore_data_skip:
            raise ValueError(
                f"`ignore_data_skip` (=True) begins epoch {epoch} anew after {done} of its steps, and the batches of "
                "the policy would be those of other steps; set ignore_data_skip=False"
            )
        return epoch, done

    def _run_epoch(self, *, epoch: int, **options: Any) -> None:
        """One epoch with as many steps as it has."""
        steps = self._epoch_steps(epoch)
        counts = {"steps_in_epoch": steps, "num_update_steps_per_epoch": steps}
        self.before["_run_epoch"](epoch=epoch, **options | counts)

    def _epoch_steps(self, epoch: int) -> int:
        sampler = self._sampler(None, 1)
        sampler.set_epoch(epoch)
        return len(sampler)

    def _sampler(self, rank: int | None, replicas: int) -> PolicyBatchSampler:
        size: Any = self.course.batch_sampler.batch_size
        return sampler_for(self.own, size, seed=self.seed, rank=rank, replicas=replicas)


def _own_loader(trainer: Trainer) -> DataLoader[Any]:
    """The loader that the Trainer would use, without what preparing it leaves behind."""
    put_back = process_state()
    prepared = list(trainer.accelerator._dataloaders)
    try:
        loader: DataLoader[Any] = trainer.get_train_dataloader()
        return loader
    finally:
        trainer.accelerator._dataloaders[:] = prepared
        put_back()


def _check(trainer: Trainer) -> None:
    args = trainer.args
    if not hasattr(trainer, "_run_epoch"):
        raise ValueError(
            "this Trainer is older than Transformers 5, whose epochs cannot be led; upgrade it"
        )
    if args.gradient_accumulation_steps != 1:
        raise ValueError(
            f"`gradient_accumulation_steps` (={args.gradient_accumulation_steps}) must be 1: a policy says the size of "
            "each step's batch"
        )
    if args.max_steps > 0:
        raise ValueError(
            f"`max_steps` (={args.max_steps}) must not be given: a batch policy is laid out over num_train_epochs"
        )
