"""Carry out a plan, stage by stage: what a stage finds feeds the next, and runs that have ended are not repeated."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from losslab.errors import StoreError
from losslab.records import Record
from losslab.spec import Count, Run, Stage, Study
from losslab.study.costs import Cost, longest_first, network_of, read_kind
from losslab.study.engines import LOCAL, Engine
from losslab.study.engines.local import Ended, Task, Yielded
from losslab.study.fields import Fields
from losslab.study.findings import FINDINGS
from losslab.study.plan import Plan, StagePlan, plan_at
from losslab.study.results import RunResult, read_run
from losslab.study.sizes import sample_noun, training_images
from losslab.study.stages import Scale, expand
from losslab.study.store import ENDED, StudyFolder

# By name: this process hands runs out and never imports torch, which would take seconds and memory.
RUN_IN_FOLDER = "losslab.study.worker:run_in_folder"


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


Progress = StageBegan | StageSkipped | RunRecorded | RunEnded | Counted


def execute(
    plan: Plan,
    folder: StudyFolder | Path | str,
    facts: dict[str, Any] | None = None,
    engine: Engine = LOCAL,
) -> Iterator[Progress]:
    """Do the runs and counts of a plan that its folder lacks, and yield the progress; nothing runs before it is read.

    Runs that need what an earlier stage did not find are left out; study.json says why.

    Args:
        plan: what to run.
        folder: where the runs go, created when absent; another process is kept out of it meanwhile.
        facts: further entries for study.json, such as the command.
        engine: where the runs are done.
    Raises:
        InvalidInput: when the folder cannot be written.
        StoreError: when another process works in the folder.
    Example:
        >>> import losslab
        >>> study = losslab.load_study("adaptive-optimizers")
        >>> plan = losslab.plan(study, budget_seconds=600)  # doctest: +SKIP
        >>> list(losslab.execute(plan, "runs/mine"))  # doctest: +SKIP
    """
    folder = folder if isinstance(folder, StudyFolder) else StudyFolder(Path(folder))
    folder.prepare()
    with folder.lease():
        session = _Session(plan, folder, facts or {}, engine)
        try:
            yield from _run_stages(session)
            session.facts["ended"] = _now()
        finally:
            session.write()


@dataclass
class _Session:
    """A study at work: its stages so far, and what study.json says of it, the times of earlier sessions added up."""

    plan: Plan
    folder: StudyFolder
    facts: dict[str, Any]
    engine: Engine
    began: float = field(default_factory=monotonic)
    has_trained: bool = False
    skipped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stages = [(stage.stage, stage.runs) for stage in self.plan.stages]
        before = self.folder.plan if (self.folder.path / "study.json").exists() else {}
        has_same_spec = before.get("spec") == self.plan.study.model_dump(mode="json")
        has_same_budget = before.get("budget_seconds") == self.facts.get("budget_seconds")
        # Times of another study or budget in this folder would be added to those of this one.
        self.before = before if has_same_spec and has_same_budget else {}
        self.facts = {
            "started": self.before.get("started") or _now(),
            "ended": None,
            "engine": self.engine.name,
        } | self.facts

    def write(self) -> None:
        """Bring study.json up to date; a session that had nothing to do leaves the times as they were."""
        seconds = (self.before.get("measured_seconds") or 0.0) + monotonic() - self.began
        times = {"measured_seconds": seconds}
        if self.before.get("ended") and not self.has_trained:
            times = {
                key: self.before.get(key) for key in ("started", "ended", "measured_seconds")
            }
        self.folder.write_plan(
            _study_facts(self.plan, self.stages, self.skipped, self.facts | times)
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _run_stages(session: _Session) -> Iterator[Progress]:
    plan, folder = session.plan, session.folder
    findings: dict[str, list[Fields]] = {}
    for index, stage_plan in enumerate(plan.stages):
        stage = stage_plan.stage
        left_out: list[str] = []
        earlier = [before.stage for before in plan.stages[:index]]
        runs = tuple(expand(stage, findings, plan.scale, earlier, left_out))
        if left_out:
            session.skipped[stage.name] = "; ".join(left_out)
            yield StageSkipped(
                stage.name, len(stage_plan.runs) - len(runs), session.skipped[stage.name]
            )
        if not runs and not stage.count:
            findings[stage.name] = []
            continue
        session.stages[index] = (stage, runs)
        # Before the first run begins: a killed study then resumes and reports with the runs that references led to.
        session.write()
        for event in (
            _count_stage(folder, stage)
            if stage.count
            else _run_stage(session, stage.name, runs)
        ):
            if not isinstance(event, StageBegan):
                session.has_trained = True
            yield event
        if stage.finding:
            results = [read_run(folder.run_folder(run.id)) for run in runs]
            findings[stage.name] = FINDINGS[stage.finding](results, stage.group)


def planned_before(folder: StudyFolder, engine: Engine = LOCAL) -> Plan:
    """Read the plan that a study folder was begun with, at the same scale.

    Args:
        folder: the study's.
        engine: where it is to go on; another one than before has as many workers as fit there.

    Raises:
        InvalidInput: when the folder holds no study.
        StoreError: when its study.json cannot be understood.
    """
    facts = folder.plan
    try:
        study = Study.model_validate(facts["spec"])
        scale = Scale(**{key: facts["scale"][key] for key in ("length", "images", "grid")})
        costs = {read_kind(kind): _read_cost(cost) for kind, cost in facts["costs"].items()}
        # Threads are kept whatever the engine, because their number changes bits; the number of workers changes none.
        goes_on_there = facts.get("engine", LOCAL.name) == engine.name
        workers = facts["workers"] if goes_on_there else engine.slots(facts["threads"])
        return plan_at(
            study, scale, costs, workers, facts["threads"], facts.get("layouts") or {}
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{folder.path}/study.json: not a plan that this version can resume ({error})"
        ) from error


def _read_cost(cost: dict[str, Any]) -> Cost:
    # JSON has no tuples, and a Cost that is read back must equal the one that was written.
    points = tuple(map(tuple, cost["step_seconds"]))
    return Cost(**cost | {"step_seconds": points})


def _run_stage(session: _Session, stage: str, runs: tuple[Run, ...]) -> Iterator[Progress]:
    plan, folder = session.plan, session.folder
    by_id = {run.id: run for run in runs}
    missing = [run for run in runs if folder.run_folder(run.id).status["status"] not in ENDED]
    yield StageBegan(stage, runs, (), len(missing))
    ordered = longest_first(missing, plan.costs)
    tasks = [
        Task(
            run.id,
            RUN_IN_FOLDER,
            (run, folder.run_folder(run.id), plan.layouts.get(network_of(run))),
        )
        for run in ordered
    ]
    for event in session.engine.run_tasks(tasks, workers=plan.workers, threads=plan.threads):
        run = by_id[event.key]
        if isinstance(event, Yielded):
            yield RunRecorded(stage, run, event.value)
        elif isinstance(event, Ended):
            run_folder = folder.run_folder(run.id)
            # A worker writes its run's status; one that was killed, or is on a machine without this folder, has not.
            if run_folder.status["status"] not in {*ENDED, "failed", "interrupted"}:
                run_folder.fail(
                    run,
                    event.error or "it left nothing here; does its machine share this folder?",
                )
            yield RunEnded(stage, run, read_run(run_folder))


def _count_stage(folder: StudyFolder, stage: Stage) -> Iterator[Progress]:
    """Count the networks of a stage in this process, since that takes a moment; torch is imported only then."""
    missing = [count for count in stage.count if not folder.count_path(count.id).exists()]
    yield StageBegan(stage.name, (), stage.count, len(missing))
    for count in missing:
        from losslab.study.counting import count_into

        try:
            yield Counted(stage.name, count, count_into(count, folder.count_path(count.id)))
        except (
            Exception
        ) as error:  # a user's network may raise anything, and must not stop the others
            yield Counted(stage.name, count, None, str(error) or type(error).__name__)


def _study_facts(
    plan: Plan,
    stages: list[tuple[Stage, tuple[Run, ...]]],
    skipped: dict[str, str],
    facts: dict[str, Any],
) -> dict[str, Any]:
    """The content of study.json; see docs/formats.md."""
    return {
        "study": {"name": plan.study.name, "title": plan.study.title},
        "spec": plan.study.model_dump(mode="json"),
        "scale": {
            "length": plan.scale.length,
            "images": plan.scale.images,
            "grid": plan.scale.grid,
            "text": describe_scale(plan),
        },
        "stages": [
            _stage_facts(stage, runs, skipped.get(stage.name)) for stage, runs in stages
        ],
        "costs": {kind: asdict(cost) for kind, cost in plan.costs.items()},
        "predicted_seconds": plan.seconds,
        "predicted_memory_bytes": plan.memory_bytes,
        "workers": plan.workers,
        "threads": plan.threads,
        "layouts": plan.used_layouts,
        **facts,
    }


def _stage_facts(stage: Stage, runs: tuple[Run, ...], skipped: str | None) -> dict[str, Any]:
    facts = {
        "name": stage.name,
        "question": stage.question,
        "finding": stage.finding,
        "group": stage.group,
        "skipped": skipped,
        "runs": [run.id for run in runs],
        "counts": [count.id for count in stage.count],
    }
    return facts | (_stage_lengths(stage, runs) if runs else {})


def _stage_lengths(stage: Stage, runs: tuple[Run, ...]) -> dict[str, Any]:
    longest = max(runs, key=lambda run: run.epochs or run.steps or 0)
    return {
        "asked": {
            "epochs": stage.base.get("epochs"),
            "steps": stage.base.get("steps"),
            "seeds": stage.seeds,
        },
        "planned": {
            "epochs": longest.epochs,
            "steps": longest.steps,
            "seeds": len({run.seed for run in runs}),
            "train_images": training_images(longest),
        },
    }


def describe_scale(plan: Plan) -> str:
    """The scale in words, stage by stage.

    Example: ``search: 15 of 25 runs, 1 of 10 epochs, 45,000 images; compare: 10 runs, 4 of 200 epochs, 45,000 images``.
    """
    return "; ".join(f"{planned.stage.name}: {stage_scale(planned)}" for planned in plan.stages)


def stage_scale(planned: StagePlan) -> str:
    """The scale of a stage in words."""
    stage, runs = planned.stage, planned.runs
    if stage.count:
        return f"{len(stage.count)} network{'s' if len(stage.count) > 1 else ''} counted"
    full = expand(stage)
    parts = [_of(len(runs), len(full), "runs")]
    if runs[0].model != full[0].model:
        parts.append(f"{runs[0].model} in place of {full[0].model}")
    for unit in ("epochs", "steps"):
        full_length = _longest(full, unit)
        if full_length:
            parts.append(_of(_longest(runs, unit), full_length, unit))
    samples, all_samples = max(map(training_images, runs)), max(map(training_images, full))
    parts.append(_of(samples, all_samples, f"{sample_noun(runs[0])}s"))
    return ", ".join(parts)


def _longest(runs: Sequence[Run], unit: str) -> float:
    """The most epochs or steps of a run; 0 where all are given in the other unit."""
    return max((getattr(run, unit) or 0 for run in runs), default=0)


def _of(planned: float, full: float, unit: str) -> str:
    if planned == full:
        return f"{full:,g} {unit}"
    return f"{planned:,g} of {full:,g} {unit}"
