"""What a plan says of the precisions that it was not measured in."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from losslab.machine.process import FAST_FLAGS, multiplies_fast
from losslab.spec import Study
from losslab.study import precisions
from losslab.study.costs import Cost, kind_of_run
from losslab.study.engines import Engine
from losslab.study.engines.local import Ended, Event, Task, Yielded
from losslab.study.plan import Plan, plan_at
from losslab.study.precisions import emulated, other_pace
from losslab.study.stages import FULL, expand

BASE = {"data": "fashion-mnist-sample", "model": "lenet5", "optimizer": "adam", "lr": 1e-3}


def planned(precision: str = "fp32") -> Plan:
    base = {**BASE, "batch": 64, "epochs": 1, "precision": precision}
    stage = {"name": "all", "base": base}
    study = Study.model_validate({"name": "one", "title": "One", "stages": [stage]})
    [run] = expand(study.stages[0])
    return plan_at(study, FULL, {kind_of_run(run): Cost(((64, 0.3),), 0.0, 0.0, 1)}, 2, 1)


def engine_of(seconds: float, error: str | None = None) -> tuple[Engine, list[Task]]:
    """An engine that measures so many seconds a step, and the tasks that it gets."""
    measured: list[Task] = []

    def run_tasks(tasks: Iterable[Task], **crew: Any) -> Iterator[Event]:
        for task in tasks:
            measured.append(task)
            if error is None:
                yield Yielded(task.key, {"contiguous": Cost(((64, seconds),), 0.0, 0.0, 1)})
            yield Ended(task.key, error)

    return Engine("local", run_tasks, lambda threads: 2), measured


@pytest.fixture(autouse=True)
def with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precisions, "multiplies_fast", lambda name: name in ("fp32", "bf16"))


def test_the_longest_run_is_measured_in_bf16_on_all_workers() -> None:
    engine, measured = engine_of(0.1)
    pace = other_pace(planned(), engine)
    assert pace is not None
    assert pace.seconds == pytest.approx(3 * pace.other_seconds)
    assert pace.text() == 'lenet5 trains 3.00 times as fast in bf16: set `precision = "bf16"`'
    assert [task.arguments[0].precision for task in measured] == ["bf16", "bf16"]


def test_what_saves_nothing_is_said() -> None:
    pace = other_pace(planned(), engine_of(0.29)[0])
    assert pace is not None
    assert pace.text() == "lenet5 trains 1.03 times as fast in bf16, which saves nothing"


def test_nothing_is_measured_where_nothing_can_be_gained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, measured = engine_of(0.1)
    assert other_pace(planned("bf16"), engine) is None
    monkeypatch.setattr(precisions, "multiplies_fast", lambda name: name == "fp32")
    assert other_pace(planned(), engine) is None
    assert measured == []


def test_a_network_that_cannot_train_in_bf16_is_planned_all_the_same() -> None:
    assert other_pace(planned(), engine_of(0.1, "no such kernel")[0]) is None


def test_a_precision_that_the_processor_lacks_is_named() -> None:
    engine = engine_of(0.1)[0]
    assert emulated(planned("fp16"), engine) == ["fp16"]
    assert emulated(planned("bf16"), engine) == []
    assert emulated(planned(), engine) == []


@pytest.mark.parametrize(("flags", "fast"), [("fma avx512_bf16 sse", True), ("fma", False)])
def test_a_processors_flags_say_what_it_multiplies(
    monkeypatch: pytest.MonkeyPatch, flags: str, fast: bool
) -> None:
    monkeypatch.setattr("pathlib.Path.read_text", lambda path, encoding: f"flags : {flags}")
    assert multiplies_fast("bf16") == fast
    assert multiplies_fast("fp32")
    assert set(FAST_FLAGS) == {"bf16", "fp16"}
