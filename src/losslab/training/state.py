"""The state of a run, which changes while it trains, the samples that it trains on, and how both begin."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import fsum

import torch
from torch import nn

from losslab.data.batches import on_device
from losslab.data.dataset import Dataset
from losslab.data.task_data import TaskData
from losslab.errors import InvalidInput, OutOfMemory
from losslab.models import build_model
from losslab.optimizers.groups import build_optimizer
from losslab.policies import new_plateau
from losslab.randomness import seeded_wholly
from losslab.schedules import Plateau
from losslab.spec import Layout, Run
from losslab.tasks import usual_metrics
from losslab.tasks.losses import NOTHING_COUNTS, Loss, build_loss
from losslab.tasks.metrics import Metric, build_metric, by_name
from losslab.tasks.samples import (
    outputs_for,
    shape_of_inputs,
)
from losslab.training.average import Average, new_average
from losslab.training.precision import check_precision, new_scaler

INITIAL_IMAGES = 5000
"""Training images that a model's first weights are read from, where it reads any."""


@dataclass
class Window:
    """Results since the last evaluation, by step, kept for its training loss and metrics."""

    loss: list[float] = field(default_factory=list)
    correct: list[float] = field(default_factory=list)
    batch_size: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    """What each step's loss is a mean over, where that is not its samples; else empty."""
    sums: dict[str, list[float]] = field(default_factory=dict)
    """The sums of each metric but the accuracy of samples, added up."""

    def mean_loss(self) -> float:
        """Mean over all items: a step, such as the short last one, counts by what its own mean is over."""
        weights = self.weight or self.batch_size
        if not sum(weights):
            raise InvalidInput(NOTHING_COUNTS)
        return fsum(
            loss * weight for loss, weight in zip(self.loss, weights, strict=True)
        ) / sum(weights)

    def accuracy(self) -> float | None:
        """Fraction of the samples classified correctly; None where that is not counted."""
        return sum(self.correct) / sum(self.batch_size) if self.correct else None


@dataclass(frozen=True)
class Task:
    """The loss and the metrics of a run."""

    loss: Loss
    metrics: Mapping[str, Metric]


@dataclass
class TrainState:
    """All that changes while a run trains; with the Run itself it is enough to go on from."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    layout: Layout
    compiled_step: bool = False
    """Whether the optimizer's step is compiled."""
    step: int = 0
    window: Window = field(default_factory=Window)
    train_seconds: float = 0.0
    train_processor_seconds: float | None = 0.0
    """None where the arithmetic is not the processor's."""
    eval_seconds: float = 0.0
    scaler: torch.amp.GradScaler | None = None
    """Of the loss, in fp16."""
    average: Average | None = None
    plateau: Plateau | None = None
    """The factor on the learning rate."""

    def spend(self, wall: float, processor: float) -> None:
        """Add the seconds of some steps."""
        self.train_seconds += wall
        if self.train_processor_seconds is not None:
            self.train_processor_seconds += processor


def make_task(run: Run) -> Task:
    """The loss and the metrics of a run.

    Raises:
        InvalidInput: when one of them cannot be built.
    """
    choices = usual_metrics(run.loss) if run.metrics is None else run.metrics
    return Task(build_loss(run.loss), by_name([build_metric(choice) for choice in choices]))


