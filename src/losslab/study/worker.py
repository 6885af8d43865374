"""Train one run into its folder, so that it can stop at any moment and go on."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from losslab.data.catalog import CATALOG
from losslab.data.dataset import Dataset
from losslab.devices import device_facts
from losslab.errors import Diverged, Interrupted, InvalidInput, OutOfMemory
from losslab.files import complete_lines
from losslab.machine.memory import peak_memory, release_memory, reset_peak_memory
from losslab.machine.process import environment
from losslab.records import Evaluation, Final, Record, is_finite
from losslab.spec import Layout, Run
from losslab.study.sizes import load
from losslab.study.store import ENDED, RunFolder
from losslab.tasks.samples import content_sha256
from losslab.training import distributed
from losslab.training.checkpoint import (
    check,
    checkpoints,
    load_newest,
    save_checkpoint,
    save_weights,
)
from losslab.training.loop import train
from losslab.training.setup import Setup
from losslab.training.state import TrainState, new_state

# What a power cut costs at most, against the time of writing weights and optimizer state.
CHECKPOINT_SECONDS = 60.0
BITS = (
    "processor",
    "platform",
    "torch",
    "numpy",
    "python",
    "losslab",
    "source_sha256",
    "threads",
    "device",
    "gpu",
    "deterministic",
)
"""What of an environment may change a run's bits or its pace."""


def run_in_folder(
    run: Run,
    folder: RunFolder,
    layout: Layout | None = None,
    compile_step: bool = False,
    *,
    device: str = "cpu",
    data_workers: int = 0,
    weights: Path | None = None,
) -> Iterator[Record]:
    """Train a run into its folder from where that stands, and yield the new records.

    Args:
        run: what to train.
        folder: its own; what is there already goes on in its own layout, its step compiled or not as it was.
        layout: of images and weights in memory; the usual one of the network when absent.
        compile_step: whether to compile the optimizer's step.
        device: where to train.
        data_workers: processes that read samples of a map-style dataset; they change no record.
        weights: where to keep the trained weights.
    Raises:
        InvalidInput: when the folder holds another run, or a study; nothing in it is changed.
        Diverged, OutOfMemory: also kept as the run's status; they are results, not faults.
        Interrupted: after SIGINT or SIGTERM, when the state has been saved.
    """
    folder.check_holds(run)
    setup = Setup(device, layout, compile_step, data_workers)
    if distributed.rank():
        yield from _follow(run, folder, setup)
        return
    with folder.lease():
        if folder.status["status"] not in ENDED:
            yield from _run_leased(run, folder, setup, weights)


def _restored(
    run: Run, folder: RunFolder, setup: Setup, data_sha256: str | None
) -> tuple[TrainState, int, str]:
    """Restore the state to go on from, with the number of its records and why newer checkpoints were passed over."""
    dataset = load(run.data.name)
    goes_on = bool(checkpoints(folder.path / "checkpoints"))
    if goes_on:
        before = folder.environment
        # Records of earlier versions do not say it.
        if before.get("data_sha256") not in (None, data_sha256):
            raise InvalidInput(
                f"{folder.path} was begun on other data: {run.data.name} has changed since; put it back, or choose "
                "another folder"
            )
        # The usual one, and no compiled step, where the record knows none.
        setup = replace(
            setup,
            layout=before.get("layout"),
            compile_step=before.get("compiled_step", False),
        )
    build = partial(new_state, run, dataset, setup.device, setup.layout, setup.compile_step)
    try:
        state = build()
    except InvalidInput as error:
        if not (goes_on and setup.compile_step):
            raise
        raise InvalidInput(f"{folder.path} was begun with a compiled step: {error}") from error
    except OutOfMemory as error:
        # One that has trained here fitted before, and may again: what others hold now is no result of the run.
        if not goes_on:
            folder.create(run, environment() | device_facts(setup.device))
        folder.set_status("failed" if goes_on else "out_of_memory", message=str(error))
        raise
    rows, rejected = load_newest(folder.path / "checkpoints", state)
    # Records are synced before a checkpoint, so that only a lost or edited file has fewer; its run would have a gap.
    if rows > len(complete_lines(folder.records_path)):
        rejected.append(
            f"{folder.records_path}: fewer rows than its checkpoint knows; begun again"
        )
        state, rows = build(), 0
    return state, rows, "; ".join(rejected)


