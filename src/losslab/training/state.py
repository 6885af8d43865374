"""What changes while a run trains, what it trains on, and how both begin."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import fsum

import torch
from torch import nn

from losslab import augment, data
from losslab.data.batches import Images, on_device
from losslab.data.dataset import Dataset
from losslab.errors import InvalidInput, OutOfMemory
from losslab.models import build_model
from losslab.optimizers.groups import build_optimizer
from losslab.randomness import generator, seeded
from losslab.spec import Layout, Run


@dataclass
class Window:
    """Per-step results since the last evaluation, kept for its training loss and accuracy."""

    loss: list[float] = field(default_factory=list)
    correct: list[float] = field(default_factory=list)
    batch_size: list[int] = field(default_factory=list)

    def mean_loss(self) -> float:
        """Mean over images, the short last batch weighted by its size."""
        return fsum(loss * size for loss, size in zip(self.loss, self.batch_size, strict=True)) / sum(self.batch_size)

    def accuracy(self) -> float:
        """Part of the images classified correctly."""
        return sum(self.correct) / sum(self.batch_size)


@dataclass
class TrainState:
    """All that changes while a run trains; with the Run itself it is enough to go on from."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    layout: Layout
    step: int = 0
    window: Window = field(default_factory=Window)
    train_seconds: float = 0.0
    train_processor_seconds: float | None = 0.0
    """None where the arithmetic is not the processor's."""
    eval_seconds: float = 0.0

    def spend(self, wall: float, processor: float) -> None:
        """Add the seconds of some steps."""
        self.train_seconds += wall
        if self.train_processor_seconds is not None:
            self.train_processor_seconds += processor


@dataclass(frozen=True)
class Parts:
    """The images a run uses: trained on, a fixed sample of those, held out, and the test set."""

    training: Images
    fit: Images
    validation: Images
    test: Images


def new_state(
    run: Run, dataset: Dataset, device: torch.device | str = "cpu", layout: Layout | None = None
) -> TrainState:
    """The state before the first step: initial weights from the run's seed, an empty optimizer.

    Args:
        run: what is to be trained.
        dataset: its data.
        device: where the weights are to be.
        layout: of images and weights in memory; the usual one of the network when absent.
    """
    with memory_at(0), seeded(run.seed, "weights"):
        model = build_model(run.model, input_shape=dataset.train_images.shape[1:], classes=len(dataset.classes))
        layout = layout or usual_layout(model)
        model.to(device=device, memory_format=memory_format(layout))  # type: ignore[call-overload]
    with memory_at(0), seeded(run.seed, "optimizer"):
        optimizer = build_optimizer(
            run.optimizer, model, weight_decay=run.weight_decay, parameter_groups=run.parameter_groups
        )
    processor_seconds = 0.0 if torch.device(device).type == "cpu" else None
    return TrainState(model, optimizer, layout, train_processor_seconds=processor_seconds)


def usual_layout(model: nn.Module) -> Layout:
    """Channels last where there are convolutions to gain by it."""
    return "channels_last" if any(isinstance(module, nn.Conv2d) for module in model.modules()) else "contiguous"


def memory_format(layout: Layout) -> torch.memory_format:
    """How images and weights lie in memory."""
    return torch.channels_last if layout == "channels_last" else torch.contiguous_format


def prepare(run: Run, dataset: Dataset, layout: Layout, device: torch.device | str = "cpu") -> Parts:
    """The images of a run on the device; the training part is the one that Timeline counts."""
    spec = run.data
    training, validation = data.split(
        dataset.train_labels, validation_fraction=spec.validation_fraction, train_images=spec.train_images
    )
    fit = training[:: max(1, len(training) // (len(validation) or 5000))]
    arguments = {"device": torch.device(device), "memory_format": memory_format(layout)}
    with memory_at(0):
        parts = Parts(*(on_device(dataset, part, **arguments) for part in (training, fit, validation, None)))  # type: ignore[arg-type]
    _check_augment(run, parts.training)
    return parts


def _check_augment(run: Run, images: Images) -> None:
    """Raise InvalidInput when the augmentations do not suit the images, such as a square larger than these."""
    try:
        augment.pipeline(run.augment, images.normalization)(images.pixels[:1], generator(run.seed, "augment"))
    except ValueError as error:
        raise InvalidInput(f"`augment`: {error}") from error


@contextmanager
def memory_at(step: int) -> Iterator[None]:
    """Have what does not fit into memory raise OutOfMemory, wherever in a run it is."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise OutOfMemory(step) from error
        raise
