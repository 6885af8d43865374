"""What is left of a study is planned anew before each stage, by what the stages before took."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_study import write_run
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.errors import InvalidInput
from losslab.records import Evaluation, Final, Start
from losslab.reports.overview import overview_of
from losslab.spec import Run, Study
from losslab.study import execute as execution
from losslab.study.costs import Cost, kind_of_run, run_seconds
from losslab.study.engines import Engine
from losslab.study.engines.local import Ended, Event, Task
from losslab.study.events import PlanChanged, Progress, StageBegan
from losslab.study.execute import execute
from losslab.study.facts import planned_before
from losslab.study.plan import SAFETY, Plan, StagePlan, make_plan, plan_at
from losslab.study.replan import apply_change, pace_of, replan
from losslab.study.results import read_results
from losslab.study.stages import FULL, expand
from losslab.study.store import StudyFolder

BASE = {"data": "fashion-mnist-sample", "model": "mlp", "optimizer": "sgd", "batch": 64}
FLOOR = {"epochs": 2, "train_images": 500, "grid": {"lr": 1}}
STUDY = Study.model_validate(
    {
        "name": "mine",
        "title": "Mine",
        "stages": [
            {
                "name": name,
                "floor": FLOOR,
                "base": {**BASE, "epochs": 20, "weight_decay": decay},
                "grid": [{"lr": [0.1, 0.2, 0.4]}],
            }
            for name, decay in (("first", 0.1), ("second", 0.2), ("third", 0.3))
        ],
    }
)
SMALL = {"name": "small", "base": {"model": "mlp(hidden=[8])"}, "floor": {"epochs": 1}}
WITH_LADDER = Study.model_validate(
    {
        "name": "mine",
        "title": "Mine",
        "stages": [
            {"name": "first", "base": {**BASE, "epochs": 4, "lr": 0.1}},
            {"name": "whole", "full_only": True, "base": {**BASE, "epochs": 4, "lr": 0.2}},
            {
                "name": "second",
                "base": {**BASE, "epochs": 20, "lr": 0.3},
                "floor": {"epochs": 20},
                "ladder": [SMALL],
            },
        ],
    }
)


def planned(study: Study = STUDY, budget_seconds: float | None = None) -> Plan:
    stages = [*study.stages]
    stages += [
        stage.model_copy(update={"base": stage.base | rung.base})
        for stage in study.stages
        for rung in stage.ladder
    ]
    runs = [run for stage in stages for run in expand(stage)]
    costs = {kind_of_run(run): Cost(((64, 0.01),), 1e-4, 0.5, 10**8) for run in runs}
    small = {kind for kind in costs if "hidden" in kind}
    costs |= {kind: Cost(((64, 0.001),), 1e-5, 0.1, 10**8) for kind in small}
    plan = make_plan(study, costs, workers=2, threads=1, budget_seconds=budget_seconds)
    return replace(plan, budget_seconds=budget_seconds)


def seconds_of(stages: Iterable[StagePlan]) -> float:
    return sum(stage.seconds for stage in stages)


def size_of(stage: StagePlan) -> tuple[float, int, int]:
    """Epochs, images and number of runs."""
    epochs = max(run.epochs or 0 for run in stage.runs)
    images = max(run.data.train_images or 4500 for run in stage.runs)
    return epochs, images, len(stage.runs)


FULL_PLAN = planned()
REST = seconds_of(FULL_PLAN.stages[1:])
LEAST = (2, 500, 1)


@settings(max_examples=40, deadline=None)
@given(
    pace=st.floats(0.3, 5),
    left=st.floats(-10, 1.5 * REST),
    index=st.integers(0, 2),
    before=st.floats(0.1, 1.0),
)
def test_what_is_left_fits_the_time_that_is_left(
    pace: float, left: float, index: int, before: float
) -> None:
    plan = planned(budget_seconds=max(3.0, before * FULL_PLAN.seconds))
    changed = replan(plan, index, pace=pace, seconds_left=left)
    rest = changed.stages[index:]
    assert changed.stages[:index] == plan.stages[:index]
    if pace * seconds_of(plan.stages[index:]) <= left:
        assert changed is plan
        return
    at_floor = all(size_of(stage) == LEAST for stage in rest)
    assert at_floor or pace * seconds_of(rest) <= SAFETY * left
    for stage, earlier in zip(rest, plan.stages[index:], strict=True):
        assert all(
            now <= then for now, then in zip(size_of(stage), size_of(earlier), strict=True)
        )
    # What is written of a change is all that is needed to make it again.
    again = plan
    for change in changed.changes:
        again = apply_change(again, change)
    assert again == changed


@settings(max_examples=20, deadline=None)
@given(pace=st.floats(1.2, 4))
def test_no_more_is_left_out_than_the_time_asks_for(pace: float) -> None:
    changed = replan(FULL_PLAN, 1, pace=pace, seconds_left=REST)
    # Epochs are whole: a tenth of 20 is the least step of two stages of equal length.
    assert pace * seconds_of(changed.stages[1:]) >= SAFETY * REST - 0.1 * pace * REST


def test_the_pace_is_what_runs_took_over_what_was_predicted() -> None:
    first, second, _ = FULL_PLAN.stages[0].runs
    cost = FULL_PLAN.costs[kind_of_run(first)]
    predicted = run_seconds(first, FULL_PLAN.costs) - cost.start_seconds
    times = [(first, predicted), (second, 3 * predicted)]
    unknown = first.model_copy(update={"batch": 8})
    assert pace_of([*times, (unknown, 1e9)], FULL_PLAN.costs) == pytest.approx(2)
    assert pace_of([(unknown, 1e9)], FULL_PLAN.costs) == 1
    assert pace_of([], FULL_PLAN.costs) == 1


def test_a_smaller_question_is_asked_where_the_floor_does_not_fit() -> None:
    plan = planned(WITH_LADDER)
    changed = replan(plan, 1, pace=1.0, seconds_left=4.0)
    assert [stage.stage.name for stage in changed.stages] == ["first", "second"]
    assert str(changed.stages[1].runs[0].model) == "mlp(hidden=[8])"
    assert changed.changes[0].rung == "small"
    assert (changed.changes[0].stage, changed.study) == ("whole", plan.study)
    assert apply_change(plan, changed.changes[0]) == changed


class Machine:
    """An engine whose runs take a multiple of what is predicted, by a clock of its own, and which may be killed."""

    def __init__(self, plan: Plan, pace: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plan, self.pace, self.now, self.runs_left = plan, pace, 0.0, 10**6
        monkeypatch.setattr(execution, "monotonic", lambda: self.now)
        self.engine = Engine("local", self.run_tasks, lambda threads: 2)

    def run_tasks(self, tasks: Iterable[Task], **crew: Any) -> Iterator[Event]:
        for task in tasks:
            if not self.runs_left:
                raise KeyboardInterrupt
            self.runs_left -= 1
            run, folder, *_ = task.arguments
            seconds = self.pace * (run_seconds(run, self.plan.costs) - 0.5)
            self.now += seconds / self.plan.workers
            write_run(StudyFolder(folder.path.parent.parent), run, records_of(run, seconds))
            yield Ended(task.key, None)


def records_of(run: Run, seconds: float) -> list[Any]:
    return [
        Start(10, "0" * 64, 4500, 500, 1000, 10),
        Evaluation(10, 1.0, 4500, 1.0, 0.5, 0.0, 1.0, 0.5, 1.0, 0.5, seconds - 0.1, 0.05),
        Final(10, "1" * 64, 1.0, 0.5, seconds - 0.1, 0.1),
    ]


def changes_of(events: Iterable[Progress]) -> list[PlanChanged]:
    return [event for event in events if isinstance(event, PlanChanged)]


BUDGET = FULL_PLAN.seconds / 2


def test_a_slow_stage_makes_those_after_it_smaller_and_the_budget_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(budget_seconds=BUDGET)
    machine = Machine(plan, 1.6, monkeypatch)
    (change,) = changes_of(execute(plan, tmp_path, engine=machine.engine))
    assert change.change.stage == "second"
    assert change.change.pace == pytest.approx(1.6)
    assert machine.now <= BUDGET
    facts = StudyFolder(tmp_path).plan
    text = facts["changes"][0]["text"]
    assert text.startswith("smaller from second on: ")
    assert text.endswith("(the runs before took 1.6 times what was predicted)")
    before, *after = (stage["planned"]["epochs"] for stage in facts["stages"])
    assert before == plan.stages[0].runs[0].epochs
    assert all(epochs < before for epochs in after)
    assert ("Changed", text) in overview_of(read_results(StudyFolder(tmp_path))).facts


@pytest.mark.parametrize(
    ("pace", "budget_seconds"), [(1.0, BUDGET), (0.5, BUDGET), (3.0, None)]
)
def test_a_plan_that_holds_or_has_no_budget_is_not_changed(
    pace: float, budget_seconds: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(budget_seconds=budget_seconds)
    machine = Machine(plan, pace, monkeypatch)
    assert not changes_of(execute(plan, tmp_path, engine=machine.engine))
    assert StudyFolder(tmp_path).plan["changes"] == []
    assert [len(runs) for runs in read_results(StudyFolder(tmp_path)).stages.values()] == [
        len(stage.runs) for stage in plan.stages
    ]


@pytest.mark.parametrize("runs_before", [3, 4])
def test_a_study_killed_after_a_change_goes_on_with_the_same_runs(
    runs_before: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the first run of the changed stage, and within that stage."""
    plan = planned(budget_seconds=BUDGET)
    machine = Machine(plan, 1.6, monkeypatch)
    machine.runs_left = runs_before
    with pytest.raises(KeyboardInterrupt):
        list(execute(plan, tmp_path, engine=machine.engine))
    folder = StudyFolder(tmp_path)
    resumed = planned_before(folder, machine.engine)
    assert [change.stage for change in resumed.changes] == ["second"]
    assert resumed.budget_seconds == BUDGET
    assert [[run.id for run in stage.runs] for stage in resumed.stages] == [
        stage["runs"] for stage in folder.plan["stages"]
    ]
    # Had there been little time before the stage went on, its runs, which have begun, would still be these.
    machine.runs_left, machine.now = 10**6, machine.now + (BUDGET if runs_before == 4 else 0)
    list(execute(resumed, tmp_path, engine=machine.engine))
    trained = {path.name for path in (tmp_path / "runs").iterdir()}
    assert {run.id for run in resumed.stages[1].runs} <= trained
    assert trained == {run for stage in folder.plan["stages"] for run in stage["runs"]}
    assert folder.plan["ended"]


