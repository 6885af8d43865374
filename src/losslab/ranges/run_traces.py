"""The trace that a run of a range test leaves."""

from collections.abc import Iterator

import torch

from losslab.data.batches import Images
from losslab.data.dataset import Dataset
from losslab.data.task_data import TaskData
from losslab.errors import OutOfMemory
from losslab.randomness import generator
from losslab.ranges.curves import STOP_BETA, steps_before_divergence
from losslab.ranges.losses import loss_of
from losslab.ranges.trace import GradientSquares, Trace, trace_of
from losslab.ranges.trial import NOISE_BATCHES, measure_gradients
from losslab.records import Record, Start, Steps
from losslab.spec import Run
from losslab.training.loop import train
from losslab.training.parts import prepare
from losslab.training.state import TrainState, new_state
from losslab.training.timeline import Timeline


def train_trace(
    run: Run,
    dataset: Dataset | TaskData,
    *,
    device: torch.device | str = "cpu",
    noise_batch: int | None = None,
) -> Iterator[int | Trace]:
    """Train a run, yield how many samples it has been trained on, and last its trace; it ends where the loss diverges.

    A run that does not fit into memory starts again in parts half as large; the trace says so.

    Args:
        run: what to train.
        dataset: its data.
        device: where to train.
        noise_batch: images of the batches on which the gradient's noise is measured afterwards; None leaves it out.
    Raises:
        OutOfMemory: when a single image does not fit.
    """
    state = new_state(run, dataset, device)
    halved: Run | None = None
    records: list[Record] = []
    samples = 0
    try:
        for record in _records(run, dataset, state, device):
            records.append(record)
            if isinstance(record, Steps):
                samples += sum(record.batch_size)
                yield samples
    except OutOfMemory:
        start = next((record for record in records if isinstance(record, Start)), None)
        halved = _in_halves(run, start.training_images) if start else None
        if halved is None:
            raise
    if halved:
        # Out of the handler, whose error holds what the failed attempt had in memory.
        del state
        yield from train_trace(halved, dataset, device=device, noise_batch=noise_batch)
        return
    squares = _gradients(run, dataset, state, noise_batch, device) if noise_batch else None
    yield trace_of(records, run.seed, run.max_micro_batch, squares)


def _in_halves(run: Run, samples: int) -> Run | None:
    """The run with parts half as large as its largest; None where these were single samples."""
    largest = max(Timeline(run, samples).batch_sizes)
    part = min(run.max_micro_batch or largest, largest) // 2
    return run.model_copy(update={"max_micro_batch": part}) if part else None


def _records(
    run: Run, dataset: Dataset | TaskData, state: TrainState, device: torch.device | str
) -> Iterator[Record]:
    """The records up to the last step, or to where the loss diverges; nothing is evaluated."""
    losses: list[float] = []
    total_steps = 0
    for record in train(run, dataset=dataset, state=state, device=device):
        yield record
        if isinstance(record, Start):
            total_steps = record.total_steps
        elif isinstance(record, Steps):
            losses += record.loss
            if len(losses) == total_steps or steps_before_divergence(losses, STOP_BETA) < len(
                losses
            ):
                break


def _gradients(
    run: Run,
    dataset: Dataset | TaskData,
    state: TrainState,
    size: int,
    device: torch.device | str,
) -> GradientSquares | None:
    """The gradient of the trained weights over batches of training images; None with fewer than two."""
    images = prepare(run, dataset, state.layout, device).training
    if not isinstance(images, Images):
        return None
    order = torch.randperm(len(images), generator=generator(run.seed, "noise")).to(
        images.labels.device
    )
    parts = torch.split(order[: size * NOISE_BATCHES], size)
    batches = [images.batch(part) for part in parts if len(part) == size]
    return (
        measure_gradients(state.model, batches, loss_of(run), samples=size)
        if len(batches) > 1
        else None
    )
