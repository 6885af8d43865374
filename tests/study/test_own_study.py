"""A study of data, losses, metrics and optimizers of a user's own: killed, resumed and reported."""

import re
import signal
from pathlib import Path

import pytest
import torch
from fault_tools import in_child, left_behind, train_in
from own_task import STUDY
from page_text import sections
from processes import losslab, rows

from losslab.records import deterministic
from losslab.spec import Run
from losslab.study import worker
from losslab.study.stages import expand, load_study
from losslab.study.store import StudyFolder
from losslab.training.loop import train


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    monkeypatch.chdir(tmp_path)
    # The task changes it in the process that loads its data, which is also this one.
    monkeypatch.setattr(worker, "CHECKPOINT_SECONDS", worker.CHECKPOINT_SECONDS)
    Path("own.toml").write_text(STUDY)
    study = load_study("own.toml")
    return [run for stage in study.stages for run in expand(stage)]


@pytest.mark.parametrize(
    ("number", "step"), [(1, 30), (2, 7)], ids=["table by RAdam", "tokens by Lion"]
)
def test_a_run_is_killed_and_goes_on_to_the_bit(
    runs: list[Run], tmp_path: Path, number: int, step: int
) -> None:
    run = runs[number]
    assert in_child(train_in, run, tmp_path / "whole") == 0
    assert in_child(train_in, run, tmp_path / "killed", step, True) == -signal.SIGKILL
    assert in_child(train_in, run, tmp_path / "killed") == 0
    assert left_behind(tmp_path / "killed") == left_behind(tmp_path / "whole")


@pytest.mark.timeout(300)
def test_a_study_is_killed_goes_on_to_the_bit_and_is_reported_in_its_own_words(
    runs: list[Run],
) -> None:
    command = ("study", "run", "own.toml", "--full", "--quiet", "--out", "own")
    machine = ("--workers", 1, "--threads", 1)
    # In the second stage, in the middle of the first run of the transformer.
    Path("kill-tokens").write_text("study")
    assert losslab(*command, *machine).returncode == -signal.SIGKILL
    assert not Path("kill-tokens").exists()
    done = losslab(*command, *machine)
    assert done.returncode == 0, done.stderr
    assert rows(Path("own")) == {run.id: alone(run) for run in runs}
    report = " ".join(sections(StudyFolder(Path("own"))).values()).lower()
    words = set(re.findall(r"[a-z_]+", report))
    assert words >= {"within", "mae", "hits", "perplexity", "radam", "lion"}
    assert "1,350 training samples" in report
    assert not words & {"accuracy", "image", "images"}


def alone(run: Run) -> list[dict]:
    """The records of a run that trains by itself, in this process, with nothing of a study around it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [deterministic(record) for record in train(run)]
    finally:
        torch.set_num_threads(threads)