def test_the_time_of_earlier_sessions_and_of_measuring_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(planned(budget_seconds=BUDGET), measuring_seconds=0.4 * BUDGET)
    machine = Machine(plan, 1.0, monkeypatch)
    machine.runs_left = 3
    with pytest.raises(KeyboardInterrupt):
        list(execute(plan, tmp_path, engine=machine.engine))
    used = machine.now
    resumed = planned_before(StudyFolder(tmp_path), machine.engine)
    assert resumed.changes[0].stage == "first"
    machine.runs_left, machine.now = 10**6, 0.0
    list(execute(resumed, tmp_path, engine=machine.engine))
    assert resumed.measuring_seconds == 0.4 * BUDGET
    assert machine.now + used <= 0.6 * BUDGET


def test_stages_for_the_full_scale_alone_may_be_all_that_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, whole, _ = WITH_LADDER.stages
    study = WITH_LADDER.model_copy(update={"stages": (first, whole)})
    plan = planned(study)
    plan = replace(plan, budget_seconds=plan.seconds)
    machine = Machine(plan, 3.0, monkeypatch)
    (change,) = changes_of(execute(plan, tmp_path, engine=machine.engine))
    assert change.scale == "nothing more"
    assert [stage["name"] for stage in StudyFolder(tmp_path).plan["stages"]] == ["first"]


