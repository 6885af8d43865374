"""Processes killed or stopped at any moment: rows 1 to 4."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path
from random import Random

import psutil
import pytest
from fault_tasks import DATA, STEPS, replace_and_die, save_and_die, spec
from fault_tools import CONTEXT, command, in_child, left_behind, train_in
from optimizer_samples import needs_compiler

from losslab.choice import Choice
from losslab.files import write_text
from losslab.plots.figures import Figure
from losslab.records import deterministic
from losslab.reports.render import render
from losslab.spec import Run
from losslab.study.results import read_results
from losslab.study.store import StudyFolder
from losslab.training.checkpoint import load_newest, save_checkpoint
from losslab.training.loop import train
from losslab.training.state import new_state

Trials = Callable[[int, int], int]
Measured = Callable[[str], None]


@pytest.mark.row(1)
def test_a_run_killed_at_any_step_resumes_to_the_same_bits(
    tmp_path: Path, trials: Trials, measured: Measured
) -> None:
    runs = [spec("adam"), spec("rmsprop-nesterov")]
    for place, run in enumerate(runs):
        assert in_child(train_in, run, tmp_path / f"unbroken-{place}") == 0
    unbroken = [left_behind(tmp_path / f"unbroken-{place}") for place in range(2)]
    random, resumed, steps = Random(0), 0, set()
    for trial in range(trials(2, 50)):
        folder, step, place = tmp_path / str(trial), random.randrange(STEPS), trial % 2
        assert (
            in_child(train_in, runs[place], folder, step, random.random() < 0.5)
            == -signal.SIGKILL
        )
        assert json.loads((folder / "status.json").read_text())["status"] == "running"
        assert in_child(train_in, runs[place], folder) == 0
        assert left_behind(folder) == unbroken[place]
        resumed += 1
        steps.add(step)
    measured(f"{resumed} resumed bit-equal, killed at {len(steps)} different steps of {STEPS}")


@needs_compiler
@pytest.mark.timeout(1200)
@pytest.mark.row(22)
def test_a_run_with_a_compiled_step_killed_at_any_step_resumes_to_the_same_bits(
    tmp_path: Path, trials: Trials, measured: Measured
) -> None:
    # Each child compiles anew. The quick suite interrupts such a run in test_compiled_runs.py.
    if not trials(0, 1):
        pytest.skip("part of `make faults`")
    # Weights above the size from which a tensor is updated by itself, and biases, which are updated together.
    run = spec("rmsprop").model_copy(update={"model": Choice(name="mlp", hidden=[600, 200])})

    def train_compiled(folder: Path, die_at: int | None = None) -> int:
        return in_child(train_in, run, folder, die_at, False, True)

    assert train_compiled(tmp_path / "unbroken") == 0
    unbroken = left_behind(tmp_path / "unbroken")
    random = Random(0)
    steps = [random.randrange(STEPS) for _ in range(20)]
    for trial, step in enumerate(steps):
        folder = tmp_path / str(trial)
        assert train_compiled(folder, step) == -signal.SIGKILL
        assert train_compiled(folder) == 0
        assert left_behind(folder) == unbroken
    measured(
        f"compiled step: {len(steps)} resumed bit-equal, killed at {len(set(steps))} steps"
    )


@pytest.mark.row(22)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_run_in_16_bits_killed_at_any_step_resumes_to_the_same_bits(
    tmp_path: Path, trials: Trials, measured: Measured, precision: str
) -> None:
    run = spec().model_copy(update={"precision": precision})
    assert in_child(train_in, run, tmp_path / "unbroken") == 0
    unbroken = left_behind(tmp_path / "unbroken")
    random = Random(0)
    steps = [random.randrange(STEPS) for _ in range(trials(1, 20))]
    for trial, step in enumerate(steps):
        folder = tmp_path / str(trial)
        assert in_child(train_in, run, folder, step) == -signal.SIGKILL
        assert in_child(train_in, run, folder) == 0
        assert left_behind(folder) == unbroken
    measured(f"{precision}: {len(steps)} resumed bit-equal")


@pytest.mark.row(2)
@pytest.mark.parametrize(
    "damaged", [False, True], ids=["a new place", "the place of a damaged one"]
)
def test_a_save_killed_before_any_system_call_leaves_a_valid_checkpoint(
    tmp_path: Path, trials: Trials, measured: Measured, damaged: bool
) -> None:
    state = new_state(spec(), DATA)
    records = train(spec(), dataset=DATA, state=state)
    for rows in (1, 2, 3):
        next(records)
        if state.step:
            save_checkpoint(tmp_path, state, rows=rows)
    intact = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    outcomes = []
    for boundary in count(1, trials(5, 1)):
        for path in sorted(tmp_path.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        for path, content in intact.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        if damaged:
            place = tmp_path / f"step-{30:09d}-row-{9:09d}"
            place.mkdir()
            (place / "state.safetensors").write_bytes(b"damaged")
        code = in_child(save_and_die, tmp_path, boundary)
        fresh = new_state(spec(), DATA)
        outcomes.append(load_newest(tmp_path, fresh)[0])
        assert outcomes[-1] in (3, 9)
        save_checkpoint(
            tmp_path, fresh, rows=11
        )  # what the dead process left is in nobody's way
        assert {path.name[:5] for path in tmp_path.iterdir()} == {"step-"}
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert outcomes[0] == 3
    assert outcomes[-1] == 9
    assert outcomes == sorted(outcomes)
    measured(
        f"{len(outcomes) - 1} calls, {outcomes.count(3)} times the previous state, never none"
    )


@pytest.mark.row(2)
def test_a_file_whose_writer_is_killed_is_old_or_new(
    tmp_path: Path, measured: Measured
) -> None:
    texts = []
    for boundary in count(1):
        write_text(tmp_path / "status.json", "old")
        code = in_child(replace_and_die, tmp_path / "status.json", boundary)
        texts.append((tmp_path / "status.json").read_text())
        if code == 0:
            break
    assert len(texts) > 4
    assert texts == sorted(texts, reverse=True)  # old ... old new ... new
    assert set(texts) == {"old", "new"}
    measured(f"{len(texts) - 1} calls of a status")


RUNS = 40
STUDY = f"""
name = "many"
title = "Many"
[[stages]]
name = "all"
seeds = {RUNS // 2}
[stages.base]
data = "samples:tiny_data"
model = "samples:slow_net"
optimizer = "adam"
batch = 16
epochs = 3
[[stages.grid]]
lr = [0.01, 0.001]
"""


SLOW = {
    "data": "samples:tiny_data",
    "model": "samples:slow_net",
    "optimizer": "adam",
    "lr": 0.01,
    "epochs": 500,
}


@cache
def alone(run: Run) -> list[dict[str, object]]:
    return [deterministic(record) for record in train(run, dataset=DATA)]


@pytest.mark.row(3)
def test_a_study_whose_supervisor_is_killed_does_each_run_once(
    tmp_path: Path, trials: Trials, measured: Measured
) -> None:
    kills = trials(0, 10)
    if not kills:
        pytest.skip("the quick suite kills a study in study/test_execute.py")
    (tmp_path / "many.toml").write_text(STUDY)
    out = tmp_path / "out"
    begin = ["study", "run", str(tmp_path / "many.toml"), "--full", "--out", str(out)]
    resume = ["study", "resume", str(out)]
    finished: dict[Path, int] = {}
    orphans = 0
    for kill in range(kills):
        supervisor = CONTEXT.Process(
            target=command, args=(begin if kill == 0 else resume, tmp_path / "errors")
        )
        supervisor.start()
        wanted = 1 + kill * (RUNS - 4) // kills
        while len(done := ended(out)) < wanted or not running(out):
            assert supervisor.is_alive()
            time.sleep(0.01)
        workers = psutil.Process(supervisor.pid).children(recursive=True)
        assert len(workers) >= 2
        supervisor.kill()
        supervisor.join()
        orphans += len(psutil.wait_procs(workers, timeout=200)[1])
        for path, written in finished.items():
            assert path.stat().st_mtime_ns == written  # what was done before is not done again
        finished |= {path: path.stat().st_mtime_ns for path in done}
    assert in_child(command, resume, tmp_path / "errors") == 0
    folder = StudyFolder(out)
    ids = folder.plan["stages"][0]["runs"]
    assert len(ids) == len(set(ids)) == RUNS
    assert sorted(path.name for path in (out / "runs").iterdir()) == sorted(ids)
    for run_id in ids:
        run_folder = folder.run_folder(run_id)
        assert run_folder.status["status"] == "done"
        assert [deterministic(record) for record in run_folder.records()] == alone(
            run_folder.run
        )
    assert orphans == 0
    unbroken = tmp_path / "unbroken"
    assert in_child(command, [*begin[:-1], str(unbroken)], tmp_path / "errors") == 0
    assert len(findings(out)[0]) == 1
    assert findings(out) == findings(unbroken)
    measured(
        f"{kills} kills; {RUNS} of {RUNS} runs, each once, bit-equal to runs alone; {orphans} orphans; "
        "the report's findings equal the unbroken study's"
    )


def findings(folder: Path) -> tuple[list[str], dict[str, Figure]]:
    """The answers of a study's report, and its figures."""
    shown: dict[str, Figure] = {}
    page = render(read_results(StudyFolder(folder)), shown)
    return re.findall(r'<p class="answer">.*?</p>', page, re.DOTALL), shown


def statuses(out: Path) -> dict[Path, str]:
    return {
        path.with_name("records.jsonl"): json.loads(path.read_text())["status"]
        for path in out.rglob("status.json")
    }


def ended(out: Path) -> list[Path]:
    return [path for path, status in statuses(out).items() if status == "done"]


def running(out: Path) -> bool:
    return any(
        status == "running" and path.exists() and path.stat().st_size
        for path, status in statuses(out).items()
    )


@pytest.mark.row(4)
def test_a_stopped_run_is_saved_and_says_how_to_go_on(
    tmp_path: Path, trials: Trials, measured: Measured
) -> None:
    random, slowest, number = Random(0), 0.0, trials(2, 20)
    for trial in range(number):
        sent, code = [(signal.SIGINT, 130), (signal.SIGTERM, 143)][trial % 2]
        out, errors = tmp_path / str(trial), tmp_path / f"errors-{trial}"
        options = [f"--{key}={value}" for key, value in SLOW.items()]
        process = CONTEXT.Process(
            target=command, args=(["train", *options, "--out", str(out)], errors)
        )
        process.start()
        least = random.randrange(200, 4000)
        while (
            not (out / "records.jsonl").exists()
            or (out / "records.jsonl").stat().st_size < least
        ):
            assert process.is_alive()
            time.sleep(0.01)
        assert process.pid is not None
        began = time.monotonic()
        os.kill(process.pid, sent)
        process.join()
        slowest = max(slowest, time.monotonic() - began)
        assert process.exitcode == code
        status = json.loads((out / "status.json").read_text())
        assert status["status"] == "interrupted"
        assert (
            errors.read_text()
            == f"losslab: stopped at step {status['step']}; run the same command again to go on\n"
        )
        assert int(max((out / "checkpoints").iterdir()).name[5:14]) == status["step"] > 0
    assert slowest < trials(300, 10)  # the quick suite may share its machine
    measured(f"{number} of {number}, the slowest in {slowest:.1f} s")
