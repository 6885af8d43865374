"""Schedules in a plain torch training loop: a batch sampler for DataLoader and a learning-rate scheduler."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Sampler

from losslab.randomness import epoch_order
from losslab.schedules import Schedule, constant, whole


@dataclass(frozen=True)
class _Place:
    """Where an iteration begins: the epoch, the samples of it that are done, and the step of the whole training."""

    epoch: int = 0
    offset: int = 0
    step: int = 0


class PolicyBatchSampler(Sampler[list[int]]):
    """Batches whose size follows a schedule, for ``DataLoader(dataset, batch_sampler=...)``.

    Every iteration is the next epoch, in an order that is a function of (seed, epoch) and the same as losslab's own.
    Sizes and order are fixed by the step alone, so that workers which fetch ahead change nothing. An epoch that is
    left early counts as a whole one; to go on within it, use :meth:`state_dict`.

    Args:
        dataset_size: samples of an epoch.
        batch_size: a number, or a schedule from the step, counted over all epochs, to a size, which is rounded.
        seed: seed of the order.
        drop_last: leave out the last batch of an epoch where it is short of its scheduled size; it takes no step.
        shuffle: whether each epoch has its own random order; else 0, 1, 2 ...
    Raises:
        ValueError: when a size is not positive, or, with ``drop_last``, an epoch would have no batch.
    Example:
        >>> from losslab.schedules import linear_ramp
        >>> sampler = PolicyBatchSampler(10, linear_ramp(2, 4, 3), shuffle=False)
        >>> list(sampler), len(sampler)
        ([[0, 1], [2, 3, 4], [5, 6, 7, 8], [9]], 3)
    """

    def __init__(
        self,
        dataset_size: int,
        batch_size: Schedule | int,
        *,
        seed: int = 0,
        drop_last: bool = False,
        shuffle: bool = True,
    ) -> None:
        for name, value in {"dataset_size": dataset_size, "batch_size": batch_size}.items():
            if not callable(value) and value < 1:
                raise ValueError(f"`{name}` (={value}) must be at least 1")
        self.dataset_size = dataset_size
        self.seed = seed
        self.drop_last = drop_last
        self.shuffle = shuffle
        self._size = whole(batch_size if callable(batch_size) else constant(batch_size))
        self._current = self._next = _Place()

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the next epoch; after :meth:`load_state_dict`, those that are left of its epoch."""
        self._current = self._next
        place, sizes = self._current, self._sizes(self._current)
        self._next = _Place(place.epoch + 1, 0, place.step + len(sizes))
        order = self._order(place.epoch)
        offset = place.offset
        for size in sizes:
            yield order[offset : offset + size]
            offset += size
        self._current = self._next

    def __len__(self) -> int:
        """Batches of the epoch at hand; between epochs, of the next."""
        return len(self._sizes(self._current))

    def state_dict(self, step: int) -> dict[str, int]:
        """What to keep in a checkpoint.

        Args:
            step: batches that the training loop has used, over all epochs; only the loop knows it, because workers
                fetch ahead.
        """
        return {"step": step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the step of the state; the sampler must have been made with the same arguments."""
        if state["step"] < 0:
            raise ValueError(f"`step` (={state['step']}) must not be negative")
        place = _Place()
        sizes = self._sizes(place)
        while place.step + len(sizes) <= state["step"]:
            place = _Place(place.epoch + 1, 0, place.step + len(sizes))
            sizes = self._sizes(place)
        offset = sum(sizes[: state["step"] - place.step])
        self._current = self._next = _Place(place.epoch, offset, state["step"])

    def _order(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(self.dataset_size))
        return list(epoch_order(self.dataset_size, self.seed, epoch).tolist())

    def _sizes(self, place: _Place) -> list[int]:
        """The sizes of the batches from a place to the end of its epoch."""
        sizes: list[int] = []
        left = self.dataset_size - place.offset
        while left:
            size = self._size(place.step + len(sizes))
            if size > left and self.drop_last:
                break
            sizes.append(min(size, left))
            left -= sizes[-1]
        if not sizes and left == self.dataset_size:
            raise ValueError(
                f"`batch_size` (={size}) at step {place.step} exceeds `dataset_size` (={left}): with `drop_last` that "
                "epoch has no batch; lower it or keep the short batch"
            )
        return sizes


def lr_scheduler(optimizer: Optimizer, schedule: Schedule) -> LambdaLR:
    """A torch scheduler under which the first parameter group's lr is the schedule's; call its ``step()`` every batch.

    The other groups keep the ratio to the first that they have when it is made.

    Raises:
        ValueError: when the first group's lr is not positive.
    Example:
        >>> import torch
        >>> from losslab.schedules import cycle
        >>> groups = [{"params": [torch.zeros(1)], "lr": lr} for lr in (1.0, 0.1)]
        >>> scheduler = lr_scheduler(torch.optim.SGD(groups), cycle(1.0, 3.0, 2))
        >>> scheduler.get_last_lr()
        [1.0, 0.1]
    """
    group = optimizer.param_groups[0]
    lr = float(group.get("initial_lr", group["lr"]))
    if not lr > 0:
        raise ValueError(f"`lr` (={lr}) of the first parameter group must be positive: the others are scaled by it")
    return LambdaLR(optimizer, lambda step: schedule(step) / lr)
