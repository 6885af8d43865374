"""How many operations a plan takes, by accounting: what it costs on a device whose rate is known."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from losslab.accounting import count
from losslab.choice import Choice
from losslab.data.batches import Images
from losslab.data.task_data import TaskData
from losslab.models import build_model
from losslab.spec import Run
from losslab.study.costs import evaluated_images
from losslab.study.sizes import load, training_images
from losslab.tasks.losses import Loss, build_loss
from losslab.tasks.samples import first_batch, samples_of
from losslab.training.state import model_arguments
from losslab.training.timeline import Timeline

# More than one, for layers that need a batch; few, since the operations of a sample are all that is wanted.
SAMPLES = 8
TRAINING_FLOPS, EVALUATION_FLOPS = 6, 2
"""For each multiply-accumulate of the forward pass: a product and a sum, and the backward pass takes twice as many."""


def operations(runs: Iterable[Run]) -> float:
    """FLOPs of training and evaluating these runs; optimizer steps and augmentation, which are few, are left out."""
    return sum(map(_run_operations, runs))


def yield_operations(runs: Iterable[Run], *, device: str = "cpu") -> Iterator[float]:  # noqa: ARG001 - counts anywhere
    """Yield the FLOPs of these runs: the task of a worker, which every device may have."""
    yield operations(runs)


def _run_operations(run: Run) -> float:
    trained = sum(Timeline(run, training_images(run)).batch_sizes) * run.repeats
    images = TRAINING_FLOPS * trained + EVALUATION_FLOPS * evaluated_images(run)
    return float(images * _macs(run.model, run.loss, run.data.name))


@lru_cache(maxsize=64)
def _macs(model: Choice, loss: Choice, dataset_name: str) -> float:
    """Multiply-accumulates of the forward pass of one sample."""
    dataset = load(dataset_name)
    shape, outputs = model_arguments(dataset)

    def build() -> nn.Module:
        return build_model(model, input_shape=shape, classes=outputs)

    if isinstance(dataset, TaskData):
        return _measured_macs(build(), build_loss(loss), dataset)
    return count(build, shape).macs


def _measured_macs(model: nn.Module, loss: Loss, dataset: TaskData) -> float:
    """Count by torch's own counter on a few samples, since only the loss knows how a batch enters the model."""
    samples = samples_of(
        dataset.train, "train", None, seed=0, device=torch.device("cpu"), workers=0
    )
    assert not isinstance(samples, Images)
    batch = first_batch(samples, SAMPLES)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        loss(model, batch)
    return float(counter.get_total_flops() / 2 / min(SAMPLES, len(samples)))
