"""A batch sampler for DataLoader whose batch size follows a schedule, split among the replicas of a training."""

from collections.abc import Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any

from torch.utils.data import BatchSampler, DistributedSampler, Sampler

from losslab.policies.sizes import Size, epoch_of, epoch_sizes
from losslab.randomness import epoch_order
from losslab.schedules import Schedule, constant, whole


@dataclass(frozen=True)
class _Position:
    """Where an iteration begins: the epoch, the samples of it that are done, and the step of the whole training."""

    epoch: int = 0
    offset: int = 0
    step: int = 0

    def after_epoch(self, steps: int) -> "_Position":
        """The beginning of the next epoch, so many steps later."""
        return _Position(self.epoch + 1, 0, self.step + steps)


class PolicyBatchSampler(BatchSampler):
    """Batches whose size follows a schedule, for ``DataLoader(dataset, batch_sampler=...)``.

    Every iteration is the next epoch, in an order that is a function of (seed, epoch) and the same as losslab's own.
    Sizes and order are fixed by the step alone, so that workers which fetch ahead change nothing. An epoch that is
    left early counts as a whole one; to go on within it, use :meth:`state_dict`.

    With several replicas each scheduled batch is split among them: their shares differ by at most one sample, together
    they are the batch, and all replicas take equally many steps. A batch of fewer samples than replicas repeats some,
    so that none is without. Give sizes in multiples of the replicas (``multiple=2``) for shares that are equal, under
    which DDP's mean of means is the mean of the batch.

    Args:
        sampler: what is sampled: a dataset, its size, or a DistributedSampler, whose data, seed, shuffling and replicas
            are then taken, as Lightning's Trainer passes one to the sampler that it finds.
        batch_size: a number, or a schedule from the step, counted over all epochs, to a size, which is rounded.
        seed: seed of the order.
        drop_last: leave out the last batch of an epoch where it is short of its scheduled size; it takes no step.
        shuffle: whether each epoch has its own random order; else 0, 1, 2 ...
        rank: which replica this is, from 0; None yields the shares of all, one after the other, which is how
            Accelerate deals batches out.
        replicas: how many processes train on one batch together.
    Raises:
        ValueError: when a size is not positive, the rank is none of the replicas, or, with ``drop_last``, an epoch
            would have no batch.
        TypeError: another sampler, a dataset without length, or a policy in place of a schedule.
    Example:
        >>> from losslab.schedules import linear_ramp
        >>> sampler = PolicyBatchSampler(10, linear_ramp(2, 4, 3), shuffle=False)
        >>> list(sampler), len(sampler)
        ([[0, 1], [2, 3, 4], [5, 6, 7, 8], [9]], 3)
        >>> list(PolicyBatchSampler(10, linear_ramp(2, 4, 3), shuffle=False, rank=0, replicas=2))
        [[0], [2, 4], [5, 7], [9]]
    """

    def __init__(
        self,
        sampler: Sized | int,
        batch_size: Schedule | int,
        drop_last: bool = False,
        *,
        seed: int = 0,
        shuffle: bool = True,
        rank: int | None = None,
        replicas: int = 1,
    ) -> None:
        if isinstance(sampler, DistributedSampler):
            rank, replicas = sampler.rank, sampler.num_replicas
            seed, shuffle = sampler.seed, sampler.shuffle
            sampler = len(sampler.dataset)  # type: ignore[arg-type]
        dataset_size = _size_of(sampler)
        _check(dataset_size=dataset_size, batch_size=batch_size, replicas=replicas)
        if rank is not None and not 0 <= rank < replicas:
            raise ValueError(
                f"`rank` (={rank}) must be from 0 to `replicas` - 1 (={replicas - 1})"
            )
        self.dataset_size = dataset_size
        self.seed = seed
        self.drop_last = drop_last
        self.shuffle = shuffle
        self.rank = rank
        self.replicas = replicas
        # Frameworks call set_epoch on `batch_sampler.sampler`, and read `batch_size` to build a sampler like this one;
        # Accelerate, which asks for the shares of all, must find None there.
        self.sampler = self  # type: ignore[assignment]
        self.batch_size = None if self._yields_all_shares else batch_size  # type: ignore[assignment]
        self._size: Size = whole(batch_size if callable(batch_size) else constant(batch_size))
        self._current = self._next = _Position()

    def __repr__(self) -> str:
        return f"PolicyBatchSampler({self.dataset_size}, {self._size})"

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the next epoch; after :meth:`load_state_dict`, those that are left of its epoch."""
        self._current = self._next
        position, sizes = self._current, self._sizes(self._current)
        self._next = position.after_epoch(len(sizes))
        order = self._order(position.epoch)
        offset = position.offset
        for size in sizes:
            yield from self._shares(order[offset : offset + size])
            offset += size
        self._current = self._next

    def __len__(self) -> int:
        """Batches of the epoch at hand; between epochs, of the next."""
        shares = self.replicas if self._yields_all_shares else 1
        return len(self._sizes(self._current)) * shares

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration this epoch, from its beginning or, where a state of it was restored, from there.

        Iterations count epochs by themselves; a loop that calls this every epoch changes nothing.
        """
        if epoch < 0:
            raise ValueError(f"`epoch` (={epoch}) must not be negative")
        if epoch == self._next.epoch:
            return
        position = _Position()
        while position.epoch < epoch:
            position = position.after_epoch(len(self._sizes(position)))
        self._current = self._next = position

    def state_dict(self, step: int | None = None) -> dict[str, Any]:
        """The state to keep in a checkpoint.

        Args:
            step: batches that the training loop has used, over all epochs; only the loop knows it, because workers
                fetch ahead. Without it, the state is that of the sampler: which epoch comes next.
        """
        if step is not None:
            return {"step": step}
        return {"current": vars(self._current).copy(), "next": vars(self._next).copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the step of the state, or as the sampler was; it must have been built with the same arguments."""
        if "step" not in state:
            self._current, self._next = (
                _Position(**state["current"]),
                _Position(**state["next"]),
            )
            return
        if state["step"] < 0:
            raise ValueError(f"`step` (={state['step']}) must not be negative")
        position = _Position()
        sizes = self._sizes(position)
        while position.step + len(sizes) <= state["step"]:
            position = position.after_epoch(len(sizes))
            sizes = self._sizes(position)
        offset = sum(sizes[: state["step"] - position.step])
        self._current = self._next = _Position(position.epoch, offset, state["step"])

    @property
    def _yields_all_shares(self) -> bool:
        return self.rank is None and self.replicas > 1

    def _order(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(self.dataset_size))
        return list(epoch_order(self.dataset_size, self.seed, epoch).tolist())

    def _sizes(self, position: _Position) -> list[int]:
        """The sizes of the batches from a position to the end of its epoch."""
        if position.offset == 0:
            return epoch_of(
                self._size, position.step, self.dataset_size, drop_last=self.drop_last
            )
        left = self.dataset_size - position.offset
        return list(epoch_sizes(self._size, position.step, left, drop_last=self.drop_last))

    def _shares(self, batch: list[int]) -> Iterator[list[int]]:
        """The part of a batch that this replica trains on, or the parts of all."""
        if self.replicas == 1:
            yield batch
            return
        # Each replica must have a sample, or the others would wait for it in vain.
        while len(batch) < self.replicas:
            batch = batch + batch[: self.replicas - len(batch)]
        ranks = range(self.replicas) if self.rank is None else [self.rank]
        for rank in ranks:
            yield batch[rank :: self.replicas]


def _size_of(sampler: Sized | int) -> int:
    if isinstance(sampler, int):
        return sampler
    if isinstance(sampler, Sampler):
        kind = type(sampler).__name__
        raise TypeError(
            f"`sampler` (={kind}) has an order of its own; give the dataset, or its size, and `shuffle`"
        )
    if not isinstance(sampler, Sized):
        raise TypeError(
            f"`sampler` (={type(sampler).__name__}) has no length; give a dataset that has, or its size"
        )
    return len(sampler)


def _check(**values: object) -> None:
    """Raise for a size that is neither positive nor a schedule."""
    for name, value in values.items():
        if callable(value):
            continue
        if not isinstance(value, int | float):
            raise TypeError(
                f"`{name}` (={value!r}) must be a number or a schedule; losslab.lay_out takes policies"
            )
        if value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1")
