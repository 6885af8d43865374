"""Studies end to end on tiny data, through the command line where that is what a person uses."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import samples
from processes import ENVIRONMENT, losslab, rows

from losslab.cli import run_command
from losslab.records import deterministic
from losslab.study.results import read_results
from losslab.study.store import RunFolder, StudyFolder
from losslab.training.loop import train

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


def test_what_a_killed_session_took_is_read_from_its_runs(
    unbroken: Path, tmp_path: Path
) -> None:
    shutil.copytree(unbroken, tmp_path / "out")
    folder = StudyFolder(tmp_path / "out")
    folder.write_plan(folder.plan | {"ended": None, "measured_seconds": 0.0})
    least = read_results(folder).least_seconds
    run_study(tmp_path)
    assert 0 < least <= folder.plan["measured_seconds"]


@pytest.fixture(scope="module")
def with_one_worker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study by one worker, with a search at a learning rate that no training survives."""
    folder = tmp_path_factory.mktemp("one")
    grid = STUDY[STUDY.index("[[stages.grid]]") :].partition("[[stages]]")[0]
    absurd = '[[stages.grid]]\noptimizer = "adam"\nlr = 1e30\n\n'
    (folder / "tiny.toml").write_text(STUDY.replace(grid, grid + absurd))
    words = ["study", "run", str(folder / "tiny.toml"), "--full", "--out", str(folder / "out")]
    assert run_command([*words, "--workers", "1", "--quiet"]) == 0
    return folder / "out"


def test_another_number_of_workers_gives_the_same_bits(
    unbroken: Path, with_one_worker: Path
) -> None:
    expected = rows(unbroken)
    assert {
        key: row for key, row in rows(with_one_worker).items() if key in expected
    } == expected


@pytest.mark.row(10)
def test_a_run_that_diverges_is_a_result_and_the_others_go_on(with_one_worker: Path) -> None:
    search = read_results(StudyFolder(with_one_worker)).stages["search"]
    assert sorted(result.status for result in search) == ["diverged", *["done"] * 4]
    (bad,) = [result for result in search if result.status == "diverged"]
    assert "the loss became nan at step" in bad.message


SLOW = STUDY.replace("epochs = 4", "epochs = 30").replace(
    '"mlp(hidden=[8])"\nbatch = 32\nepochs = 30', '"samples:slow_net"\nbatch = 32\nepochs = 30'
)
SIGNALS = [
    ("run", signal.SIGINT, 130),
    ("run", signal.SIGTERM, 143),
    ("resume", signal.SIGKILL, -9),
]
"""How the study is begun or goes on, what interrupts it, and the exit code of its command."""


def interrupt(words: list[str], out: Path, number: signal.Signals) -> tuple[int, str]:
    """Start a command, and interrupt it when its slow runs have written: its exit code and last line."""
    command = [sys.executable, "-m", "losslab", *words]
    written = slow_bytes(out)
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    while process.poll() is None and slow_bytes(out) < written + 1_000:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=200)
    return process.returncode, errors.splitlines()[-1] if errors else ""


def slow_bytes(out: Path) -> int:
    """The bytes of all records of the runs of 30 epochs."""
    folders = [records.parent for records in out.rglob("records.jsonl")]
    slow = [RunFolder(folder) for folder in folders if RunFolder(folder).run.epochs == 30]
    return sum(folder.records_path.stat().st_size for folder in slow)


@pytest.mark.row(3)
@pytest.mark.row(4)
def test_an_interrupted_study_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted by Ctrl-C, by SIGTERM and by SIGKILL, one after the other."""
    study, broken = tmp_path / "tiny.toml", tmp_path / "out"
    study.write_text(SLOW)
    words = {
        "run": ["study", "run", str(study), "--full", "--out", str(broken)],
        "resume": ["study", "resume", str(broken)],
    }
    for begin, number, code in SIGNALS:
        returned, last = interrupt(words[begin], broken, number)
        assert returned == code
        if number != signal.SIGKILL:
            assert (
                last
                == f"losslab: interrupted; go on with the same command, or: losslab study resume {broken}"
            )
            assert "interrupted" in losslab("study", "status", broken).stdout
            assert list(broken.rglob("checkpoints/step-*/manifest.json"))
    assert run_command([*words["resume"], "--quiet"]) == 0
    monkeypatch.setattr(samples.Slow, "forward", lambda self, images: images)
    stages = read_results(StudyFolder(broken)).stages
    assert [len(stage) for stage in stages.values()] == [4, 4]
    runs = [result.run for stage in stages.values() for result in stage]
    assert rows(broken) == {run.id: [deterministic(row) for row in train(run)] for run in runs}


def test_a_plan_trains_nothing_and_states_its_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    words = ["study", "plan", str(tmp_path / "tiny.toml"), "--full", "--workers", "1", "--json"]
    assert run_command(words) == 0
    plan = json.loads(capsys.readouterr().out)
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
