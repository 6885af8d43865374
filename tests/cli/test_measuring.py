"""What a plan measures is told while it does, and the budget holds for measuring too."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from losslab.cli.measuring import watched
from losslab.errors import InvalidInput
from losslab.spec import make_run
from losslab.study.engines import LOCAL, Engine
from losslab.study.engines.local import Ended, Event, Task, Yielded

RUNS = [
    make_run(
        {
            "data": "samples:tiny_data",
            "model": "mlp",
            "optimizer": name,
            "lr": 0.1,
            "batch": 8,
            "epochs": 1,
        }
    )
    for name in ("sgd", "adam", "adagrad")
]
TASKS = [Task(run.optimizer.name, "no:where", (run, None, False)) for run in RUNS]
EVENTS = [event for task in TASKS for event in (Yielded(task.key, 1), Ended(task.key, None))]


def engine(closed: list[bool] | None = None) -> Engine:
    def run_tasks(tasks: list[Task], **crew: Any) -> Iterator[Event]:
        try:
            yield from EVENTS
        finally:
            if closed is not None:
                closed.append(True)

    return replace(LOCAL, run_tasks=run_tasks)


def test_each_measurement_is_named_before_it_is_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    events = watched(engine(), None).run_tasks(iter(TASKS), workers=1, threads=1)
    assert next(events) == EVENTS[0]
    out, err = capsys.readouterr()
    assert (out, err) == ("", "measuring mlp with sgd on samples:tiny_data (1 of 3)\n")
    assert list(events) == EVENTS[1:]
    assert [line.split()[3] for line in capsys.readouterr().err.splitlines()] == [
        "adam",
        "adagrad",
    ]


def test_quiet_names_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(watched(engine(), None, quiet=True).run_tasks(TASKS)) == EVENTS
    assert capsys.readouterr() == ("", "")


def test_a_budget_that_is_used_up_ends_the_measuring_and_its_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter([0.0, 10.5])  # when the plan begins and when the first measurement has ended
    monkeypatch.setattr("losslab.cli.measuring.monotonic", lambda: next(now))
    closed: list[bool] = []
    events = watched(engine(closed), 10.0).run_tasks(TASKS)
    assert next(events) == EVENTS[0]
    assert next(events) == EVENTS[1]
    with pytest.raises(
        InvalidInput, match=r"the budget \(=10\.0 s\) is over before all steps are measured"
    ):
        next(events)
    assert closed == [True]


def test_the_last_measurement_is_never_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("losslab.cli.measuring.monotonic", iter([0.0, 1.0, 1.0]).__next__)
    assert list(watched(engine(), 10.0, quiet=True).run_tasks(TASKS)) == EVENTS
