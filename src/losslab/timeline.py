"""A Run laid out step by step before anything trains: what plans, costs and drawings read."""

from collections.abc import Iterator
from dataclasses import dataclass

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

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of a whole epoch."""
        return -(-self.training_images // self.run.batch)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the run."""
        if self.run.steps is not None:
            return self.run.steps
        assert self.run.epochs is not None
        whole, part = divmod(round(self.run.epochs * self.training_images), self.training_images)
        return max(1, whole * self.steps_per_epoch - (-part // self.run.batch))

    @property
    def evaluations(self) -> int:
        """How often the run is evaluated."""
        if self.run.evaluate == "end":
            return 1
        return -(-self.total_steps // self.steps_per_epoch)

    def is_evaluated(self, step: int) -> bool:
        """Whether the run is evaluated when ``step`` optimizer steps are done."""
        return step == self.total_steps or (self.run.evaluate == "epoch" and step % self.steps_per_epoch == 0)

    def samples(self, step: int) -> int:
        """Training images seen after ``step`` optimizer steps."""
        epoch, steps = divmod(step, self.steps_per_epoch)
        return epoch * self.training_images + steps * self.run.batch

    def steps(self, first: int = 0) -> Iterator[Step]:
        """The steps from ``first`` on, which is where a resumed run goes on."""
        for index in range(first, self.total_steps):
            epoch, place = divmod(index, self.steps_per_epoch)
            offset = place * self.run.batch
            size = min(self.run.batch, self.training_images - offset)
            yield Step(index, epoch, offset, size, self.run.lr)
