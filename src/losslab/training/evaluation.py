"""Measure a network as it stands: loss and metrics of samples, the penalty of its weights, their hash."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from math import fsum
from typing import Any

import torch
from torch import nn

from losslab.data.batches import Images
from losslab.errors import InvalidInput
from losslab.spec import Precision
from losslab.tasks.losses import NOTHING_COUNTS, Judged, Loss
from losslab.tasks.metrics import Metric, add_sums
from losslab.tasks.samples import EVALUATION_EPOCH, Selection, SomeSamples
from losslab.training.precision import autocast

# A constant, and not the run's batch: the last bits of a sum depend on how it is cut.
EVALUATION_IMAGES = 1000
EVALUATION_SAMPLES = 250
"""Samples of a batch that is evaluated, where they may be larger than images of a few thousand pixels."""


@dataclass(frozen=True)
class Scores:
    """The mean loss and the metrics of some samples."""

    loss: float
    metrics: Mapping[str, float]


@torch.no_grad()
def evaluate(
    model: nn.Module,
    samples: SomeSamples,
    loss: Loss,
    metrics: Mapping[str, Metric],
    precision: Precision = "fp32",
) -> Scores:
    """Measure mean loss and metrics in evaluation mode; the mode of every module is restored."""
    # By module: a model's own `train` may keep some in evaluation mode, such as frozen normalisation layers.
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    total, items = 0.0, 0.0
    sums: dict[str, list[float]] = {}
    for batch, device in _batches(samples):
        with autocast(precision, device):
            judged, count = loss.total(model, batch)
        total += float(judged.loss)
        items += count
        add_sums(
            sums, {name: values.tolist() for name, values in sums_of(metrics, judged).items()}
        )
    for module, training in modes:
        module.training = training
    if not items:
        raise InvalidInput(NOTHING_COUNTS)
    mean = total / items
    return Scores(mean, metric_values(metrics, sums, mean))


def _batches(samples: SomeSamples) -> Iterator[tuple[Any, torch.device]]:
    """All samples in order, and the device that they are on."""
    if isinstance(samples, Images):
        device = samples.labels.device
        for positions in torch.split(
            torch.arange(len(samples), device=device), EVALUATION_IMAGES
        ):
            yield samples.batch(positions), device
        return
    selections = [
        Selection(EVALUATION_EPOCH, positions)
        for positions in torch.split(
            torch.arange(len(samples), device=samples.device), EVALUATION_SAMPLES
        )
    ]
    for batch in samples.batches(selections):
        yield batch, samples.device


def sums_of(
    metrics: Mapping[str, Metric], judged: Judged, samples: int | None = None
) -> dict[str, torch.Tensor]:
    """Sum each metric over what a loss judged; to zeros where none of its samples counts.

    Args:
        metrics: by name.
        judged: outputs and targets, which may be of a sample each or of an item, such as a token.
        samples: of the part that count, as :class:`losslab.training.step.Part` has it; all when None.
    Raises:
        TypeError: when there are metrics, but the loss gave no outputs or targets.
        InvalidInput: when a metric cannot judge these.
    """
    summed = {name: metric.sums for name, metric in metrics.items() if metric.sums is not None}
    if not summed:
        return {}
    if judged.outputs is None or judged.targets is None:
        raise TypeError(
            f"`metrics` (={', '.join(summed)}) read outputs and targets, but the loss gave none; "
            "return (loss, outputs, targets) from it, or give metrics = []"
        )
    outputs, targets = judged.outputs, judged.targets
    if isinstance(outputs, torch.Tensor):
        outputs = outputs.detach()
    found: dict[str, torch.Tensor] = {}
    for name, sums in summed.items():
        with _of_metric(name, outputs, targets):
            found[name] = sums(outputs, targets)
    # Of a process without samples of its own, whose sums are of the same length, for the processes to add up.
    if samples == 0:
        found = {name: torch.zeros_like(values) for name, values in found.items()}
    return found


@contextmanager
def _of_metric(metric: str, outputs: Any, targets: Any) -> Iterator[None]:
    """Say of an error that it is a metric's, and which metrics suit such targets."""
    try:
        yield
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        # A class of torch's own, such as that of memory, tells what it is; on a CPU only the text does.
        if type(error).__module__ != "builtins" or "can't allocate memory" in str(error):
            raise
        has_classes = isinstance(targets, torch.Tensor) and not targets.is_floating_point()
        suitable = (
            "accuracy, top_k or f1 for classes"
            if has_classes
            else "mae or r2 for numbers, label_accuracy for yes-or-no labels"
        )
        raise InvalidInput(
            f"`metrics` (={metric}) cannot judge outputs {_form(outputs)} and targets {_form(targets)}: "
            f"{type(error).__name__}: {error}; choose {suitable}, or a function of your own"
        ) from error


def _form(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return f"that are a {type(value).__name__}"
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"


def metric_values(
    metrics: Mapping[str, Metric], sums: Mapping[str, Sequence[float]], mean_loss: float
) -> dict[str, float]:
    """The value of each metric."""
    return {
        name: metric.value(mean_loss if metric.sums is None else sums[name])
        for name, metric in metrics.items()
    }


def penalty(optimizer: torch.optim.Optimizer) -> float:
    """weight_decay/2 times the squared norm of the decayed weights."""
    terms: list[float] = []
    for group in optimizer.param_groups:
        # The coefficient of a group; foreign optimizers may have groups without it.
        half = 0.5 * (group.get("weight_decay") or 0.0)
        if half:
            terms += [
                half * float(weights.detach().double().square().sum())
                for weights in group["params"]
            ]
    return fsum(terms)


def weights_sha256(model: nn.Module) -> str:
    """A hash of every parameter and buffer, in order."""
    digest = sha256()
    tensors = [
        value for value in model.state_dict().values() if isinstance(value, torch.Tensor)
    ]
    for tensor in tensors:
        # A copy: torch refuses to resize, ever after, a tensor that numpy has once seen.
        values = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
