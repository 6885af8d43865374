"""A batch-size policy as a callback of Lightning's Trainer."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler

from losslab.integrations.torch.course import Course, PolicyLike, lay_out
from losslab.integrations.torch.loader import (
    is_shuffled,
    own_batches,
    sampler_for,
    with_batches,
)
from losslab.integrations.torch.sampler import PolicyBatchSampler


class BatchPolicy(Callback):  # type: ignore[misc]  # untyped where Lightning is not installed
    """Train on batches whose size follows a policy, laid out over the epochs of the training.

    The Trainer's training DataLoader is replaced, for the fit alone, by one of the same dataset, collate function and
    workers. Under DDP each batch of the schedule is split among the ranks. The Trainer asks for the loader each epoch
    (``reload_dataloaders_every_n_epochs=1``), since the number of an epoch's batches varies.

    Args:
        policy: ``"exp_range(16, 256)"``, a number, or a schedule; of the whole batch, that of all ranks together.
        seed: of the order.
    Attributes:
        batch_sizes: samples of every step; known once the training has begun.
    Raises:
        ValueError: where the Trainer accumulates, limits the batches of an epoch, or has no number of epochs.
        TypeError: for training data that is not one DataLoader with a length.
    """

    def __init__(self, policy: PolicyLike, *, seed: int = 0) -> None:
        self.policy = policy
        self.seed = seed
        self.batch_sizes: tuple[int, ...] = ()
        self._shape: dict[str, Any] = {}
        self._size: Any = None
        self._undo: tuple[Any, int] | None = None

    def setup(self, trainer: Trainer, _module: LightningModule, stage: str) -> None:
        """Replace the source of the training data."""
        if stage != "fit":
            return
        _check(trainer)
        # Another fit may have other data.
        self._shape = {}
        loop = trainer.fit_loop
        self._undo = (loop._data_source, trainer.reload_dataloaders_every_n_epochs)
        loop._data_source = _Source(loop._data_source, self, trainer)
        trainer.reload_dataloaders_every_n_epochs = 1

    def on_fit_start(self, trainer: Trainer, _module: LightningModule) -> None:
        """Drop a loader that was built too early: the checkpoint, read next, says which batch comes first."""
        # A module that asked for its number of steps has had it built already.
        if trainer.ckpt_path is not None:
            trainer.fit_loop._combined_loader = None

    def teardown(self, trainer: Trainer, *_arguments: Any, **_options: Any) -> None:
        """Put the source back."""
        if self._undo is not None:
            trainer.fit_loop._data_source, every = self._undo
            trainer.reload_dataloaders_every_n_epochs = every
            self._undo = None

    def on_exception(self, trainer: Trainer, *_arguments: Any, **_options: Any) -> None:
        """Put the source back."""
        self.teardown(trainer)

    def course(self, lr: PolicyLike) -> Course:
        """The batch sizes laid out together with a learning rate."""
        return lay_out(lr=lr, batch=self.policy, seed=self.seed, **self._shape)

    def loader(self, own: DataLoader[Any], trainer: Trainer) -> DataLoader[Any]:
        """The Trainer's own loader with the batches of the epoch at hand."""
        if not self._shape:
            checked = with_batches(own, sampler_for(own, 1, seed=self.seed))
            self._shape = {
                "dataset_size": len(checked.dataset),  # type: ignore[arg-type]
                "epochs": trainer.max_epochs,
                "drop_last": own_batches(own).drop_last,
            }
            course = self.course(1.0)
            self.batch_sizes, self._size = course.batch_sizes, course.batch_sampler.batch_size
        sampler = sampler_for(
            own,
            self._size,
            seed=self.seed,
            rank=trainer.global_rank,
            replicas=trainer.world_size,
        )
        sampler.set_epoch(trainer.current_epoch)
        done = batches_done(trainer)
        loader = with_batches(own, _Rest(sampler, done) if done else sampler)
        if trainer.world_size > 1:
            # By this attribute, which a loader with a batch sampler does not use, Lightning sees that the samples are
            # split already; it would build the sampler anew, without its seed and its shuffling.
            vars(loader)["sampler"] = DistributedSampler(
                own.dataset,
                trainer.world_size,
                trainer.global_rank,
                is_shuffled(own),
                self.seed,
            )
        return loader


class _Rest(BatchSampler):
    """The batches of an epoch after those that are done.

    The length is that of the whole epoch, since Lightning counts the batches done, too.
    """

    def __init__(self, epoch: PolicyBatchSampler, done: int) -> None:
        # By these names Lightning sets the epoch.
        self.sampler = epoch  # type: ignore[assignment]
        self.batch_size, self.drop_last = epoch.batch_size, epoch.drop_last
        self.done = done

    def __iter__(self) -> Iterator[list[int]]:
        return islice(self.sampler, self.done, None)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.sampler)  # type: ignore[arg-type]


def batches_done(trainer: Trainer) -> int:
    """Batches of the current epoch that were trained before the checkpoint.

    Lightning counts them but does not skip them.
    """
    loop = trainer.fit_loop
    epochs = loop.epoch_progress.current
    # After an epoch's end the count is still that of its batches.
    if not loop.restarting or epochs.processed == epochs.started:
        return 0
    return int(loop.epoch_loop.batch_progress.current.processed)


@dataclass
class _Source:
    """Where the Trainer's loop gets its training data: from its own source, with the batches of a policy."""

    own: Any
    policy: BatchPolicy
    trainer: Trainer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)

    def dataloader(self) -> Any:
        return self.policy.loader(self.own.dataloader(), self.trainer)


def _check(trainer: Trainer) -> None:
    if any(isinstance(own, GradientAccumulationScheduler) for own in trainer.callbacks):
        raise ValueError(
            "the Trainer has a GradientAccumulationScheduler, whose steps a policy of batch sizes does not know; "
            "leave it out"
        )
    if trainer.accumulate_grad_batches != 1:
        raise ValueError(
            f"the Trainer accumulates {trainer.accumulate_grad_batches} batches a step, which a policy of batch sizes "
            "does not know; set accumulate_grad_batches=1"
        )
    limits = (trainer.limit_train_batches, trainer.overfit_batches)
    if limits != (1.0, 0.0) and not trainer.fast_dev_run:
        raise ValueError(
            f"the Trainer limits the batches of an epoch (limit_train_batches={limits[0]}, "
            f"overfit_batches={limits[1]}), over which a policy cannot be laid out; limit the dataset"
        )
    in_epochs = trainer.check_val_every_n_epoch is not None
    if in_epochs and isinstance(trainer.val_check_interval, int):
        raise ValueError(
            f"the Trainer validates after val_check_interval={trainer.val_check_interval} batches, of which an epoch "
            "of a batch policy may have fewer; give a part of an epoch, such as 0.5"
        )
    if trainer.max_epochs is None or trainer.max_epochs < 1:
        raise ValueError(
            f"the Trainer has max_epochs={trainer.max_epochs}; a batch policy is laid out over epochs: "
            "give their number"
        )
    if trainer.max_steps not in (-1, None) and not trainer.fast_dev_run:
        raise ValueError(
            f"the Trainer ends after max_steps={trainer.max_steps}, and a batch policy is laid out over all of its "
            "epochs; leave max_steps out"
        )
