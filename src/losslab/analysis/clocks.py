"""What training times are compared by: wall time, or processor time where runs shared the machine."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from losslab.study.results import RunResult, done

QUIET = 0.05
"""A run whose pace drifted by more than this fraction of it had other work beside it."""


OF_PACE = ("processor", "threads", "device", "gpu")
"""What of an environment a time is of: one machine's seconds do not compare with those of another."""
Machine = tuple[str | None, ...]


def machine_of(result: RunResult) -> Machine | None:
    """On what a run was trained, as far as its pace depends on it; None where it went on on another machine."""
    machine = _machine(result.environment)
    earlier = result.environment.get("earlier", ())
    # What a run was trained on before says what differed alone.
    before = {_machine({**result.environment, **each}) for each in earlier}
    return machine if before <= {machine} else None


def _machine(environment: Mapping[str, Any]) -> Machine:
    # Before there were devices a run said of none.
    stated = [({"device": "cpu"} | dict(environment)).get(key) for key in OF_PACE]
    # One GPU does what another of its name does.
    return tuple(None if value is None else str(value).partition(":")[0] for value in stated)


def of_one_machine(result: RunResult) -> tuple[int, Machine | str]:
    """The seed and the machine of a run: two runs whose times are divided have both in common."""
    return result.run.seed, machine_of(result) or result.run.id


def times_compare(results: Iterable[RunResult]) -> bool:
    """Whether all of these runs that are done were trained on one machine in one way, so that their times compare."""
    machines = {machine_of(result) for result in done(list(results))}
    return len(machines) <= 1 and None not in machines


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
