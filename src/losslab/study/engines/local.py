"""The local engine: worker processes that each do one task at a time, the cores divided among them."""

import multiprocessing
import os
import platform
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import cycle, islice
from multiprocessing import current_process, forkserver, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from threading import Thread
from time import perf_counter
from typing import Any

from losslab.devices import ask_for_determinism
from losslab.errors import Interrupted, LosslabError
from losslab.machine.process import cores, set_threads, share_cores

# A task stops at its next record and saves a checkpoint first; then it is killed.
STOP_SECONDS = 30.0
SAFE_PATH = "PYTHONSAFEPATH"
# A process of its own loads it once, and workers are forked from it. It has called nothing of torch, so that they
# inherit neither threads nor locks.
PRELOADED = "losslab.study.engines.preload"


@dataclass(frozen=True)
class Task:
    """A generator function to run in a worker; what it yields comes back as events.

    `function` is ``module:name``, so that the process that hands tasks out imports neither it nor torch.
    """

    key: str
    function: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Yielded:
    """A value that a task yielded."""

    key: str
    value: Any


@dataclass(frozen=True)
class Ended:
    """The end of a task; `error` is None when it went well."""

    key: str
    error: str | None


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Task | None = None


Event = Yielded | Ended


_began: float | None = None


def worker_age() -> float:
    """Seconds since this worker of the local engine began; 0 in any other process."""
    return 0.0 if _began is None else perf_counter() - _began


def slots(threads: int) -> int:
    """How many workers of so many threads this machine has cores for; at least one."""
    return max(1, cores() // threads)


def run_tasks(
    tasks: Iterable[Task],
    *,
    workers: int,
    threads: int | None,
    devices: Sequence[str] = ("cpu",),
    deterministic: bool = False,
) -> Iterator[Event]:
    """Run tasks in worker processes and yield what they yield, as it comes.

    A task that raises, or whose process dies, ends with an error and harms no other. Closing the generator asks the
    running tasks to stop and waits for them.

    Args:
        tasks: in the order in which they are to start.
        workers: processes at a time.
        threads: torch threads of each; None for those that torch takes in a process alone.
        devices: shared out among the workers, one each, and again from the first where there are fewer.
        deterministic: whether torch is asked for algorithms that repeat their bits.
    """
    waiting = deque(tasks)
    own_devices = list(islice(cycle(devices), min(workers, len(waiting))))

    def hire(index: int) -> _Worker:
        prepare = partial(share_cores, index, len(own_devices))
        if threads is not None:
            prepare = partial(set_threads, threads)
        # How many threads torch has by itself, and how they wait for each other, is settled while it is loaded.
        context = _fork_server() if threads == 1 else multiprocessing.get_context("spawn")
        return _hire(context, prepare, deterministic, own_devices[index])

    crew = [hire(index) for index in range(len(own_devices))]
    try:
        while waiting or any(worker.task for worker in crew):
            for index, worker in enumerate(crew):
                if waiting and worker.task is None:
                    task = waiting.popleft()
                    if not _give(worker, task):
                        # Killed between two tasks. A new worker whose pipe breaks at once ends its task.
                        crew[index] = hire(index)
                        _give(crew[index], task)
            ready = wait([worker.connection for worker in crew if worker.task])
            for index, worker in enumerate(crew):
                if worker.connection in ready:
                    yield from _receive(worker)
                    # Killed, for memory perhaps: its run is ended, and the runs that wait go to a new worker.
                    if waiting and worker.task is None and not worker.process.is_alive():
                        crew[index] = hire(index)
    finally:
        _dismiss(crew)


def _fork_server() -> BaseContext:
    """Where processes are forked from one that has loaded torch; outside Linux every worker loads it, for seconds."""
    if platform.system() != "Linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    # Python's tracker of resources, which the server would start, unblocks signals.
    resource_tracker.ensure_running()
    # Ctrl-C reaches the whole group. The server inherits that it is blocked, until it has loaded.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    before = os.environ.get(SAFE_PATH)
    # It would look for modules in the current folder first, where a user's file may have the name of one of Python's.
    os.environ.setdefault(SAFE_PATH, "1")
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    return context


def _hire(
    context: BaseContext, prepare: Callable[[], None], deterministic: bool, device: str
) -> _Worker:
    mine, theirs = context.Pipe()
    arguments = (theirs, dict(os.environ), prepare, deterministic, device)
    process = context.Process(target=_work, args=arguments, daemon=True)  # type: ignore[attr-defined]
    process.start()
    # The worker has the only other end now: when it dies, receiving raises EOFError and waits no longer.
    theirs.close()
    return _Worker(process, mine)


def _give(worker: _Worker, task: Task) -> bool:
    """Send a worker its next task; whether its pipe took it."""
    worker.task = task
    try:
        worker.connection.send(task)
    except OSError:
        return False
    return True


def _receive(worker: _Worker) -> Iterator[Event]:
    assert worker.task is not None
    key = worker.task.key
    try:
        event = worker.connection.recv()
    except (EOFError, OSError):  # the second within a message
        worker.process.join()
        event = Ended(key, f"its process ended with exit code {worker.process.exitcode}")
    if isinstance(event, Ended):
        worker.task = None
    yield event


def _dismiss(crew: list[_Worker]) -> None:
    """Ask the workers to stop; the pipes stay open until they have, so that a run's last record breaks nothing."""
    # All get the signal first, so that they save their states side by side and not one after the other.
    for worker in crew:
        if worker.process.is_alive():
            worker.process.terminate()
            # One that was at the end of its task, where nothing is left to stop, begins no other.
            with suppress(OSError):
                worker.connection.send(None)
    for worker in crew:
        worker.process.join(STOP_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.connection.close()


def _work(
    connection: Connection,
    environment: Mapping[str, str],
    prepare: Callable[[], None],
    deterministic: bool,
    device: str,
) -> None:
    """Receive tasks and send events, until the other side is gone."""
    global _began
    _began = perf_counter()
    # Ctrl-C reaches the whole group: a run takes it as its sign to save, and between runs the parent says when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, [signal.SIGINT]
        )  # processes of its own are to know it
    Thread(target=_end_with_parent, daemon=True).start()
    # A fork server has that of the moment when it was started.
    os.environ.clear()
    os.environ.update(environment)
    # A daemon may have no children, but the workers of a DataLoader are such. This process stays one for its parent,
    # whose exit must not wait for it.
    current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    prepare()
    if deterministic:
        ask_for_determinism()
    try:
        while (task := connection.recv()) is not None:
            for event in events_of(task, device):
                connection.send(event)
    except (EOFError, OSError, Interrupted):
        sys.exit(0)


def _end_with_parent() -> None:
    """Send this process SIGTERM when its parent is gone, however it went: an orphan must not train on."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def events_of(task: Task, device: str = "cpu") -> Iterator[Event]:
    """Do a task here; the last event is its end.

    Args:
        task: what to do.
        device: where; its function takes it as a keyword unless it is the CPU.
    Raises:
        Interrupted: when a signal stopped the task; this process must begin no other.
    """
    error = None
    try:
        module, _, name = task.function.partition(":")
        function = getattr(import_module(module), name)
        elsewhere = {} if device == "cpu" else {"device": device}
        for value in function(*task.arguments, **elsewhere):
            yield Yielded(task.key, value)
    except Interrupted:
        raise
    except LosslabError as problem:
        error = str(problem)
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    yield Ended(task.key, error)
