"""Carry out a plan, stage by stage: what a stage finds feeds the next, and runs that have ended are not repeated."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from losslab.errors import InvalidInput, StoreError
from losslab.spec import Run, Stage
from losslab.study.costs import longest_first, network_of
from losslab.study.engines import LOCAL, Engine
from losslab.study.engines.local import Task, Yielded
from losslab.study.events import (
    Counted,
    PlanChanged,
    Progress,
    RunEnded,
    RunRecorded,
    StageBegan,
    StageSkipped,
)
from losslab.study.facts import describe_stages, read_scale, study_facts, study_of
from losslab.study.fields import Fields
from losslab.study.findings import FINDINGS
from losslab.study.pack import PLAN, vouch_for
from losslab.study.plan import Plan
from losslab.study.replan import pace_of, replan
from losslab.study.results import RunResult, read_count, read_results, read_run
from losslab.study.stages import expand_found
from losslab.study.store import ENDED, RunFolder, StudyFolder

# By name: this process hands runs out and never imports torch, which would take seconds and memory.
RUN_IN_FOLDER = "losslab.study.worker:run_in_folder"


KEPT = frozenset({*ENDED, "failed", "interrupted"})
"""States in which a worker leaves its run; after any other it was killed, or wrote on another machine."""


def execute(
    plan: Plan,
    folder: StudyFolder | Path | str,
    facts: dict[str, Any] | None = None,
    engine: Engine = LOCAL,
    *,
    elsewhere: bool = False,
) -> Iterator[Progress]:
    """Do the runs and counts of a plan that its folder lacks, and yield the progress; nothing runs before it is read.

    Runs that need what an earlier stage did not find are left out; study.json says why. Of a plan with a budget the
    stages that are still to begin are made smaller where those before took longer than predicted.

    Args:
        plan: what to run.
        folder: where the runs go, created when absent; another process is kept out of it meanwhile.
        facts: further entries for study.json, such as the command.
        engine: where the runs are done.
        elsewhere: whether a study that has begun may go on on another device, with other bits.
    Raises:
        TypeError: when it is no Plan.
        InvalidInput: when the folder cannot be written, or holds runs of another study, or of this one as it was
            planned otherwise.
        StoreError: when another process works in the folder.
    Example:
        >>> import losslab
        >>> study = losslab.load_study("adaptive-optimizers")
        >>> plan = losslab.plan(study, budget_seconds=600)  # doctest: +SKIP
        >>> list(losslab.execute(plan, "runs/mine"))  # doctest: +SKIP
    """
    if not isinstance(plan, Plan):
        raise TypeError(
            f"`plan` is a {type(plan).__name__}; give what losslab.plan(study) returns"
        )
    folder = folder if isinstance(folder, StudyFolder) else StudyFolder(Path(folder))
    folder.prepare()
    with folder.lease():
        session = _begin(plan, folder, facts or {}, engine, elsewhere=elsewhere)
        try:
            yield from _run_stages(session)
            session.facts["ended"] = _now()
        finally:
            session.write(at_end=True)


@dataclass
class _Session:
    """A study at work: its stages so far, and what study.json says of it, the times of earlier sessions added up.

    Attributes:
        before: what study.json said of the same study with the same budget when the session began.
        times: seconds of training and evaluation of the runs that are done.
    """

    plan: Plan
    folder: StudyFolder
    engine: Engine
    facts: dict[str, Any]
    before: dict[str, Any]
    stages: list[tuple[Stage, tuple[Run, ...]]]
    began: float
    has_trained: bool = False
    skipped: dict[str, str] = field(default_factory=dict)
    findings: dict[str, list[Fields]] = field(default_factory=dict)
    times: list[tuple[Run, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """What this session and earlier ones have taken."""
        return (self.before.get("measured_seconds") or 0.0) + monotonic() - self.began

    def write(self, *, at_end: bool = False) -> None:
        """Bring study.json up to date; a session that had nothing to do leaves the times as they were."""
        times: dict[str, Any] = {"measured_seconds": self.seconds}
        # Only at the end is it known that there was nothing to do.
        if at_end and self.before.get("ended") and not self.has_trained:
            times = {
                key: self.before.get(key) for key in ("started", "ended", "measured_seconds")
            }
        self.folder.write_plan(
            study_facts(self.plan, self.stages, self.skipped, self.facts | times)
        )
        vouch_for(self.folder.path, self.folder.path / PLAN)


def _begin(
    plan: Plan, folder: StudyFolder, facts: dict[str, Any], engine: Engine, *, elsewhere: bool
) -> _Session:
    """A session that adds its times to those of earlier ones on the same study and budget."""
    before = folder.plan if folder.has_plan else {}
    if before and any((folder.path / "runs").iterdir()):
        _check_goes_on(folder, before, plan, None if elsewhere else engine)
    workers = max(before.get("most_workers") or before.get("workers") or 0, plan.workers)
    has_same_budget = before.get("budget_seconds") == plan.budget_seconds
    if not has_same_budget or not _is_same_study(before, plan):
        before = {}
    if before and not before.get("ended"):
        # A session that was killed could not write what it took; its runs did.
        least = read_results(folder).least_seconds
        before |= {"measured_seconds": max(before.get("measured_seconds") or 0.0, least)}
    times = {
        "started": before.get("started") or _now(),
        "ended": None,
        "most_workers": workers,
    }
    stages = [(stage.stage, stage.runs) for stage in plan.stages]
    facts = times | _engine_facts(engine) | facts
    return _Session(plan, folder, engine, facts, before, stages, began=monotonic())


def _is_same_study(before: dict[str, Any], plan: Plan) -> bool:
    """Whether study.json is of the plan's study, written by this version or an earlier one."""
    # A study made in Python may hold tuples, which JSON has not.
    spec = json.loads(plan.study.model_dump_json())
    return before.get("spec") == spec or study_of(before) == plan.study


