"""The length of a run, in which its policies are laid out."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from losslab.schedules import Schedule


@dataclass(frozen=True)
class Horizon:
    """How long a run is.

    Attributes:
        total_steps: optimizer steps of the run.
        images: training images of an epoch.
        epochs: length of the run in epochs; None for a batch size that varies over a given number of steps, because
            it is what decides how many epochs they make.
        seen: images seen before each step, and, last, after all; known to a learning rate, not to a batch size.
        drop_last: whether an epoch leaves out a batch that is short.
    """

    total_steps: int
    images: int
    epochs: float | None = None
    seen: Sequence[int] = ()
    drop_last: bool = field(default=False, repr=False)

    def step_at(self, epoch: float) -> int:
        """The first step by which so many epochs have been seen; epochs beyond the run lie behind its last step.

        Example:
            >>> Horizon(4, images=100, epochs=2.0, seen=(0, 64, 100, 164, 200)).step_at(1)
            2
        """
        return bisect_left(self.seen, round(epoch * self.images))

    def mean_steps(self, epochs: float) -> float:
        """Convert epochs to steps; where the batch size varies, at the run's mean steps an epoch.

        Raises:
            ValueError: when the length is not positive, or not known in epochs beforehand.
        Example:
            >>> Horizon(1000, images=100, epochs=10.0).mean_steps(2)
            200.0
        """
        if not epochs > 0:
            raise ValueError(f"a length in epochs (={epochs}) must be positive")
        if self.epochs is None:
            raise ValueError(
                f"a length in epochs (={epochs}) needs a run whose length is given in `epochs`; "
                "give `cycles` in place of it"
            )
        return epochs * self.total_steps / self.epochs

    def boundaries(self, epochs: Sequence[float], fractions: Sequence[float]) -> list[int]:
        """The steps at which pieces of a run begin, given in epochs or in fractions of its steps.

        Raises:
            ValueError: when not exactly one of the two is given.
        Example:
            >>> Horizon(10, images=100).boundaries([], [0.3])
            [3]
        """
        if bool(epochs) == bool(fractions):
            raise ValueError(
                f"give `epochs` (={list(epochs)}) or `fractions` (={list(fractions)}), and not both"
            )
        if epochs:
            return [self.step_at(epoch) for epoch in epochs]
        return [round(self.total_steps * fraction) for fraction in fractions]

    def part(self, start: int, end: int) -> "Horizon":
        """The steps from ``start`` up to ``end`` as a run of their own.

        Example:
            >>> Horizon(4, images=100, epochs=2.0, seen=(0, 64, 100, 164, 200)).part(2, 4)
            Horizon(total_steps=2, images=100, epochs=1.0, seen=[0, 64, 100])
        """
        # A batch size decides how many epochs the steps of a part are, and cannot be laid out by them.
        if not self.seen:
            return Horizon(end - start, self.images, drop_last=self.drop_last)
        first = self.seen[start]
        seen = [images - first for images in self.seen[start : end + 1]]
        return Horizon(end - start, self.images, seen[-1] / self.images, seen)


Policy = Callable[..., Schedule]
"""A function of a Horizon and the policy's own options, which are keywords."""