def _earlier(folder: RunFolder, now: dict[str, Any]) -> dict[str, Any]:
    """What a run that goes on was trained with before, where that differs, oldest first."""
    before = folder.environment
    differing = {
        key: before[key] for key in BITS if key in before and before[key] != now.get(key)
    }
    # One GPU does what another of its name does.
    if str(before.get("device")).partition(":")[0] == str(now.get("device")).partition(":")[0]:
        differing.pop("device", None)
    history = [*before.get("earlier", ()), *([differing] if differing else [])]
    return {"earlier": history} if history else {}


def _data_sha256(run: Run) -> str | None:
    """A hash of data that are a user's own and may change; None of those of the catalog, which have checksums."""
    if run.data.name in CATALOG:
        return None
    dataset = load(run.data.name)
    return dataset.sha256 if isinstance(dataset, Dataset) else content_sha256(dataset)


def _follow(run: Run, folder: RunFolder, setup: Setup) -> Iterator[Record]:
    """Train along as a process of torchrun that is not the first, and write nothing."""
    if folder.status["status"] in ENDED:
        return
    state, _, _ = _restored(run, folder, setup, _data_sha256(run))
    with _stop_signal() as stop:
        for record in _records(run, state, setup):
            if _goes_on(record):
                signal_number = distributed.largest(max(stop, default=0), setup.device)
                _raise_if_stopped(state, signal_number)
            yield record


def _run_leased(
    run: Run, folder: RunFolder, setup: Setup, weights: Path | None
) -> Iterator[Record]:
    device = setup.device
    reset_peak_memory(device)
    data_sha256 = _data_sha256(run)
    state, rows, note = _restored(run, folder, setup, data_sha256)
    choices = {"layout": state.layout, "compiled_step": state.compiled_step}
    now = environment() | choices | device_facts(device) | {"data_sha256": data_sha256}
    folder.create(run, now | (_earlier(folder, now) if state.step else {}))
    folder.set_status("running", step=state.step, message=note)
    try:
        with _stop_signal() as stop:
            yield from _train_and_save(
                folder, state, rows, device, stop, _records(run, state, setup)
            )
        # Before the run is done, so that a run that is done has them.
        if weights:
            save_weights(weights, state)
    except (Diverged, OutOfMemory) as error:
        folder.set_status(
            "diverged" if isinstance(error, Diverged) else "out_of_memory",
            step=error.step,
            message=str(error),
        )
        raise
    except (Interrupted, GeneratorExit):
        folder.set_status("interrupted", step=state.step)
        raise
    except Exception as error:
        folder.set_status("failed", step=state.step, message=f"{type(error).__name__}: {error}")
        raise
    folder.set_status("done", step=state.step, message=note, memory_bytes=peak_memory(device))


def _records(run: Run, state: TrainState, setup: Setup) -> Iterator[Record]:
    dataset, device, workers = load(run.data.name), setup.device, setup.data_workers
    return train(run, dataset=dataset, state=state, device=device, data_workers=workers)


def _train_and_save(
    folder: RunFolder,
    state: TrainState,
    rows: int,
    device: str,
    stop: list[int],
    records: Iterator[Record],
) -> Iterator[Record]:
    saved, checked = monotonic(), False
    with folder.appending(keep=rows) as writer:
        for record in records:
            writer.append(record)
            if state.step and not checked:
                # After the first steps, not after the first minutes.
                check(state)
                checked = True
            if isinstance(record, Evaluation):
                release_memory()  # what steps and evaluations of other sizes left in pieces
            if _goes_on(record):
                signal_number = distributed.largest(max(stop, default=0), device)
                if state.step and (signal_number or monotonic() - saved > CHECKPOINT_SECONDS):
                    # Rows first: a checkpoint on disk must not count on rows that a power cut took.
                    writer.sync()
                    save_checkpoint(folder.path / "checkpoints", state, rows=writer.rows)
                    saved = monotonic()
                _raise_if_stopped(state, signal_number)
            yield record
        writer.sync()


def _raise_if_stopped(state: TrainState, signal_number: int) -> None:
    if signal_number:
        raise Interrupted(
            f"stopped at step {state.step}; run the same command again to go on", signal_number
        )


def _goes_on(record: Record) -> bool:
    """Whether training can go on from here: not after the last record, nor after a loss that ends the run."""
    return not isinstance(record, Final) and is_finite(record)


@contextmanager
def _stop_signal() -> Iterator[list[int]]:
    """Collect the numbers of SIGINT and SIGTERM in a list, so that none raises in the middle of a step."""
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [
        signal.signal(number, lambda number, _: received.append(number)) for number in numbers
    ]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
