"""Runs that cannot end well, beside one that can: rows 10 and 11."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_tasks import supervise
from fault_tools import in_child

from losslab.records import deterministic
from losslab.spec import Run, make_run
from losslab.study.findings import best_runs
from losslab.study.results import read_run
from losslab.study.store import StudyFolder
from losslab.training.loop import train

Measured = Callable[[str], None]
FIELDS = {
    "data": "samples:tiny_data",
    "model": "mlp(hidden=[8])",
    "optimizer": "sgd",
    "lr": 0.01,
    "batch": 32,
}
SPECS = {
    "good": {},
    "NaN loss": {"model": "samples:spoiled(kind='loss', value='nan', step=5)"},
    "Inf loss": {"model": "samples:spoiled(kind='loss', value='inf', step=5)"},
    "NaN gradient": {"model": "samples:spoiled(kind='gradient', value='nan', step=5)"},
    "Inf gradient": {"model": "samples:spoiled(kind='gradient', value='inf', step=5)"},
    "absurd lr": {"lr": 1e38},
    "building": {"model": "samples:hungry(when='building')"},
    "training": {"model": "samples:hungry(when='training')"},
    "CUDA": {"model": "samples:hungry(when='faked CUDA')"},
    "evaluation": {"model": "samples:hungry(when='evaluation')"},
    "accumulated": {
        "model": "samples:hungry(when='more than 32 images')",
        "batch": 96,
        "max_micro_batch": 32,
    },
    "not accumulated": {"model": "samples:hungry(when='more than 32 images')", "batch": 96},
    "good, later": {"seed": 1},
}
RUNS: dict[str, Run] = {
    name: make_run({**FIELDS, "epochs": 3, **spec}) for name, spec in SPECS.items()
}
DIVERGED = {"NaN loss": 5, "Inf loss": 5, "NaN gradient": 6, "Inf gradient": 6, "absurd lr": 1}
"""Run -> step of the first loss that is not finite."""
MEMORY_BYTES = 20_000_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    path = tmp_path_factory.mktemp("study")
    assert in_child(supervise, path, list(RUNS.values()), MEMORY_BYTES) == 0
    return StudyFolder(path)


def strict(path: Path) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{path}: {constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


@pytest.mark.row(10)
def test_a_run_diverges_at_its_step_and_is_not_ranked(
    folder: StudyFolder, measured: Measured
) -> None:
    for name, step in DIVERGED.items():
        status = folder.run_folder(RUNS[name].id).status
        assert (name, status["status"], status["step"]) == (name, "diverged", step)
        assert f"the loss became nan at step {step}" in status["message"].replace("inf", "nan")
        rows = strict(folder.run_folder(RUNS[name].id).records_path)
        losses = [loss for row in rows if row["kind"] == "steps" for loss in row["loss"]]
        assert None not in losses[:step]
        assert losses[step] is None
    results = [read_run(folder.run_folder(run.id)) for run in RUNS.values()]
    models = [best["model"]["name"] for best in best_runs(results, ["model.name"])]
    assert sorted(set(models)) == ["mlp", "samples:hungry"]
    measured(f"{len(DIVERGED)} of {len(DIVERGED)} diverged at their step")


@pytest.mark.row(11)
def test_a_run_out_of_memory_says_so_wherever_it_was(
    folder: StudyFolder, measured: Measured
) -> None:
    ends = {
        name: folder.run_folder(RUNS[name].id).status
        for name in ("building", "training", "CUDA", "evaluation")
    }
    assert {name: (end["status"], end["step"]) for name, end in ends.items()} == {
        "building": ("out_of_memory", 0),
        "training": ("out_of_memory", 3),
        "CUDA": ("out_of_memory", 3),
        "evaluation": ("out_of_memory", 7),
    }
    assert all(
        f"out of memory at step {end['step']}" in end["message"] for end in ends.values()
    )
    measured(f"{len(ends)} of {len(ends)} out_of_memory")


@pytest.mark.row(11)
def test_a_batch_that_does_not_fit_is_accumulated_where_allowed(
    folder: StudyFolder, measured: Measured
) -> None:
    ends = [
        folder.run_folder(RUNS[name].id).status["status"]
        for name in ("accumulated", "not accumulated")
    ]
    assert ends == ["done", "out_of_memory"]
    assert folder.run_folder(RUNS["accumulated"].id).run.max_micro_batch == 32
    measured("accumulated where allowed")


@pytest.mark.row(10)
@pytest.mark.row(11)
@pytest.mark.parametrize("name", ["good", "good, later"])
def test_the_runs_beside_them_have_the_bits_that_they_have_alone(
    folder: StudyFolder, name: str
) -> None:
    run_folder = folder.run_folder(RUNS[name].id)
    assert run_folder.status["status"] == "done"
    assert [deterministic(r) for r in run_folder.records()] == [
        deterministic(r) for r in train(RUNS[name])
    ]
