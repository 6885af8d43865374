"""What study.json says of a study: its plan, written for whoever reads or resumes it, and read again."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

from losslab.errors import InvalidInput, StoreError
from losslab.spec import Run, Stage, Study
from losslab.study.costs import Cost, read_kind
from losslab.study.engines import LOCAL, Engine
from losslab.study.plan import Change, Plan, StagePlan, plan_at
from losslab.study.replan import apply_change
from losslab.study.sizes import sample_noun, training_images
from losslab.study.stages import FULL, Scale, expand
from losslab.study.store import StudyFolder
from losslab.text import duration, number


def study_of(facts: dict[str, Any]) -> Study | None:
    """The study that a study.json holds; None where it holds none, or one that this version cannot read."""
    try:
        spec = deepcopy(facts["spec"])
        # Before there were ladders `floor.model` was trained at every scale but the full one.
        for stage in spec["stages"]:
            model = stage.get("floor", {}).pop("model", None)
            if model and read_scale(facts["scale"]) != FULL:
                stage["base"]["model"] = model
        return Study.model_validate(spec)
    except (KeyError, TypeError, ValueError):
        return None


def read_scale(facts: dict[str, Any]) -> Scale:
    """The scale that a study.json states."""
    return Scale(**{key: facts[key] for key in ("length", "images", "grid")})


def planned_before(
    folder: StudyFolder, engine: Engine = LOCAL, workers: int | None = None
) -> Plan:
    """Read the plan that a study folder was begun with, at the same scale and with the changes that were made since.

    Args:
        folder: the study's.
        engine: where it is to go on; another one than before has as many workers as fit there.
        workers: processes that train at a time, in the place of those.
    Raises:
        InvalidInput: when the folder holds no study, or `workers` is not positive.
        StoreError: when its study.json cannot be understood.
    """
    if workers is not None and workers < 1:
        raise InvalidInput(f"`workers` (={workers}) must be at least 1")
    facts = folder.plan
    try:
        study = study_of(facts)
        if study is None:
            raise ValueError("it holds no spec of a study")
        scale = read_scale(facts["scale"])
        costs = _read_costs(facts["costs"])
        # Threads are kept whatever the engine, because their number changes bits; the number of workers changes none.
        before = (facts.get("engine", LOCAL.name), facts.get("device", LOCAL.device))
        goes_on_there = before == (engine.name, engine.device)
        if workers is None:
            slots = max(1, engine.slots(facts["threads"]))
            # On a smaller machine than before, no more than it has cores for.
            fewest = (
                min(facts["workers"], slots) if engine.device == "cpu" else facts["workers"]
            )
            workers = fewest if goes_on_there else slots
        layouts = facts.get("layouts") or {}
        planned = plan_at(study, scale, costs, workers, facts["threads"], layouts)
        for change in facts.get("changes", ()):
            planned = apply_change(planned, _read_change(change))
        return replace(
            planned,
            budget_seconds=facts.get("budget_seconds"),
            measuring_seconds=facts.get("measuring_seconds", 0.0),
            compile_step=facts.get("compile_step", False),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{folder.path}/study.json: not a plan that this version can resume ({error})"
        ) from error


def _read_costs(facts: dict[str, Any]) -> dict[str, Cost]:
    costs = [(read_kind(kind), _read_cost(cost)) for kind, cost in facts.items()]
    # Earlier versions measured a kind without and with copies: the latter, whose steps have more images, tells both.
    costs.sort(key=lambda item: item[1].step_seconds[-1])
    return dict(costs)


def _read_cost(cost: dict[str, Any]) -> Cost:
    # JSON has no tuples, and a Cost that is read back must equal the one that was written.
    points = tuple(map(tuple, cost["step_seconds"]))
    return Cost(**cost | {"step_seconds": points})


def _read_change(facts: dict[str, Any]) -> Change:
    known = {key: facts[key] for key in ("stage", "rung", "pace")}
    seconds = {key: facts[key] for key in ("seconds_left", "predicted_seconds")}
    return Change(scale=read_scale(facts["scale"]), **known, **seconds)


def study_facts(
    plan: Plan,
    stages: list[tuple[Stage, tuple[Run, ...]]],
    skipped: dict[str, str],
    facts: dict[str, Any],
) -> dict[str, Any]:
    """The content of study.json; see docs/formats.md."""
    return {
        "study": {"name": plan.study.name, "title": plan.study.title},
        "spec": plan.study.model_dump(mode="json"),
        "scale": asdict(plan.scale) | {"text": describe_scale(plan)},
        "stages": [
            _stage_facts(stage, runs, skipped.get(stage.name)) for stage, runs in stages
        ],
        "costs": {kind: asdict(cost) for kind, cost in plan.costs.items()},
        "budget_seconds": plan.budget_seconds,
        "measuring_seconds": plan.measuring_seconds,
        "predicted_seconds": plan.seconds,
        "predicted_memory_bytes": plan.memory_bytes,
        "workers": plan.workers,
        "threads": plan.threads,
        "layouts": plan.used_layouts,
        "compile_step": plan.compile_step,
        "changes": [
            asdict(change) | {"text": describe_change(change)} for change in plan.changes
        ],
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
    rung = f"rung {plan.study.rung} of the ladder; " if plan.study.rung else ""
    return rung + describe_stages(plan.stages)


def describe_stages(stages: Sequence[StagePlan]) -> str:
    """The scale of some stages in words."""
    return "; ".join(f"{planned.stage.name}: {stage_scale(planned)}" for planned in stages)


def describe_change(change: Change) -> str:
    """Why and where a plan was changed, in words."""
    left = duration(max(0.0, change.seconds_left))
    rung = f", at rung {change.rung} of the ladder" if change.rung else ""
    return (
        f"smaller from {change.stage} on{rung}: {left} were left for what would have taken "
        f"{duration(change.predicted_seconds)} (the runs before took {number(change.pace, 3)} times what was predicted)"
    )


def stage_scale(planned: StagePlan) -> str:
    """The scale of a stage in words."""
    stage, runs = planned.stage, planned.runs
    if stage.count:
        return f"{len(stage.count)} network{'s' if len(stage.count) > 1 else ''} counted"
    full = expand(stage)
    parts = [_of(len(runs), len(full), "runs")]
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