def test_a_study_of_an_earlier_version_is_resumed_without_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_at(STUDY, FULL, FULL_PLAN.costs, 2, 1)
    machine = Machine(plan, 1.0, monkeypatch)
    list(execute(plan, tmp_path, engine=machine.engine))
    folder = StudyFolder(tmp_path)
    facts = folder.plan
    for key in ("changes", "measuring_seconds"):
        del facts[key]
    folder.write_plan(facts)
    assert planned_before(folder, machine.engine) == plan


def test_a_stage_that_only_counts_does_not_plan_anew_what_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = {"name": "sizes", "count": [{"model": "lenet5"}]}
    stage = STUDY.stages[0].model_dump(mode="json")
    study = Study.model_validate({"name": "mine", "title": "Mine", "stages": [counting, stage]})
    plan = replace(planned(study), budget_seconds=1.0, measuring_seconds=2.0)
    folder = StudyFolder(tmp_path)
    folder.prepare()
    for run in plan.runs:
        write_run(folder, run, [])
    assert not [event for event in execute(plan, folder) if isinstance(event, PlanChanged)]


def test_runs_of_another_scale_are_never_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned()
    list(execute(plan, tmp_path, engine=Machine(plan, 1.0, monkeypatch).engine))
    before = (tmp_path / "study.json").read_bytes()
    smaller = planned(budget_seconds=0.3 * plan.seconds)
    renamed = replace(plan, study=plan.study.model_copy(update={"name": "other"}))
    threaded, gpu = replace(plan, threads=2), Machine(plan, 1.0, monkeypatch).engine
    here = Machine(plan, 1.0, monkeypatch).engine
    for other, engine, field in (
        (smaller, here, "scale"),
        (renamed, here, "text"),
        (threaded, here, "threads"),
        (plan, replace(gpu, device="cuda:1"), "device"),
    ):
        with pytest.raises(
            InvalidInput, match=f"runs of 'mine' with another `{field}`; choose"
        ):
            list(execute(other, tmp_path, engine=engine))
    assert (tmp_path / "study.json").read_bytes() == before
    list(execute(plan, tmp_path, engine=Machine(plan, 1.0, monkeypatch).engine))


