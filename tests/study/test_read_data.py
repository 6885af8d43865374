"""Runs on a dataset that is read by worker processes, in workers of the local engine and after a kill."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from losslab.records import deterministic
from losslab.spec import make_run
from losslab.study.engines.local import Ended, Task, run_tasks
from losslab.study.store import RunFolder
from losslab.study.worker import run_in_folder

FIELDS = {
    "data": "samples:noisy_rows",
    "model": "samples:table_network",
    "loss": "mse",
    "optimizer": "adam",
    "lr": 0.01,
}
SPEC = {**FIELDS, "batch": 4, "epochs": 8}


def finished(folder: Path, data_workers: int) -> None:
    list(run_in_folder(make_run(SPEC), RunFolder(folder), data_workers=data_workers))


def recorded(folder: Path) -> list[dict[str, Any]]:
    return [deterministic(record) for record in RunFolder(folder).records()]


def test_a_worker_of_a_study_may_have_workers_that_read(tmp_path: Path) -> None:
    run = make_run(
        {**FIELDS, "data": "samples:loaded_rows", "lr": 0.01, "batch": 32, "epochs": 1}
    )
    task = Task("run", "losslab.study.worker:run_in_folder", (run, RunFolder(tmp_path)))
    ends = [
        event for event in run_tasks([task], workers=1, threads=1) if isinstance(event, Ended)
    ]
    assert ends == [Ended("run", None)]
    assert RunFolder(tmp_path).status["status"] == "done"


@pytest.mark.row(23)
def test_a_killed_run_goes_on_with_another_number_of_readers(
    tmp_path: Path, trials: Callable[[int, int], int], measured: Callable[[str], None]
) -> None:
    finished(tmp_path / "whole", 0)
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]; from pathlib import Path; import test_read_data as test;"
        "import losslab.study.worker as worker; worker.CHECKPOINT_SECONDS = 0.0;"
        "test.finished(Path(sys.argv[3]), int(sys.argv[4]))"
    )
    count = trials(1, 5)
    for trial in range(count):
        folder = tmp_path / str(trial)
        here = Path(__file__).parent
        words = [
            sys.executable,
            "-c",
            code,
            str(here),
            str(here.parent),
            str(folder),
            str(2 * (trial % 2)),
        ]
        process = subprocess.Popen(words)
        rows = folder / "records.jsonl"
        while (
            not (rows.exists() and len(rows.read_bytes().splitlines()) > 5 + 5 * trial)
            and process.poll() is None
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        finished(folder, 2 - 2 * (trial % 2))
        assert recorded(folder) == recorded(tmp_path / "whole")
    assert json.loads((tmp_path / "0" / "status.json").read_text())["status"] == "done"
    measured(f"{count} of {count}")
