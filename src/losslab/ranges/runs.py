"""Range tests of named things: their runs, and the trace that each run leaves."""

from collections.abc import Mapping
from typing import Any

import torch

from losslab.data.batches import Images
from losslab.data.dataset import Dataset
from losslab.data.task_data import TaskData
from losslab.errors import OutOfMemory
from losslab.randomness import generator
from losslab.ranges.curves import steps_before_divergence
from losslab.ranges.losses import cross_entropy
from losslab.ranges.trace import GradientSquares, Trace, trace_of
from losslab.ranges.trial import NOISE_BATCHES, STOP_BETA, measure_gradients
from losslab.records import Record, Start, Steps
from losslab.schedules import exponential_ramp
from losslab.spec import Run, make_run
from losslab.training.loop import train
from losslab.training.state import TrainState, new_state, prepare
from losslab.training.timeline import Timeline

Fields = Mapping[str, Any]


def lr_runs(
    fields: Fields,
    *,
    start: float,
    end: float,
    seeds: int,
    mode: str = "ramp",
    candidates: int = 10,
) -> list[Run]:
    """The runs of a learning-rate range test: ramps, or for each seed a grid of constant rates.

    Args:
        fields: of a run, without `lr` and `seed`.
        start: lowest learning rate.
        end: highest learning rate.
        seeds: how often the test is repeated, each with weights and order of its own.
        mode: ``ramp`` or ``grid``.
        candidates: learning rates of a grid.
    Raises:
        InvalidInput: when the fields make no run.
    """
    rates: list[Any] = [{"name": "exponential_ramp", "start": start, "end": end}]
    if mode == "grid":
        rate = exponential_ramp(start, end, candidates)
        rates = [rate(index) for index in range(candidates)]
    runs = []
    for seed in range(seeds):
        runs += [_bare_run({**fields, "lr": lr, "seed": seed}) for lr in rates]
    return runs


def batch_runs(fields: Fields, *, size: int, seeds: int) -> list[Run]:
    """The runs of a batch-size range test at one size; equal seeds have equal weights at every size."""
    return [_bare_run({**fields, "batch": size, "seed": seed}) for seed in range(seeds)]


def train_trace(
    run: Run,
    dataset: Dataset | TaskData,
    *,
    device: torch.device | str = "cpu",
    noise_batch: int | None = None,
) -> Trace:
    """Train a run and return its trace; it ends where the loss diverges.

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
    try:
        records = _train(run, dataset, state, device)
    except OutOfMemory:
        samples = len(prepare(run, dataset, state.layout, device).training)
        halved = _in_halves(run, samples)
        if halved is None:
            raise
        return train_trace(halved, dataset, device=device, noise_batch=noise_batch)
    squares = _gradients(run, dataset, state, noise_batch, device) if noise_batch else None
    return trace_of(records, run.seed, run.max_micro_batch, squares)


def _bare_run(fields: Fields) -> Run:
    """A run of which only the training is of interest; what a stage says of evaluation wins."""
    return make_run({"evaluate": "end", "test": False, **fields})


def _in_halves(run: Run, samples: int) -> Run | None:
    """The run with parts half as large as its largest; None where these were single samples."""
    largest = max(Timeline(run, samples).batch_sizes)
    part = min(run.max_micro_batch or largest, largest) // 2
    return run.model_copy(update={"max_micro_batch": part}) if part else None


def _train(
    run: Run, dataset: Dataset | TaskData, state: TrainState, device: torch.device | str
) -> list[Record]:
    """The records up to the last step, or to where the loss diverges; nothing is evaluated."""
    records: list[Record] = []
    losses: list[float] = []
    total_steps = 0
    for record in train(run, dataset=dataset, state=state, device=device):
        records.append(record)
        if isinstance(record, Start):
            total_steps = record.total_steps
        elif isinstance(record, Steps):
            losses += record.loss
            if len(losses) == total_steps or steps_before_divergence(losses, STOP_BETA) < len(
                losses
            ):
                break
    return records


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
        measure_gradients(state.model, batches, cross_entropy, samples=size)
        if len(batches) > 1
        else None
    )
