"""What a study folder holds, read back as values; no torch."""

from dataclasses import dataclass
from typing import Any

from losslab.records import Evaluation, Final, Record, Start, Steps
from losslab.spec import Run
from losslab.study.store import RunFolder, StudyFolder


@dataclass(frozen=True)
class RunResult:
    """One run with all that it left behind."""

    run: Run
    status: str
    message: str
    environment: dict[str, Any]
    records: tuple[Record, ...]

    @property
    def evaluations(self) -> list[Evaluation]:
        """The evaluations in order."""
        return [record for record in self.records if isinstance(record, Evaluation)]

    @property
    def steps(self) -> list[Steps]:
        """The per-step records in order."""
        return [record for record in self.records if isinstance(record, Steps)]

    @property
    def start(self) -> Start | None:
        """The first record."""
        return next((record for record in self.records if isinstance(record, Start)), None)

    @property
    def final(self) -> Final | None:
        """The last record; None when the run did not reach its end."""
        return next((record for record in self.records if isinstance(record, Final)), None)


@dataclass(frozen=True)
class StudyResults:
    """A study folder's plan and its runs by stage."""

    plan: dict[str, Any]
    stages: dict[str, tuple[RunResult, ...]]


def read_run(folder: RunFolder) -> RunResult:
    """The run in a folder."""
    status = folder.status
    return RunResult(folder.run, status["status"], status["message"], folder.environment, tuple(folder.records()))


def read_results(folder: StudyFolder) -> StudyResults:
    """All runs of a study folder that have been started, by stage, in planned order."""
    plan = folder.plan
    stages = {}
    for stage in plan["stages"]:
        folders = [folder.run_folder(run_id) for run_id in stage["runs"]]
        stages[stage["name"]] = tuple(read_run(run) for run in folders if (run.path / "run.json").exists())
    return StudyResults(plan, stages)
