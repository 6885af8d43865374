"""Runs on a dataset that is read by worker processes, in workers of the local engine and after a kill."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_tasks import train_with_readers
from fault_tools import CONTEXT

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
    spec = make_run({**FIELDS, "batch": 4, "epochs": 8})
    list(run_in_folder(spec, RunFolder(tmp_path / "whole"), data_workers=0))
    count = trials(1, 5)
    for trial in range(count):
        folder = tmp_path / str(trial)
        process = CONTEXT.Process(
            target=train_with_readers, args=(spec, folder, 2 * (trial % 2))
        )
        process.start()
        rows = folder / "records.jsonl"
        while (
            not (rows.exists() and len(rows.read_bytes().splitlines()) > 5 + 5 * trial)
            and process.is_alive()
        ):
            time.sleep(0.01)
        process.kill()
        process.join()
        list(run_in_folder(spec, RunFolder(folder), data_workers=2 - 2 * (trial % 2)))
        assert recorded(folder) == recorded(tmp_path / "whole")
    assert json.loads((tmp_path / "0" / "status.json").read_text())["status"] == "done"
    measured(f"{count} of {count}")
