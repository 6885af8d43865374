"""Studies end to end on tiny data, through the command line where that is what a person uses."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from processes import ENVIRONMENT, losslab, rows

from losslab.study.results import read_results
from losslab.study.store import StudyFolder

STUDY = """
name = "tiny"
title = "Tiny"

[[stages]]
name = "search"
finding = "best"
group = ["optimizer.name"]
[stages.base]
data = "samples:tiny_data"
model = "mlp(hidden=[8])"
batch = 32
epochs = 2
evaluate = "end"
test = false
[[stages.grid]]
optimizer = ["adam", "sgd"]
lr = [0.0001, 0.01]

[[stages]]
name = "compare"
[stages.base]
data = "samples:tiny_data"
model = "mlp(hidden=[8])"
batch = 32
epochs = 4
lr = "@search.lr~0.01"
[[stages.grid]]
optimizer = ["adam", "sgd"]
"model.hidden_dropout" = [0.0, 0.3]
"""


def run_study(folder: Path, text: str = STUDY) -> Path:
    (folder / "tiny.toml").write_text(text)
    done = losslab("study", "run", folder / "tiny.toml", "--full", "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_study(tmp_path_factory.mktemp("unbroken"))


def test_each_method_is_compared_at_the_lr_its_search_found(unbroken: Path) -> None:
    stages = read_results(StudyFolder(unbroken)).stages
    assert [len(stage) for stage in stages.values()] == [4, 4]
    for name in ("adam", "sgd"):
        searched = [result for result in stages["search"] if result.run.optimizer.name == name]
        best = min(searched, key=lambda result: result.evaluations[-1].validation_loss or 9)
        assert {
            result.run.lr for result in stages["compare"] if result.run.optimizer.name == name
        } == {best.run.lr}
    assert all(result.status == "done" for stage in stages.values() for result in stage)


def test_a_search_never_reads_the_test_set(unbroken: Path) -> None:
    search = read_results(StudyFolder(unbroken)).stages["search"]
    assert all(result.final is not None and result.final.test_loss is None for result in search)


def test_running_again_trains_nothing(unbroken: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in unbroken.rglob("records.jsonl")}
    run_study(unbroken.parent)
    assert {path: path.stat().st_mtime_ns for path in unbroken.rglob("records.jsonl")} == before


def test_another_number_of_workers_gives_the_same_bits(unbroken: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    losslab(
        "study",
        "run",
        tmp_path / "tiny.toml",
        "--full",
        "--out",
        tmp_path / "out",
        "--workers",
        1,
    )
    assert rows(tmp_path / "out") == rows(unbroken)


@pytest.mark.row(10)
def test_a_run_that_diverges_is_a_result_and_the_others_go_on(tmp_path: Path) -> None:
    grid = STUDY[STUDY.index("[[stages.grid]]") :].partition("[[stages]]")[0]
    out = run_study(
        tmp_path,
        STUDY.replace(grid, grid + '[[stages.grid]]\noptimizer = "adam"\nlr = 1e30\n\n'),
    )
    search = read_results(StudyFolder(out)).stages["search"]
    assert sorted(result.status for result in search) == ["diverged", *["done"] * 4]
    (bad,) = [result for result in search if result.status == "diverged"]
    assert "the loss became nan at step" in bad.message


SLOW = STUDY.replace("epochs = 4", "epochs = 60").replace(
    '"mlp(hidden=[8])"\nbatch = 32\nepochs = 60', '"samples:slow_net"\nbatch = 32\nepochs = 60'
)


@pytest.fixture(scope="module")
def unbroken_slow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    return rows(run_study(tmp_path_factory.mktemp("slow"), SLOW))


def start(folder: Path) -> subprocess.Popen[str]:
    (folder / "tiny.toml").write_text(SLOW)
    command = [
        sys.executable,
        "-m",
        "losslab",
        "study",
        "run",
        str(folder / "tiny.toml"),
        "--full",
        "--out",
        str(folder / "out"),
    ]
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    while process.poll() is None and not any(
        trains_compare(path) for path in folder.rglob("records.jsonl")
    ):
        time.sleep(0.05)
    return process


def trains_compare(records: Path) -> bool:
    return (
        json.loads((records.parent / "run.json").read_text())["run"]["epochs"] == 60
        and records.stat().st_size > 3_000
    )


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.row(4), id="Ctrl-C"),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.row(4), id="SIGTERM"),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.row(3), id="SIGKILL"),
    ],
)
def test_an_interrupted_study_resumes_to_the_same_bits(
    unbroken_slow: dict[str, list[dict[str, Any]]],
    tmp_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    process = start(tmp_path)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    broken = tmp_path / "out"
    if number != signal.SIGKILL:
        last = errors.splitlines()[-1]  # after what was measured
        assert (
            last
            == f"losslab: interrupted; go on with the same command, or: losslab study resume {broken}"
        )
        assert "interrupted" in losslab("study", "status", broken).stdout
        assert list(broken.rglob("checkpoints/step-*/manifest.json"))
    assert losslab("study", "resume", broken).returncode == 0
    assert rows(broken) == unbroken_slow


def test_a_plan_trains_nothing_and_states_its_cost(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    done = losslab("study", "plan", tmp_path / "tiny.toml", "--full", "--json")
    plan = json.loads(done.stdout)
    assert plan["predicted_seconds"] > 0
    assert plan["predicted_memory_bytes"] > 1e7
    assert [len(stage["runs"]) for stage in plan["stages"]] == [4, 4]
    assert list(tmp_path.iterdir()) == [tmp_path / "tiny.toml"]


def test_a_budget_below_what_measuring_takes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    done = losslab("study", "plan", tmp_path / "tiny.toml", "--budget", "1s")
    assert done.returncode == 2
    assert (
        done.stderr == "losslab: --budget (=1s) must be at least 5.0 s, for measuring alone\n"
    )
