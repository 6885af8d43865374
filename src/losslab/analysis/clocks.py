"""What training times are compared by: wall time, or processor time where runs shared the machine."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from losslab.study.results import RunResult, done

QUIET = 0.05
"""A run whose pace drifted by more than this fraction of it had other work beside it."""


@dataclass(frozen=True)
class Clock:
    """One of the times that an evaluation holds; evaluation itself is in none of them.

    Attributes:
        field: of an evaluation.
        name: in words.
    """

    field: str
    name: str

    @property
    def took(self) -> str:
        """The verb before a time on it: that of a processor is named, as a reader takes a time for wall time."""
        return "took" if self.field == WALL.field else f"took, in {self.name},"

    def seconds(self, result: RunResult) -> float | None:
        """Time of the whole training; None where the records lack it."""
        value: float | None = getattr(result.evaluations[-1], self.field)
        return value

    def drift(self, result: RunResult) -> float | None:
        """By how much the pace differed between the two halves of a run, as a fraction; None with one evaluation.

        It tells how far a time can be trusted: other work on the machine changes the pace.
        """
        times = [
            (evaluation.epoch, getattr(evaluation, self.field))
            for evaluation in result.evaluations
        ]
        # The first half begins where nothing is trained yet. With one evaluation the two halves are one.
        points = [(0.0, 0.0), times[len(times) // 2 - 1], times[-1]]
        if points[1] == points[2] or None in (points[1][1], points[2][1]):
            return None
        paces = [
            (later[1] - earlier[1]) / (later[0] - earlier[0])
            for earlier, later in pairwise(points)
        ]
        return max(paces) / min(paces) - 1 if min(paces) > 0 else None


WALL = Clock("train_seconds", "training time")
PROCESSOR = Clock("train_processor_seconds", "processor time")


def clock_for(results: Iterable[RunResult], *, workers: int) -> Clock:
    """The clock by which runs can be compared: processor time where they shared the machine and all have it.

    They shared it with each other where there were several workers, and with other work where the pace of a run
    drifted. Other work stretches wall time and leaves processor time as it is.

    Args:
        results: the runs to compare; those that are not done are left aside.
        workers: how many ran at once.
    """
    ended = done(list(results))
    # Wall time where it can be trusted: it is what a user waits for, and it is known for devices other than a CPU.
    measured = bool(ended) and all(PROCESSOR.seconds(result) is not None for result in ended)
    shared = workers > 1 or any((WALL.drift(result) or 0.0) > QUIET for result in ended)
    return PROCESSOR if measured and shared else WALL