def _check_goes_on(
    folder: StudyFolder, before: dict[str, Any], plan: Plan, engine: Engine | None
) -> None:
    """Raise InvalidInput where a plan would leave runs behind that no plan lists any more, or change bits midway.

    Without an engine the device may be another.
    """
    changes = [(change["stage"], change["rung"]) for change in before.get("changes", ())]
    layouts = before.get("layouts") or {}
    same = {
        "text": _is_same_study(before, plan),
        "scale": read_scale(before["scale"]) == plan.scale,
        "changes": changes == [(change.stage, change.rung) for change in plan.changes],
        "threads": before.get("threads") == plan.threads,
        # Earlier versions named networks in other ways.
        "layouts": all(
            layouts.get(network, layout) == layout
            for network, layout in plan.used_layouts.items()
        ),
        "compile_step": before.get("compile_step", False) == plan.compile_step,
    }
    if engine:
        device = str(before.get("device", "cpu")).partition(":")[0]
        same["device"] = device == engine.device.partition(":")[0]
        same["deterministic"] = before.get("deterministic", False) == engine.deterministic
    if all(same.values()):
        return
    name = (before.get("study") or {}).get("name")
    other = ", ".join(f"`{field}`" for field, is_same in same.items() if not is_same)
    raise InvalidInput(
        f"{folder.path}: holds runs of '{name}' with another {other}; choose another folder, or go on with what it "
        f"holds: losslab study resume {shlex.quote(str(folder.path))}"
    )


