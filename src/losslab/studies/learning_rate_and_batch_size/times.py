"""Which clock the times of the study are read from."""

from dataclasses import replace
from itertools import chain

from losslab.analysis.clocks import PROCESSOR, Clock, clock_for
from losslab.records import Record, Steps
from losslab.study.results import RunResult, StudyResults


def clock_of(results: StudyResults) -> Clock:
    """Choose the clock by which runs of the study can be compared, one for all its questions.

    A run that is evaluated at its end alone does not show whether its pace drifted; other runs of the study do.
    """
    runs = list(chain.from_iterable(results.stages.values()))
    return clock_for(runs, workers=results.workers)


def clock_remark(clock: Clock) -> str:
    """Say what to know of times that are not wall times; nothing of wall times."""
    return (
        "Times are processor times: what other work takes is not in them."
        if clock is PROCESSOR
        else ""
    )


def by_clock(result: RunResult, clock: Clock) -> RunResult:
    """Put the time of a clock where wall time was, for the costs that a range reads from a run's steps."""
    return replace(result, records=tuple(_by_clock(record, clock) for record in result.records))


def _by_clock(record: Record, clock: Clock) -> Record:
    if not isinstance(record, Steps):
        return record
    seconds = getattr(record, clock.field)
    # A run that diverged in an earlier version has wall time alone; it reached no loss whose cost would be compared.
    return record if seconds is None else replace(record, train_seconds=seconds)
