"""The table that a terminal shows while a study runs."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from losslab.cli.live import Board
from losslab.cli.progress import show_progress
from losslab.records import Evaluation, Start, Steps
from losslab.spec import Count, Run, make_run
from losslab.study.events import Progress, RunEnded, RunRecorded, StageBegan
from losslab.study.results import RunResult
from losslab.training.loop import train

BASE = {
    "data": "samples:tiny_data",
    "model": "mlp(hidden=[8])",
    "optimizer": "sgd",
    "batch": 23,
    "epochs": 2,
}
RUNS = tuple(make_run({**BASE, "lr": lr}) for lr in (0.1, 0.2))
START = Start(1, "", 207, 23, 60, 18)


def steps(run: Run, first: int) -> RunRecorded:
    count = 3
    return RunRecorded(
        "only",
        run,
        Steps(first, [0.1] * count, [23] * count, [0.5, 1.0, 1.5], [11.5] * count, 1.0),
    )


def shown(board: Board) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(board)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_each_run_at_work_has_a_row_and_the_stage_a_bar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("losslab.cli.live.monotonic", lambda: now[0])
    board = Board()
    board.begin(StageBegan("only", RUNS, (), 2))
    assert "0 of 2" in shown(board)
    board.record(RunRecorded("only", RUNS[0], START))
    board.record(steps(RUNS[1], 3))  # goes on from its checkpoint
    first, second = (line for line in shown(board).splitlines() if "lr=" in line)
    assert first.split() == ["lr=0.1", "0.00", "of", "2"]
    assert second.split() == [
        "lr=0.2",
        "0.67",
        "of",
        "2",
        "1.0000",
        "50.0%",
    ]  # its pace is not known yet
    now[0] += 2.0
    board.record(steps(RUNS[1], 6))  # 3 steps in 2 seconds; 9 of 18 are left
    (second,) = (line for line in shown(board).splitlines() if "lr=0.2" in line)
    assert second.split()[:6] == ["lr=0.2", "1.00", "of", "2", "1.0000", "50.0%"]
    assert second.split()[6:] == ["6.0", "s"]
    assert "left" in shown(board).splitlines()[0]
    board.end(RUNS[1])
    assert "1 of 2" in shown(board)
    assert "lr=0.2" not in shown(board)


@pytest.mark.parametrize(
    ("metrics", "heading", "cells"),
    [(["mae"], "run epoch loss mae left", 1), ([], "run epoch loss left", 0)],
)
def test_the_table_names_the_tasks_own_first_metric_or_none(
    metrics: list[str], heading: str, cells: int
) -> None:
    task = {"data": "samples:table", "loss": "mse", "metrics": metrics, "lr": 0.01}
    run = make_run({**BASE, **task, "epochs": 1})
    records = list(train(run))
    board = Board()
    board.begin(StageBegan("only", (run,), (), 1))
    for record in records:
        board.record(RunRecorded("only", run, record))
    _bar, names, row, *_ = shown(board).splitlines()
    assert names.split() == heading.split()
    evaluation = next(record for record in records if isinstance(record, Evaluation))
    words = row.split()[5 : 5 + cells]
    assert [float(word) for word in words] == pytest.approx(
        list((evaluation.metrics or {}).values())[-1:], rel=1e-2
    )


def test_networks_that_are_counted_fill_the_bar() -> None:
    board, counts = Board(), (Count.model_validate({"model": "lenet5"}),) * 3
    board.begin(StageBegan("networks", (), counts, 2))
    board.end()
    assert "2 of 3" in shown(board)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_shows_the_table_and_other_places_plain_lines(is_terminal: bool) -> None:
    def progress() -> Iterator[Progress]:
        yield StageBegan("only", RUNS, (), 2)
        yield steps(RUNS[1], 0)
        yield RunEnded("only", RUNS[0], RunResult(RUNS[0], "failed", "no luck", {}, ()))

    file = io.StringIO()
    show_progress(
        progress(), Console(file=file, force_terminal=is_terminal, width=100, highlight=False)
    )
    said = file.getvalue()
    assert "  lr=0.1: failed: no luck" in said
    assert ("lr=0.2" in said) == is_terminal
    if not is_terminal:
        assert said.splitlines() == ["only: 2 of 2 runs to do", "  lr=0.1: failed: no luck"]
