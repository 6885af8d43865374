"""A Run laid out step by step before anything trains: what plans, costs and drawings read."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate

from losslab.choice import Choice
from losslab.policies import Horizon, batch_schedule, lr_schedule
from losslab.spec import Run


@dataclass(frozen=True)
class Step:
    """One optimizer step: which part of which epoch's order it trains on, and how."""

    index: int
    epoch: int
    offset: int
    batch_size: int
    lr: float


@dataclass(frozen=True)
class Timeline:
    """The steps of a run over a training set of known size.

    An epoch uses every training image once; its last batch is as short as what is left. A run given in epochs ends
    with the first step by which `epochs` times the training images have been seen, and has at least one step.
    """

    run: Run
    training_images: int

    @cached_property
    def batch_sizes(self) -> tuple[int, ...]:
        """Images of every step."""
        wanted = None if self.run.epochs is None else max(1, round(self.run.epochs * self.training_images))
        return _lay_out(self.run.batch, self.training_images, self.run.steps, wanted)

    @cached_property
    def seen(self) -> tuple[int, ...]:
        """Training images seen before each step, and, last, after all."""
        return _running_sum(self.batch_sizes)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the run."""
        return len(self.batch_sizes)

    @property
    def horizon(self) -> Horizon:
        """The length in which the learning-rate policy is laid out."""
        return Horizon(self.total_steps, self.total_steps * self.training_images / self.seen[-1])

    @property
    def evaluations(self) -> int:
        """How often the run is evaluated."""
        return sum(self.is_evaluated(step + 1) for step in range(self.total_steps))

    def is_evaluated(self, step: int) -> bool:
        """Whether the run is evaluated when ``step`` optimizer steps are done."""
        ends_epoch = self.seen[step] % self.training_images == 0
        return step == self.total_steps or (self.run.evaluate == "epoch" and ends_epoch)

    def steps(self, first: int = 0) -> Iterator[Step]:
        """The steps from ``first`` on, which is where a resumed run goes on."""
        lr = lr_schedule(self.run.lr, self.horizon)
        for index in range(first, self.total_steps):
            epoch, offset = divmod(self.seen[index], self.training_images)
            yield Step(index, epoch, offset, self.batch_sizes[index], lr(index))


@lru_cache(maxsize=256)
def _lay_out(batch: int | Choice, images: int, steps: int | None, wanted: int | None) -> tuple[int, ...]:
    """The batch size of every step, for so many steps, or until the wanted number of images has been seen."""
    if steps is not None:
        return _cut(batch_schedule(batch, Horizon(steps, 1.0)), images, steps, None)
    assert wanted is not None
    if not isinstance(batch, Choice):
        return _cut(batch_schedule(batch, Horizon(1, 1.0)), images, None, wanted)

    def fall_short(total: int) -> bool:
        """A policy is laid out over the number of steps, which in turn depends on its batch sizes."""
        return sum(_cut(batch_schedule(batch, Horizon(total, total * images / wanted)), images, total, None)) < wanted

    total = bisect_left(range(1, wanted + 1), True, key=lambda count: not fall_short(count)) + 1
    return _cut(batch_schedule(batch, Horizon(total, total * images / wanted)), images, total, None)


def _cut(size: Callable[[int], int], images: int, steps: int | None, wanted: int | None) -> tuple[int, ...]:
    """Batches of the scheduled sizes, each epoch's last one cut to what is left of it."""
    sizes: list[int] = []
    seen = 0
    while len(sizes) < steps if steps is not None else seen < (wanted or 0):
        sizes.append(min(size(len(sizes)), images - seen % images))
        seen += sizes[-1]
    return tuple(sizes)


@lru_cache(maxsize=256)
def _running_sum(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(accumulate(sizes, initial=0))
