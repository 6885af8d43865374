"""Plan what is left of a study anew before each stage, by what the stages before took."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from losslab.errors import InvalidInput
from losslab.spec import Run, Study
from losslab.study.costs import Costs, kind_of_run, run_seconds
from losslab.study.ladder import at_rung, rungs
from losslab.study.plan import SAFETY, Change, Plan, make_plan, plan_at, smallest_plan
from losslab.study.planning import largest_plan


def pace_of(times: Iterable[tuple[Run, float]], costs: Costs) -> float:
    """How long runs took, as a multiple of what was predicted; 1 where that is not known of any.

    Args:
        times: runs that are done, with the seconds of training and evaluation.
        costs: by which they were predicted.
    """
    measured = predicted = 0.0
    for run, seconds in times:
        # A batch size that a stage found is a kind whose cost nobody measured.
        cost = costs.get(kind_of_run(run))
        if cost:
            measured += seconds
            # The clocks of a run stand still while its network is built.
            predicted += run_seconds(run, costs) - cost.start_seconds
    return measured / predicted if predicted else 1.0


def replan(planned: Plan, index: int, *, pace: float, seconds_left: float) -> Plan:
    """Make what is left of a study smaller where it would not end in time; else return the plan as it is.

    Args:
        planned: of which the stages before the index have ended.
        index: of the stage that is next.
        pace: of those stages, see :func:`pace_of`.
        seconds_left: of the budget.
    Returns:
        A plan whose stages before the index are the same and whose others take less time; where nothing fits they
        are at their floor.
    """
    rest = planned.stages[index:]
    predicted = pace * sum(stage.seconds for stage in rest)
    if predicted <= seconds_left:
        return planned
    smaller = _largest_rest(planned, index, SAFETY * max(0.0, seconds_left) / pace)
    change = Change(
        stage=rest[0].stage.name,
        rung=smaller.study.rung if smaller.study.rung != planned.study.rung else None,
        scale=smaller.scale,
        pace=pace,
        seconds_left=seconds_left,
        predicted_seconds=predicted,
    )
    changed = apply_change(planned, change)
    # At its floor already: there is nothing to tell.
    return planned if changed.runs == planned.runs else changed


def apply_change(planned: Plan, change: Change) -> Plan:
    """The plan after a change, which resuming a study makes anew from study.json.

    Raises:
        ValueError: when the plan has no such stage.
    """
    names = [stage.stage.name for stage in planned.stages]
    index = names.index(change.stage)
    study = _rest_of(planned, index)
    if change.rung is not None:
        study = at_rung(study, change.rung)
    rest = plan_at(
        study, change.scale, planned.costs, planned.workers, planned.threads, planned.layouts
    )
    return replace(
        planned,
        stages=planned.stages[:index] + rest.stages,
        changes=(*planned.changes, change),
    )


def _rest_of(planned: Plan, index: int) -> Study:
    """The study without the stages that have ended."""
    stages = tuple(stage.stage for stage in planned.stages[index:])
    return planned.study.model_copy(update={"stages": stages})


def _largest_rest(planned: Plan, index: int, seconds: float) -> Plan:
    """What is left, as large as fits in so many seconds at the predicted pace; the smallest where nothing does."""
    study = _rest_of(planned, index)
    fit_plan = partial(
        make_plan,
        costs=planned.costs,
        workers=planned.workers,
        threads=planned.threads,
        layouts=planned.layouts,
        budget_seconds=seconds,
    )
    try:
        return largest_plan(study, planned.costs, fit_plan)
    except InvalidInput:
        return smallest_plan(
            rungs(study)[-1], planned.costs, planned.workers, planned.threads, planned.layouts
        )
