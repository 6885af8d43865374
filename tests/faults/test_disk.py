"""Disks that are full, broken or read-only: rows 8 and 9."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from fault_tools import (
    Prepare,
    before_change,
    checkpoint_often,
    command,
    drop_capabilities,
    fail_fsync,
    in_child,
    left_behind,
    limit,
    train_in,
)
from samples import tiny_data

from losslab.errors import CheckpointCorrupt
from losslab.spec import make_run
from losslab.training.checkpoint import checkpoints, load_newest, save_checkpoint
from losslab.training.loop import train
from losslab.training.state import new_state

DATA = tiny_data()
OPTIONS = {
    "data": "samples:tiny_data",
    "model": "mlp(hidden=[200])",
    "optimizer": "adam",
    "lr": 0.01,
    "steps": 40,
}
RUN = make_run({**OPTIONS, "batch": 64})
TRAIN = ["train", *(f"--{key}={value}" for key, value in OPTIONS.items())]
Measured = Callable[[str], None]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    assert in_child(train_in, RUN, folder) == 0
    return folder


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run that was killed in its third epoch."""
    folder = tmp_path / "disk" / "run"
    assert in_child(train_in, RUN, folder, 13) == -signal.SIGKILL
    return folder


def fails_and_recovers(
    folder: Path, unbroken: Path, *prepare: Prepare, free: Callable[[], object]
) -> str:
    """Go on with a run on a bad disk, check what is left, mend the disk and go on; what the command said."""
    arguments, errors = [*TRAIN, "--out", str(folder)], folder.parents[1] / "errors"
    before = newest_rows(folder)
    assert in_child(command, arguments, errors, (checkpoint_often, ()), *prepare) == 1
    assert newest_rows(folder) >= before > 0
    assert json.loads((folder / "status.json").read_text())["status"] in ("running", "failed")
    free()
    assert in_child(train_in, RUN, folder) == 0
    assert left_behind(folder) == left_behind(unbroken)
    said = errors.read_text()
    assert (said.startswith("losslab: "), said.count("\n")) == (True, 1)
    return said


def newest_rows(folder: Path) -> int:
    return load_newest(folder / "checkpoints", new_state(RUN, DATA))[0]


@pytest.mark.row(8)
@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (limit(resource.RLIMIT_FSIZE, 100_000), "File too large"),
        ((fail_fsync, (errno.ENOSPC,)), "No space left on device"),
        ((fail_fsync, (errno.EIO,)), "Input/output error"),
    ],
    ids=["RLIMIT_FSIZE", "ENOSPC", "EIO"],
)
def test_a_run_on_a_bad_disk_fails_in_one_line_and_goes_on_when_it_is_mended(
    begun: Path, unbroken: Path, measured: Measured, prepare: Prepare, message: str
) -> None:
    assert message in fails_and_recovers(begun, unbroken, prepare, free=lambda: None)
    measured(message)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 2 MB, where the machine lets us mount one."""
    (tmp_path / "disk").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(tmp_path / "disk")],
        check=False,
        capture_output=True,
    )
    yield tmp_path / "disk"
    if mounted.returncode == 0:
        subprocess.run(["umount", "--lazy", str(tmp_path / "disk")], check=True)


@pytest.mark.row(8)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_run_on_a_full_disk_goes_on_when_space_is_freed(
    small_disk: Path, unbroken: Path, measured: Measured
) -> None:
    if not small_disk.is_mount():
        pytest.skip("this machine lets root mount nothing")
    assert in_child(train_in, RUN, small_disk / "run", 13) == -signal.SIGKILL
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 40_000))
    assert "No space left on device" in fails_and_recovers(
        small_disk / "run", unbroken, free=filler.unlink
    )
    measured("tmpfs of 2 MB")


@pytest.mark.row(8)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
def test_a_save_that_fails_at_any_system_call_leaves_a_valid_checkpoint(
    tmp_path: Path, measured: Measured, number: int
) -> None:
    state = new_state(RUN, DATA)
    records = train(RUN, dataset=DATA, state=state)
    next(records), next(records)
    save_checkpoint(tmp_path, state, rows=(rows := 2))

    def fail() -> None:
        raise OSError(number, os.strerror(number))

    failures = 0
    for boundary in count(1):
        rows += 1
        try:
            with before_change(boundary, fail):
                save_checkpoint(tmp_path, state, rows=rows)
        except (OSError, CheckpointCorrupt):
            failures += 1
            assert load_newest(tmp_path, new_state(RUN, DATA))[0] in (rows - 1, rows)
        else:
            assert load_newest(tmp_path, new_state(RUN, DATA))[0] == rows
        save_checkpoint(tmp_path, state, rows=(rows := rows + 1))
        if boundary > failures + 5:  # beyond the last call nothing fails
            break
    assert failures > 10
    assert len(checkpoints(tmp_path)) == 2
    measured(f"{failures} calls of a save with {errno.errorcode[number]}")


@pytest.mark.row(9)
@pytest.mark.parametrize("closed", [".", "checkpoints"])
def test_a_run_in_a_read_only_folder_fails_and_saves_nothing(
    begun: Path, measured: Measured, closed: str
) -> None:
    before = {
        path: path.read_bytes() for path in (begun / "checkpoints").rglob("*") if path.is_file()
    }
    (begun / closed).chmod(0o555)
    errors = begun.parents[1] / "errors"
    arguments = [*TRAIN, "--out", str(begun)]
    code = in_child(command, arguments, errors, (checkpoint_often, ()), (drop_capabilities, ()))
    (begun / closed).chmod(0o755)
    assert code == 1
    assert errors.read_text().endswith(": Permission denied\n")
    assert errors.read_text().count("\n") == 1
    status = json.loads((begun / "status.json").read_text())["status"]
    assert status == {".": "running", "checkpoints": "failed"}[closed]
    assert {
        path: path.read_bytes() for path in (begun / "checkpoints").rglob("*") if path.is_file()
    } == before
    measured(f"{closed}: exit 1, {status}")


@pytest.mark.row(9)
def test_a_study_in_a_read_only_folder_is_refused_at_once(
    tmp_path: Path, measured: Measured
) -> None:
    (tmp_path / "out").mkdir(mode=0o555)
    arguments = ["study", "run", "architectures", "--out", str(tmp_path / "out")]
    assert in_child(command, arguments, tmp_path / "errors", (drop_capabilities, ())) == 2
    assert (
        "cannot be written (Permission denied); choose another"
        in (tmp_path / "errors").read_text()
    )
    assert list((tmp_path / "out").iterdir()) == []
    measured("study: exit 2")
