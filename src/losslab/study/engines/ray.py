"""The Ray engine: tasks on the workers of a cluster, prepared like local workers and running the same code.

All machines of the cluster see the study's folder, the working directory and the data cache at the same paths.
"""

import logging
import os
import signal
import socket
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from losslab.devices import ask_for_determinism, check_form
from losslab.errors import InvalidInput, LosslabError
from losslab.machine.process import set_threads, source_sha256
from losslab.study.engines.local import STOP_SECONDS, Ended, Event, Task, events_of

CONNECT_SECONDS = 5.0
TRIES = 4
"""How often a task is begun whose worker is lost each time; a run goes on from its last checkpoint."""


def connect(address: str) -> None:
    """Join a cluster as its driver, unless this process has done so already.

    Args:
        address: ``host:port`` of its head, or ``auto`` for the one that this machine belongs to.
    Raises:
        InvalidInput: when it cannot be reached, or Ray is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise InvalidInput(
            "--engine ray: Ray is not installed; in the clone of losslab: pip install '.[ray]'"
        ) from None
    if ray.is_initialized():
        return
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and port.isdecimal()):
        raise InvalidInput(
            f"--address (={address}) must be the host:port of a Ray cluster's head"
        )
    on_terminate = signal.getsignal(signal.SIGTERM)  # Ray replaces it
    try:
        if address != "auto":
            socket.create_connection(
                (host, int(port)), CONNECT_SECONDS
            ).close()  # Ray itself would take 85 seconds
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError, SystemExit) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInput(
            f"--address {address}: no Ray cluster can be reached ({reason}); start one with `ray start`"
        ) from error
    signal.signal(signal.SIGTERM, on_terminate)


def slots(threads: int, *, on_gpu: bool = False) -> int:
    """How many workers of so many threads, and a GPU each, the machines of the cluster have room for."""
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    total = 0
    for node in nodes:
        if node["Alive"]:
            fit = int(node["Resources"].get("CPU", 0) // threads)
            gpus = int(node["Resources"].get("GPU", 0))
            total += min(fit, gpus) if on_gpu else fit
    return total


def read_device(text: str) -> str:
    """The device of each worker: Ray shows a worker its own GPU only, as the first.

    Raises:
        InvalidInput: for a device that Ray does not share out, or that no machine of the cluster has.
    """
    check_form(text)
    if text not in ("cpu", "cuda", "auto"):
        raise InvalidInput(
            f"--device (={text}): a Ray cluster shares out its GPUs itself; give cpu, cuda or auto"
        )
    has_gpu = slots(1, on_gpu=True) > 0
    if text == "cuda" and not has_gpu:
        raise InvalidInput(
            "--device (=cuda): no machine of the Ray cluster has a GPU; they have cpu"
        )
    return "cuda" if has_gpu and text != "cpu" else "cpu"


def run_tasks(
    tasks: Iterable[Task],
    *,
    workers: int,
    threads: int,
    device: str = "cpu",
    deterministic: bool = False,
) -> Iterator[Event]:
    """Run tasks on the cluster and yield what they yield; see :func:`losslab.study.engines.local.run_tasks`.

    The events of a task come together when it ends: one that is stopped while it sends some would be broken off by Ray
    before it has saved its state. A task whose worker is lost is begun again, on whatever machine is left.

    Args:
        tasks: in the order in which they are to start.
        workers: processes at a time.
        threads: torch threads of each.
        device: of each worker; on ``cuda`` each has a GPU of its own.
        deterministic: whether torch is asked for algorithms that repeat their bits.
    Raises:
        InvalidInput: when no machine of the cluster has so many cores as a worker has threads.
    """
    import ray

    if not slots(threads):
        raise InvalidInput(
            f"--threads (={threads}): no machine of the Ray cluster has so many cores"
        )
    # Ray's own retries are off: a lost task is counted here, and its next try goes on from a checkpoint.
    gpus = int(device != "cpu")
    begin = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=0)(_work).remote
    worker = _Worker(threads, device, deterministic, Path.cwd(), _versions())
    waiting, lost = deque(tasks), Counter[str]()
    running: dict[Any, Task] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                task = waiting.popleft()
                running[begin(task, worker)] = task
            ended = ray.wait(list(running), num_returns=1)[0][0]
            task = running.pop(ended)
            try:
                yield from ray.get(ended)
            except ray.exceptions.RayError as error:
                lost[task.key] += 1
                if lost[task.key] < TRIES:
                    waiting.appendleft(task)
                else:
                    reason = str(error).strip().splitlines()[-1]
                    yield Ended(
                        task.key, f"its worker was lost {TRIES} times; the last time: {reason}"
                    )
    finally:
        _stop(list(running))


def _stop(running: list[Any]) -> None:
    """Ask tasks to stop, as SIGINT would, and wait until they have."""
    import ray

    for task in running:
        ray.cancel(task)
    if running:
        ray.wait(running, num_returns=len(running), timeout=STOP_SECONDS)


@dataclass(frozen=True)
class _Worker:
    """How a worker of the cluster is prepared, the same as the driver."""

    threads: int
    device: str
    deterministic: bool
    folder: Path
    versions: tuple[str, ...]


def _work(task: Task, worker: _Worker) -> list[Event]:
    """Do a task on a worker of the cluster, as a local worker does it."""
    os.chdir(worker.folder)
    if _versions() != worker.versions:
        raise LosslabError(
            f"{socket.gethostname()} has losslab, torch, numpy {_versions()}, the driver {worker.versions}"
        )
    set_threads(worker.threads)
    if worker.deterministic:
        ask_for_determinism()
    return list(events_of(task, worker.device))


def _versions() -> tuple[str, ...]:
    """The versions that two machines must share to give the same bits."""
    return source_sha256(), version("torch"), version("numpy")