def test_a_further_session_that_is_killed_has_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned()
    list(execute(plan, tmp_path, engine=Machine(plan, 1.0, monkeypatch).engine))
    folder = StudyFolder(tmp_path)
    last = folder.run_folder(plan.stages[-1].runs[-1].id)
    last.set_status("failed")
    progress = execute(plan, tmp_path, engine=Machine(plan, 1.0, monkeypatch).engine)
    for event in progress:
        if isinstance(event, StageBegan) and event.missing:
            assert not folder.plan["ended"]
    assert folder.plan["ended"]


def test_a_budget_below_a_study_of_the_full_scale_alone_is_refused() -> None:
    stages = [stage for stage in WITH_LADDER.stages if stage.full_only]
    with pytest.raises(InvalidInput, match="all its stages are for the full scale alone"):
        planned(WITH_LADDER.model_copy(update={"stages": stages}), budget_seconds=0.1)


@pytest.mark.row(26)
def test_a_damaged_run_stops_no_stage_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned()
    list(execute(plan, tmp_path, engine=Machine(plan, 1.0, monkeypatch).engine))
    folder = StudyFolder(tmp_path)
    (folder.run_folder(plan.stages[0].runs[0].id).path / "run.json").write_text("{")
    last = folder.run_folder(plan.stages[-1].runs[-1].id)
    last.set_status("failed")
    list(execute(plan, tmp_path, engine=Machine(plan, 1.0, monkeypatch).engine))
    assert last.status["status"] == "done"