def _engine_facts(engine: Engine) -> dict[str, Any]:
    return {
        "engine": engine.name,
        "device": engine.device,
        "deterministic": engine.deterministic,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _run_stages(session: _Session) -> Iterator[Progress]:
    index = 0
    while index < len(session.plan.stages):
        yield from _change_plan(session, index)
        # Stages for the full scale alone may have been all that was left.
        if index < len(session.plan.stages):
            yield from _do_stage(session, index)
        index += 1


def _runs_of(session: _Session, index: int) -> tuple[tuple[Run, ...], list[str]]:
    """The runs of a stage that have all they refer to, and why the others have not."""
    stages = session.plan.stages
    earlier = [before.stage for before in stages[:index]]
    stage = stages[index]
    runs, reasons = expand_found(stage.stage, session.findings, stage.scale, earlier)
    return tuple(runs), reasons


def _change_plan(session: _Session, index: int) -> Iterator[Progress]:
    """Make what is left smaller where it would not end in time; a stage that has begun stays as it is."""
    plan = session.plan
    if plan.budget_seconds is None:
        return
    runs, _ = _runs_of(session, index)
    # A stage that has none costs nothing, and says nothing of whether later ones have begun.
    if not runs or any(session.folder.run_folder(run.id).path.exists() for run in runs):
        return
    seconds_left = plan.budget_seconds - plan.measuring_seconds - session.seconds
    pace = pace_of(session.times, plan.costs)
    changed = replan(plan, index, pace=pace, seconds_left=seconds_left)
    if changed is plan:
        return
    session.plan = changed
    rest = changed.stages[index:]
    session.stages[index:] = [(stage.stage, stage.runs) for stage in rest]
    # Before the stage begins: a study that is killed then goes on with the same runs.
    session.write()
    yield PlanChanged(changed.changes[-1], describe_stages(rest) or "nothing more")


def _do_stage(session: _Session, index: int) -> Iterator[Progress]:
    folder, stage_plan = session.folder, session.plan.stages[index]
    stage = stage_plan.stage
    runs, reasons = _runs_of(session, index)
    if reasons:
        session.skipped[stage.name] = "; ".join(reasons)
        missing = len(stage_plan.runs) - len(runs)
        yield StageSkipped(stage.name, missing, session.skipped[stage.name])
    session.stages[index] = (stage, runs)
    if not runs and not stage.count:
        session.findings[stage.name] = []
        session.write()
        return
    # Before the first run begins: a killed study then resumes and reports with the runs that references led to.
    session.write()
    events = (
        _count_stage(folder, stage) if stage.count else _run_stage(session, stage.name, runs)
    )
    for event in events:
        if not isinstance(event, StageBegan):
            session.has_trained = True
        yield event
    if index + 1 < len(session.plan.stages):
        _learn(session, stage, runs)


def _learn(session: _Session, stage: Stage, runs: tuple[Run, ...]) -> None:
    """Keep what the stages after this one need: what it found and how long its runs took."""
    results = [_result(run, session.folder.run_folder(run.id)) for run in runs]
    for result in results:
        if result.final:
            session.times.append((result.run, result.seconds))
    if stage.finding:
        session.findings[stage.name] = FINDINGS[stage.finding](results, stage.group)


def _run_stage(session: _Session, stage: str, runs: tuple[Run, ...]) -> Iterator[Progress]:
    plan, folder = session.plan, session.folder
    by_id = {run.id: run for run in runs}
    before = {run.id: _status(folder.run_folder(run.id)) for run in runs}
    missing = [run for run in runs if before[run.id]["status"] not in ENDED]
    yield StageBegan(stage, runs, (), len(missing))
    ordered = longest_first(missing, plan.costs)
    tasks = []
    for run in ordered:
        layout = plan.layouts.get(network_of(run))
        compiles = plan.compile_step and run.optimizer.compiles
        arguments = (run, folder.run_folder(run.id), layout, compiles)
        tasks.append(Task(run.id, RUN_IN_FOLDER, arguments))
    for event in session.engine.run_tasks(tasks, workers=plan.workers, threads=plan.threads):
        run = by_id[event.key]
        if isinstance(event, Yielded):
            yield RunRecorded(stage, run, event.value)
        else:
            run_folder = folder.run_folder(run.id)
            # A worker writes its run's status; one that was killed, or is on a machine without this folder, has not.
            status = _status(run_folder)
            if status == before[run.id] or status["status"] not in KEPT:
                run_folder.fail(
                    run,
                    event.error or "it left nothing here; does its machine share this folder?",
                )
            yield RunEnded(stage, run, _result(run, run_folder))


def _result(run: Run, folder: RunFolder) -> RunResult:
    """Read a run's folder; a file of it that cannot be read costs this run alone."""
    try:
        return read_run(folder)
    except (StoreError, InvalidInput) as error:
        return RunResult(run, "unreadable", str(error), {}, ())


def _status(folder: RunFolder) -> dict[str, Any]:
    """The state of a run; one that cannot be read counts as failed."""
    try:
        return folder.status
    except StoreError as error:
        return {"status": "failed", "message": str(error)}


def _has_ledger(path: Path) -> bool:
    """Whether the ledger of a network is there and can be read; another is counted anew."""
    try:
        return path.exists() and bool(read_count(path))
    except StoreError:
        return False


def _count_stage(folder: StudyFolder, stage: Stage) -> Iterator[Progress]:
    """Count the networks of a stage in this process, since that takes a moment; torch is imported only then."""
    missing = [count for count in stage.count if not _has_ledger(folder.count_path(count.id))]
    yield StageBegan(stage.name, (), stage.count, len(missing))
    for count in missing:
        from losslab.study.counting import count_into

        try:
            path = folder.count_path(count.id)
            ledger = count_into(count, path)
            vouch_for(folder.path, path)
            yield Counted(stage.name, count, ledger)
        except (
            Exception
        ) as error:  # a user's network may raise anything, and must not stop the others
            yield Counted(stage.name, count, None, str(error) or type(error).__name__)
