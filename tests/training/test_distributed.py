"""One run over two processes that torchrun starts: the batches, losses and augmented images of the single process."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import ENVIRONMENT

from losslab.files import complete_lines
from losslab.records import deterministic
from losslab.spec import make_run
from losslab.study.store import RunFolder
from losslab.training import distributed, feed
from losslab.training.timeline import Timeline

pytestmark = pytest.mark.cluster

TORCHRUN = (
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "-m",
)
SMALL = (
    "--data",
    "fashion-mnist-sample",
    "--optimizer",
    "sgd(momentum=0.9)",
    "--lr",
    "0.005",
    "--train-images",
    "90",
)
AUGMENT = (
    "--augment",
    "pad_crop(padding=2)",
    "--augment",
    "flip",
    "--augment",
    "cutout(size=8)",
)


def train(
    *arguments: str, over: tuple[str, ...] = (sys.executable, "-m")
) -> subprocess.CompletedProcess[str]:
    command = [*over, "losslab", "train", *arguments, "--json"]
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done


def rows(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def column(records: list[dict[str, Any]], name: str) -> list[Any]:
    return list(chain.from_iterable(row[name] for row in records if row["kind"] == "steps"))


@pytest.mark.parametrize(
    "arguments",
    [
        (
            "--model",
            "mlp(hidden=[16])",
            "--batch",
            "triangular(b_min=1, b_max=40, cycles=2)",
            "--epochs",
            "4",
        ),
        (
            "--model",
            "lenet5",
            "--batch",
            "32",
            "--repeats",
            "3",
            "--max-micro-batch",
            "11",
            "--epochs",
            "2",
        ),
    ],
    ids=["batches of 1 to 40", "copies in micro-batches"],
)
def test_two_processes_train_as_one(arguments: tuple[str, ...]) -> None:
    single, double = (
        rows(train(*SMALL, *AUGMENT, *arguments, over=over).stdout)
        for over in ((sys.executable, "-m"), TORCHRUN)
    )
    assert [row["kind"] for row in double] == [row["kind"] for row in single]
    assert double[0] == single[0]
    sizes = column(single, "batch_size")
    assert column(double, "batch_size") == sizes
    assert len(set(sizes)) > 1  # a last short batch at least
    assert column(double, "lr") == column(single, "lr")
    assert column(double, "correct") == column(single, "correct")
    np.testing.assert_allclose(column(double, "loss"), column(single, "loss"), rtol=1e-5)
    for name in ("train_loss", "fit_loss", "validation_loss"):
        pair = [
            [row[name] for row in some if row["kind"] == "evaluation"]
            for some in (double, single)
        ]
        np.testing.assert_allclose(*pair, rtol=1e-5)
    assert 1 in sizes or "--repeats" in arguments  # fewer images than processes


def test_a_run_of_two_processes_that_is_stopped_goes_on_to_the_same_bits(
    tmp_path: Path,
) -> None:
    model = (
        "--data",
        "samples:tiny_data",
        "--model",
        "samples:conv_net",
        "--optimizer",
        "adam",
        "--lr",
        "0.001",
    )
    arguments = (*model, "--batch", "24", "--steps", "600", "--augment", "flip", "--out")
    train(*arguments, str(tmp_path / "unbroken"), over=TORCHRUN)
    broken = RunFolder(tmp_path / "broken")
    command = [*TORCHRUN, "losslab", "train", *arguments, str(broken.path)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(
        command, env=ENVIRONMENT, start_new_session=True, **quiet
    ) as processes:
        while len(complete_lines(broken.records_path)) < 5:
            assert processes.poll() is None
            time.sleep(0.02)
        os.killpg(processes.pid, signal.SIGINT)
        assert processes.wait(60) != 0
    assert broken.status["status"] == "interrupted"
    assert list(broken.path.glob("checkpoints/step-*/manifest.json"))
    train(*arguments, str(broken.path), over=TORCHRUN)
    whole = RunFolder(tmp_path / "unbroken").records()
    assert [deterministic(record) for record in broken.records()] == [
        deterministic(record) for record in whole
    ]


@pytest.mark.parametrize("processes", range(1, 6))
def test_the_shares_of_a_batch_are_all_of_it_in_order(
    processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "processes", lambda: processes)
    for count in range(1, 12):
        shares = []
        for rank in range(processes):
            monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
            shares.append(list(distributed.share(count)))
        assert list(chain(*shares)) == list(range(count))
        assert len(shares[0]) == max(map(len, shares)) <= min(map(len, shares)) + 1


@pytest.mark.parametrize("micro_batch", [None, 2])
def test_a_process_without_samples_has_one_part_of_none(
    micro_batch: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "processes", lambda: 2)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    fields = {"data": "fashion-mnist-sample", "model": "mlp", "optimizer": "sgd", "lr": 0.1}
    run = make_run({**fields, "batch": 1, "epochs": 1, "max_micro_batch": micro_batch})
    step = next(Timeline(run, 3).steps())
    assert feed._counts(run, step) == [0]
