"""Many writers at once, many runs after one another: rows 12 and 20."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import linear_regression

import psutil
import pytest
from fault_tasks import held, write_rows
from fault_tools import CONTEXT

from losslab.spec import make_run
from losslab.study.engines.local import Ended, Task, run_tasks
from losslab.study.store import StudyFolder

WRITERS = 8
Trials = Callable[[int, int], int]
Measured = Callable[[str], None]


@pytest.mark.row(12)
@pytest.mark.parametrize("shared", [False, True], ids=["a run each", "one file"])
def test_no_row_of_many_writers_is_lost_or_mixed(
    tmp_path: Path, trials: Trials, measured: Measured, shared: bool
) -> None:
    study, rows = StudyFolder(tmp_path), trials(100, 5000)
    folders = [study.run_folder("one" if shared else str(writer)) for writer in range(WRITERS)]
    barrier = CONTEXT.Barrier(WRITERS)
    processes = [
        CONTEXT.Process(target=write_rows, args=(folder, barrier, writer, rows))
        for writer, folder in enumerate(folders)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    written = defaultdict(list)
    for folder in set(folders):
        for line in folder.records_path.read_text().splitlines():
            row = json.loads(line)
            written[row["batch_size"][0]].append(row["first_step"])
    assert written == {writer: list(range(rows)) for writer in range(WRITERS)}
    measured(f"{sum(map(len, written.values())):,} rows in {len(set(folders))} file(s)")


def slope(points: list[tuple[int, float]]) -> float:
    """MB per 100 runs; none of a worker that did but one of the dozen."""
    return 100 * linear_regression(*zip(*points, strict=True)).slope if len(points) > 1 else 0.0


@pytest.mark.row(20)
def test_many_runs_leave_nothing_behind(
    tmp_path: Path, trials: Trials, measured: Measured
) -> None:
    number = trials(12, 500)
    fields = {
        "data": "samples:tiny_data",
        "model": "mlp(hidden=[8])",
        "optimizer": "adam",
        "lr": 0.01,
        "batch": 64,
    }
    runs = [make_run({**fields, "steps": 3, "seed": seed}) for seed in range(number)]
    study, this = StudyFolder(tmp_path), psutil.Process()
    # What the first worker starts stays: the server that workers are forked from, and Python's tracker.
    list(run_tasks([Task("first", "samples:counting", (1,))], workers=1, threads=1))
    descriptors, children = this.num_fds(), set(this.children(recursive=True))
    memory: dict[int, list[tuple[int, float]]] = defaultdict(list)
    files: dict[int, set[int]] = defaultdict(set)
    tasks = [
        Task(run.id, "fault_tasks:train_and_measure", (run, study.run_folder(run.id)))
        for run in runs
    ]
    ended, workers = 0, set()
    for event in run_tasks(tasks, workers=2, threads=1):
        if isinstance(event, Ended):
            assert event.error is None
            ended += 1
            workers |= set(this.children(recursive=True)) - children
            continue
        for pid, open_files, megabytes in (event.value, held(this)):
            memory[pid].append((ended, megabytes))
            files[pid].add(open_files)
    done = [run for run in runs if study.run_folder(run.id).status["status"] == "done"]
    assert len(done) == ended == number
    assert this.num_fds() == descriptors
    assert set(this.children(recursive=True)) == children
    assert len(workers) == 2  # the same to the end
    assert all(max(counts) - min(counts) <= 5 for counts in files.values())
    slopes = [slope(points[len(points) // 5 :]) for points in memory.values()]
    assert max(slopes) < trials(10_000, 1)  # a dozen runs tell no slope
    shown = ", ".join(f"{slope:+.3f}" for slope in slopes)
    measured(
        f"{len(done)} of {number}; MB per 100 runs: {shown} (supervisor, workers); no file or process leaked"
    )
