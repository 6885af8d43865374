"""What the processes of the fault tests do; a process finds it here by name."""

import resource
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import psutil
from fault_tools import before_change, checkpoint_often, die, limit
from samples import tiny_data

from losslab.files import write_text
from losslab.records import Steps
from losslab.spec import Run, make_run
from losslab.study.engines.local import Task, run_tasks
from losslab.study.execute import RUN_IN_FOLDER
from losslab.study.store import RunFolder, StudyFolder
from losslab.study.worker import run_in_folder
from losslab.training.checkpoint import load_newest, save_checkpoint
from losslab.training.loop import train
from losslab.training.state import new_state

DATA = tiny_data()
STEPS = 52


def spec(optimizer: str = "adam") -> Run:
    """A run with batch norm, dropout and augmentation, so that all that is random takes part."""
    fields = {
        "data": "samples:tiny_data",
        "model": "samples:conv_net",
        "optimizer": optimizer,
        "lr": 0.01,
    }
    return make_run(
        {**fields, "batch": 16, "steps": STEPS, "weight_decay": 0.01, "augment": ["flip"]}
    )


def save_and_die(folder: Path, boundary: int) -> None:
    """Train a little further than the checkpoints in a folder, save, and die before a change of files."""
    state = new_state(spec(), DATA)
    load_newest(folder, state)
    for _, _ in zip(train(spec(), dataset=DATA, state=state), range(2), strict=False):
        pass
    with before_change(boundary, die):
        save_checkpoint(folder, state, rows=9)


def replace_and_die(path: Path, boundary: int) -> None:
    with before_change(boundary, die):
        write_text(path, "new")


def supervise(path: Path, runs: list[Run], memory_bytes: int) -> None:
    """Run all in two workers that may not have more than so much memory."""
    function, values = limit(resource.RLIMIT_AS, memory_bytes)
    function(*values)
    folder = StudyFolder(path)
    tasks = [Task(run.id, RUN_IN_FOLDER, (run, folder.run_folder(run.id))) for run in runs]
    for _ in run_tasks(tasks, workers=2, threads=1):
        pass


def write_rows(folder: RunFolder, barrier: Barrier, writer: int, rows: int) -> None:
    folder.path.mkdir(parents=True, exist_ok=True)
    with folder.appending() as records:
        barrier.wait(120)  # one that has died must not keep the others for ever
        for row in range(rows):
            records.append(Steps(row, [0.1], [writer], [0.25], [1.0], 0.0))


def train_with_readers(run: Run, folder: Path, readers: int) -> None:
    """Train into a folder with a checkpoint at every record, the data read by so many processes."""
    checkpoint_often()
    for _ in run_in_folder(run, RunFolder(folder), data_workers=readers):
        pass


def held(process: psutil.Process) -> tuple[int, int, float]:
    """A process's number, how many files it has open, and its memory in MB."""
    return process.pid, process.num_fds(), process.memory_info().rss / 1e6


def train_and_measure(run: Run, folder: RunFolder) -> Iterator[tuple[int, int, float]]:
    """Train, and measure this process after the run: what a run holds while it trains comes and goes."""
    for _ in run_in_folder(run, folder):
        pass
    yield held(psutil.Process())
