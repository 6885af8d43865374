"""Processes that die, calls that fail, and what a run leaves behind."""

import ctypes
import io
import json
import os
import posix
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from types import BuiltinMethodType, FrameType
from typing import Any

from safetensors import safe_open

from losslab.spec import Run

CONTEXT = get_context(
    "forkserver"
)  # a child has torch from the start, and no thread of the test's process
CONTEXT.set_forkserver_preload(
    [
        "torch._dynamo",
        "losslab.study.worker",
        "losslab.cli",
        "losslab.cli.train",
        "losslab.cli.study",
    ]
)
CHANGES = {
    "open",
    "write",
    "flush",
    "fsync",
    "mkdir",
    "rename",
    "replace",
    "rmdir",
    "unlink",
    "ftruncate",
}
"""Calls into the system that change files, by the names of the C functions that make them."""
Prepare = tuple[Callable[..., object], tuple[Any, ...]]


def in_child(function: Callable[..., object], *arguments: Any) -> int:
    """The exit code of a process that calls a function; -9 when it was killed."""
    process = CONTEXT.Process(target=function, args=arguments)
    process.start()
    process.join()
    code = process.exitcode
    process.close()
    assert code is not None
    return code


@contextmanager
def before_change(number: int, act: Callable[[], object]) -> Iterator[None]:
    """Act just before the process's next `number`-th call that changes files; what `act` raises fails that call."""
    left = number

    def watch(_frame: FrameType, event: str, function: BuiltinMethodType) -> None:
        nonlocal left
        if event == "c_call" and function.__name__ in CHANGES and _is_system(function):
            left -= 1
            if left == 0:
                act()

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)


def _is_system(function: BuiltinMethodType) -> bool:
    return (
        function.__self__ in (posix, io)
        or isinstance(function.__self__, io.IOBase)
        or function is io.open
    )


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def checkpoint_often() -> None:
    """Save at every record."""
    from losslab.study import worker

    worker.CHECKPOINT_SECONDS = -1.0


def train_in(
    run: Run,
    folder: Path,
    die_at: int | None = None,
    after: bool = False,
    compile_step: bool = False,
) -> None:
    """Train into a folder with a checkpoint at every record; die by SIGKILL before or after the weights of a step."""
    from torch.optim import optimizer

    from losslab.study.store import RunFolder
    from losslab.study.worker import run_in_folder

    left = die_at

    def count(*_: object) -> None:
        nonlocal left
        if left is not None:
            left -= 1
            if left < 0:
                die()

    hook = (
        optimizer.register_optimizer_step_post_hook
        if after
        else optimizer.register_optimizer_step_pre_hook
    )
    hook(count)
    checkpoint_often()
    for _ in run_in_folder(run, RunFolder(folder), compile_step=compile_step):
        pass


def command(arguments: list[str], errors: Path, *prepare: Prepare) -> None:
    """What the command `losslab` does, its standard error in a file, after the calls in `prepare`."""
    from losslab.cli import main

    for function, values in prepare:
        function(*values)
    descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    main(arguments)


def limit(kind: int, most: int) -> Prepare:
    """A soft limit on what the process may use."""
    return resource.setrlimit, (kind, (most, resource.getrlimit(kind)[1]))


def fail_fsync(number: int) -> None:
    """Make every fsync fail from here on."""

    def failing(_: int) -> None:
        raise OSError(number, os.strerror(number))

    os.fsync = failing


def drop_capabilities() -> None:
    """Make root obey the permission bits of files, as everyone else does."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capset(header, none) == 0


def left_behind(folder: Path) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """A run's rows without their times, and every tensor of its newest checkpoint, read without losslab."""
    rows = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    newest = max((folder / "checkpoints").glob("step-*"))
    with safe_open(newest / "state.safetensors", "np") as file:
        tensors = {key: file.get_tensor(key).tobytes() for key in file.keys()}  # noqa: SIM118
    times = ("train_seconds", "train_processor_seconds", "eval_seconds")
    return [
        {key: value for key, value in row.items() if key not in times} for row in rows
    ], tensors