def new_state(
    run: Run,
    dataset: Dataset | TaskData,
    device: torch.device | str = "cpu",
    layout: Layout | None = None,
    compile_step: bool = False,
) -> TrainState:
    """The state before the first step: initial weights from the run's seed, an empty optimizer.

    Args:
        run: what is to be trained.
        dataset: its data.
        device: where the weights are to be.
        layout: of images and weights in memory; the usual one of the network when absent.
        compile_step: whether to compile the optimizer's step.
    Raises:
        InvalidInput: when the run cannot be built, or its step not be compiled.
    """
    device = torch.device(device)
    check_precision(run.precision, device)
    shape, outputs = model_arguments(dataset)
    # Built on the CPU and moved after, so that a seed gives the same weights on every device.
    with memory_at(0), seeded_wholly(run.seed, "weights"):
        model = build_model(run.model, input_shape=shape, classes=outputs)
        _take_shapes(model, shape, run)
        _initialize_from_data(run, model, dataset)
        layout = layout or usual_layout(model)
        model.to(device=device, memory_format=memory_format(layout))  # type: ignore[call-overload]
    with memory_at(0), seeded_wholly(run.seed, "optimizer"):
        optimizer = build_optimizer(
            run.optimizer,
            model,
            weight_decay=run.weight_decay,
            parameter_groups=run.parameter_groups,
        )
    if compile_step:
        # Imported here, because the compiler takes a second to load.
        from losslab.optimizers.compiled import compiled

        compiled(optimizer)
    scaler = new_scaler(run.precision, device)
    if scaler is not None and isinstance(optimizer, torch.optim.SGD):
        _without_fused_step(optimizer)
    return TrainState(
        model,
        optimizer,
        layout,
        compile_step,
        train_processor_seconds=0.0 if device.type == "cpu" else None,
        scaler=scaler,
        average=new_average(run.average, model),
        plateau=new_plateau(run.plateau),
    )


def _without_fused_step(optimizer: torch.optim.SGD) -> None:
    """Have torch take SGD's operations one by one: fused, its momentum is memory that was never written where the
    first step of fp16 overflows and is left out."""
    optimizer._step_supports_amp_scaling = False
    for group in optimizer.param_groups:
        group["fused"] = None


def _take_shapes(model: nn.Module, shape: tuple[int, ...] | None, run: Run) -> None:
    """Give lazy layers the shapes that they take from a first batch, before an optimizer asks for their weights.

    Raises:
        InvalidInput: when a sample's inputs are no single tensor of floats, so that no batch can be made up.
    """
    tensors = (*model.parameters(), *model.buffers())
    if not any(map(nn.parameter.is_lazy, tensors)):
        return
    if shape is None:
        raise InvalidInput(
            f"`model` (={run.model}) has lazy layers, and the inputs of {run.data.name} are no single tensor; give the "
            "layers their sizes"
        )
    # In evaluation mode: statistics and dropout are those of training alone.
    model.eval()
    with torch.no_grad():
        model(torch.zeros(2, *shape))
    model.train()


def _initialize_from_data(run: Run, model: nn.Module, dataset: Dataset | TaskData) -> None:
    """Let a model that has ``initialize_from`` read its first weights from training images."""
    initialize = getattr(model, "initialize_from", None)
    if initialize is None or not isinstance(dataset, Dataset):
        return
    training, _ = dataset.split(
        validation_fraction=run.data.validation_fraction,
        train_images=run.data.train_images,
    )
    images = on_device(dataset, training[:INITIAL_IMAGES], device=torch.device("cpu"))
    with torch.no_grad():
        initialize(images.batch(torch.arange(len(images)))[0])


def model_arguments(dataset: Dataset | TaskData) -> tuple[tuple[int, ...] | None, int | None]:
    """The shape of a sample's inputs and the number of outputs, as far as the data tells."""
    if isinstance(dataset, TaskData):
        return shape_of_inputs(dataset.train), outputs_for(dataset)
    return dataset.train_images.shape[1:], len(dataset.classes)


def usual_layout(model: nn.Module) -> Layout:
    """Channels last where there are convolutions to gain by it."""
    return (
        "channels_last"
        if any(isinstance(module, nn.Conv2d) for module in model.modules())
        else "contiguous"
    )


def memory_format(layout: Layout) -> torch.memory_format:
    """torch's memory format of a layout."""
    return torch.channels_last if layout == "channels_last" else torch.contiguous_format


@contextmanager
def memory_at(step: int) -> Iterator[None]:
    """Turn an error about memory into OutOfMemory, wherever in a run it is."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch's allocator on a CPU raises a plain RuntimeError; only its text says what it is.
        if isinstance(
            error, MemoryError | torch.OutOfMemoryError
        ) or "can't allocate memory" in str(error):
            raise OutOfMemory(step) from error
        raise
