"""Read a study folder back as values; no torch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from heapq import nlargest
from itertools import chain
from pathlib import Path
from typing import Any

from losslab import tables
from losslab.errors import InvalidInput, StoreError
from losslab.files import read_json
from losslab.records import Evaluation, Final, Record, Start, Steps
from losslab.spec import Count, Run
from losslab.study.fields import flat_fields, get_field
from losslab.study.load import study_names
from losslab.study.pack import damage
from losslab.study.store import RunFolder, StudyFolder


@dataclass(frozen=True)
class RunResult:
    """One run with all that it left behind."""

    run: Run
    status: str
    message: str
    environment: dict[str, Any]
    records: tuple[Record, ...]
    memory_bytes: int = 0

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

    @property
    def seconds(self) -> float:
        """What training and evaluation have taken by the last record that says so, killed sessions included."""
        times = (
            record.train_seconds + record.eval_seconds
            for record in reversed(self.records)
            if isinstance(record, Evaluation | Final)
        )
        return next(times, 0.0)


@dataclass(frozen=True)
class CountResult:
    """One network that was counted; its ledger is what ``losslab count --json`` prints."""

    count: Count
    environment: dict[str, Any]
    ledger: dict[str, Any]


@dataclass(frozen=True)
class StudyResults:
    """A study folder's plan, its runs and its counts by stage."""

    plan: dict[str, Any]
    stages: dict[str, tuple[RunResult, ...]]
    counts: dict[str, tuple[CountResult, ...]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    """Files that are not as they were packed, or cannot be read: path -> what is wrong."""

    @property
    def workers(self) -> int:
        """How many runs were trained at once; 1 where an early version did not say."""
        return int(self.plan.get("workers") or 1)

    @property
    def least_seconds(self) -> float:
        """The least that the study can have taken: the time of its runs, shared among its workers."""
        # A run that two stages share was trained once.
        seconds = {
            result.run.id: result.seconds
            for result in chain.from_iterable(self.stages.values())
        }
        return sum(seconds.values()) / int(self.plan.get("most_workers") or self.workers)

    @property
    def memory_bytes(self) -> int:
        """The most that the workers can have held together: the largest runs, as many as there are workers."""
        # A run that two stages share was trained once.
        held = {
            result.run.id: result.memory_bytes
            for result in chain.from_iterable(self.stages.values())
        }
        return sum(nlargest(self.workers, held.values()))

    def ledgers(self, stage: str) -> dict[str, dict[str, Any]]:
        """The ledgers of a stage that counts, by model."""
        return {str(result.count.model): result.ledger for result in self.counts.get(stage, ())}


def read_run(folder: RunFolder) -> RunResult:
    """Read the run in a folder; one whose records cannot be read has the status `unreadable`."""
    try:
        status = folder.status
        records, memory = tuple(folder.records()), status.get("memory_bytes", 0)
        return RunResult(
            folder.run, status["status"], status["message"], folder.environment, records, memory
        )
    except StoreError as error:
        # A report shows the other runs of the study and names this one.
        return RunResult(folder.run, "unreadable", str(error), {}, ())


def read_count(path: Path) -> CountResult:
    """Read the count in a file.

    Raises:
        StoreError: when it is not what losslab writes.
    """
    facts = read_json(path)
    try:
        return CountResult(
            Count.model_validate(facts["count"]), facts["environment"], facts["ledger"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{path}: not what losslab writes ({type(error).__name__}: {error})"
        ) from error


def study_folders(folder: Path) -> list[StudyFolder]:
    """Find the study in a folder, or else those in its subfolders: those that ship in their order, then others.

    Raises:
        InvalidInput: when there is none.
    """
    if (folder / "study.json").exists():
        return [StudyFolder(folder)]
    names = study_names()
    inside = sorted(path.parent for path in folder.glob("*/study.json"))
    if not inside:
        raise InvalidInput(
            f"{folder}: holds no study (no study.json); give the --out folder of a study"
        )
    inside.sort(key=lambda path: names.index(path.name) if path.name in names else len(names))
    return [StudyFolder(path) for path in inside]


def read_results(folder: StudyFolder) -> StudyResults:
    """Read all runs of a study folder that have begun and all counts that are done, by stage, in planned order.

    Raises:
        StoreError: when its study.json is not what losslab writes.
    """
    plan = folder.plan
    if not isinstance(plan.get("stages"), list):
        raise StoreError(f"{folder.path / 'study.json'}: not what losslab writes")
    stages, counts = {}, {}
    damaged = damage(folder.path)
    for stage in plan["stages"]:
        found = []
        for run_id in stage["runs"]:
            run = folder.run_folder(run_id)
            if not (run.path / "run.json").exists():
                continue
            try:
                found.append(read_run(run))
            except (StoreError, InvalidInput) as error:
                # Without its spec it is no run; the others are shown, and the page names the file.
                damaged[f"runs/{run_id}/run.json"] = str(error)
        stages[stage["name"]] = tuple(found)
        ledgers = []
        for count_id in stage.get("counts", ()):
            path = folder.count_path(count_id)
            try:
                ledgers += [read_count(path)] if path.exists() else []
            except StoreError as error:
                damaged[f"counts/{count_id}.json"] = str(error)
        counts[stage["name"]] = tuple(ledgers)
    return StudyResults(plan, stages, counts, damaged)


def done(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs that reached their end and have something to show."""
    return [result for result in results if result.status == "done" and result.evaluations]


def field_of(result: RunResult, path: str) -> Any:
    """Get a field of the run's spec at a dotted path, or None."""
    return get_field(result.run.model_dump(mode="json"), path)


def read_evaluations(folder: Path | str) -> Any:
    """Read the evaluations of a study, or of one run, into a pandas DataFrame, a row each; needs pandas.

    Its columns are `stage`, `id` and `status`, the run's spec by dotted path (`optimizer.name`, `lr`, `seed`), what was
    measured (`epoch`, `train_loss`, `validation_mae` ...), and what its test was (`test_loss`, `test_accuracy`,
    `test_mae` ...).

    Args:
        folder: what ``losslab study run`` or ``losslab train --out`` filled; it may be unfinished.
    Raises:
        InvalidInput: when it holds neither.
        ImportError: when pandas is not installed.
    """
    path = Path(folder)
    if (path / "run.json").exists():
        stages: dict[str, tuple[RunResult, ...]] = {"": (read_run(RunFolder(path)),)}
    else:
        stages = read_results(StudyFolder(path)).stages
    rows: list[dict[str, Any]] = []
    for stage, results in stages.items():
        for result in results:
            identity = {"stage": stage, "id": result.run.id, "status": result.status}
            spec = flat_fields(result.run.model_dump(mode="json"))
            test = {
                name: getattr(result.final, name, None)
                for name in ("test_loss", "test_accuracy")
            }
            if result.final:
                test |= result.final.metrics or {}
            for evaluation in result.evaluations:
                measured = asdict(evaluation)
                # Beside the losses: in a spec, `metrics` is what it asks for.
                metrics = measured.pop("metrics") or {}
                rows.append(identity | spec | measured | metrics | test)
    # Runs of several methods have different fields: a column is any row's, and empty where a run lacks it.
    columns: dict[str, list[Any]] = {key: [] for key in chain.from_iterable(rows)}
    for row in rows:
        for key, column in columns.items():
            column.append(row.get(key))
    return tables.frame(columns)
