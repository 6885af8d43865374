"""How many operations a plan takes, by accounting: what it costs on a device whose rate is known."""

from collections.abc import Iterable
from functools import lru_cache

from losslab import data
from losslab.accounting import count
from losslab.choice import Choice
from losslab.models import build_model
from losslab.spec import Run
from losslab.study.costs import evaluated_images
from losslab.study.sizes import training_images
from losslab.training.timeline import Timeline

TRAINING_FLOPS, EVALUATION_FLOPS = 6, 2
"""For each multiply-accumulate of the forward pass: a product and a sum, and the backward pass takes twice as many."""


def operations(runs: Iterable[Run]) -> float:
    """FLOPs of training and evaluating these runs; optimizer steps and augmentation, which are few, are left out."""
    return sum(map(_run_operations, runs))


def _run_operations(run: Run) -> float:
    trained = sum(Timeline(run, training_images(run)).batch_sizes) * run.repeats
    images = TRAINING_FLOPS * trained + EVALUATION_FLOPS * evaluated_images(run)
    return float(images * _macs(run.model, run.data.name))


@lru_cache(maxsize=64)
def _macs(model: Choice, dataset_name: str) -> int:
    dataset = data.load(dataset_name)
    shape = dataset.train_images.shape[1:]
    return count(lambda: build_model(model, input_shape=shape, classes=len(dataset.classes)), shape).macs
