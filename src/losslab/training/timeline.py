"""A Run laid out step by step before anything trains: what plans, costs and drawings read."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, islice

from losslab.choice import Choice
from losslab.policies import Horizon, batch_schedule, lr_schedule
from losslab.policies.sizes import batches, sizes_to_see, steps_to_see
from losslab.spec import Run

VALIDATION_SAMPLES = 5000
"""How many training samples are measured in evaluation mode where nothing is held out."""


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
        if self.run.epochs is not None:
            wanted = max(1, round(self.run.epochs * self.training_images))
            return _in_samples(self.run.batch, self.training_images, wanted)
        assert self.run.steps is not None
        return _in_steps(self.run.batch, self.training_images, self.run.steps)

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
        return Horizon(
            self.total_steps,
            self.training_images,
            self.seen[-1] / self.training_images,
            self.seen,
        )

    @property
    def evaluations(self) -> int:
        """How often the run is evaluated."""
        if self.run.evaluate != "epoch":
            return 1
        # An epoch that the run ends in is evaluated, too.
        return -(-self.seen[-1] // self.training_images)

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


def fit_stride(training: int, validation: int) -> int:
    """The distance between training samples that are measured in evaluation mode: about as many as validate.

    Training takes its sample by it, and study costs predict how many images that is.
    """
    return max(1, training // (validation or VALIDATION_SAMPLES))


# Plans lay out the same run at many scales, and its costs, memory and evaluations each read its sizes.
@lru_cache(maxsize=256)
def _in_steps(batch: int | Choice, images: int, steps: int) -> tuple[int, ...]:
    """The batch sizes of so many steps."""
    size = batch_schedule(batch, Horizon(steps, images))
    return tuple(batch for batch, _seen in islice(batches(size, images), steps))


@lru_cache(maxsize=256)
def _in_samples(batch: int | Choice, images: int, wanted: int) -> tuple[int, ...]:
    """The batch sizes of as many steps as it takes to see the wanted number of images."""
    # A policy is laid out over the run's steps, whose number follows from its sizes: `steps_to_see` solves for it.

    def over(total_steps: int) -> list[int]:
        size = batch_schedule(batch, Horizon(total_steps, images, wanted / images))
        return sizes_to_see(wanted, size, images)

    return tuple(over(steps_to_see(wanted, over) if isinstance(batch, Choice) else 1))


@lru_cache(maxsize=256)
def _running_sum(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(accumulate(sizes, initial=0))
