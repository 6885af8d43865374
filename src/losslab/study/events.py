"""What happens while a study is carried out, an event each."""

from dataclasses import dataclass
from typing import Any

from losslab.records import Record
from losslab.spec import Count, Run
from losslab.study.plan import Change
from losslab.study.results import RunResult


@dataclass(frozen=True)
class StageBegan:
    """A stage's runs, or the networks it counts, are known; `missing` of them are still to be done."""

    stage: str
    runs: tuple[Run, ...]
    counts: tuple[Count, ...]
    missing: int


@dataclass(frozen=True)
class RunRecorded:
    """A run yielded a record."""

    stage: str
    run: Run
    record: Record


@dataclass(frozen=True)
class RunEnded:
    """A run came to its end, good or bad."""

    stage: str
    run: Run
    result: RunResult


@dataclass(frozen=True)
class Counted:
    """A network was counted; without a ledger, `error` says why not."""

    stage: str
    count: Count
    ledger: dict[str, Any] | None
    error: str | None = None


@dataclass(frozen=True)
class StageSkipped:
    """Some or all runs of a stage cannot be built, because an earlier stage did not find what they need."""

    stage: str
    runs: int
    reason: str


@dataclass(frozen=True)
class PlanChanged:
    """What is left of the study was made smaller, so that it ends in time; `scale` is what it has now, in words."""

    change: Change
    scale: str


Progress = StageBegan | StageSkipped | PlanChanged | RunRecorded | RunEnded | Counted
