"""The length of a run, in which its policies are laid out."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from losslab.schedules import Schedule

DEFAULT_CYCLES = 4


@dataclass(frozen=True)
class Horizon:
    """How long a run is.

    Attributes:
        total_steps: optimizer steps of the run.
        images: training images of an epoch.
        epochs: length of the run in epochs; None for a batch size that varies over a given number of steps, because
            it is what decides how many epochs they make.
        seen: images seen before each step, and, last, after all; known to a learning rate, not to a batch size.
    """

    total_steps: int
    images: int
    epochs: float | None = None
    seen: Sequence[int] = ()

    def step_at(self, epoch: float) -> int:
        """The first step by which so many epochs have been seen; epochs beyond the run lie behind its last step.

        Example:
            >>> Horizon(4, images=100, epochs=2.0, seen=(0, 64, 100, 164, 200)).step_at(1)
            2
        """
        return bisect_left(self.seen, round(epoch * self.images))

    def half_cycle(self, cycles: float | None, half_cycle_epochs: float | None) -> float:
        """Half a cycle in steps: from the number of cycles in the run (4 when nothing is said), or from epochs.

        All cycles have the same number of steps; where the batch size varies, epochs are counted on average.

        Raises:
            ValueError: when both are said, one is not positive, or the length in epochs is not known beforehand.
        Example:
            >>> Horizon(1000, images=100, epochs=10.0).half_cycle(cycles=None, half_cycle_epochs=2)
            200.0
        """
        if cycles is not None and half_cycle_epochs is not None:
            raise ValueError(f"give `cycles` (={cycles}) or `half_cycle_epochs` (={half_cycle_epochs}), not both")
        for name, value in {"cycles": cycles, "half_cycle_epochs": half_cycle_epochs}.items():
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` (={value}) must be positive")
        if half_cycle_epochs is None:
            return self.total_steps / (2 * (cycles or DEFAULT_CYCLES))
        if self.epochs is None:
            raise ValueError(
                f"`half_cycle_epochs` (={half_cycle_epochs}) needs a run whose length is given in `epochs`; "
                "give `cycles` in place of it"
            )
        return half_cycle_epochs * self.total_steps / self.epochs


Policy = Callable[..., Schedule]
"""A function of a Horizon and the policy's own options, which are keywords."""
