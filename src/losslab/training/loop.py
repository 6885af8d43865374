"""The one training loop: a generator of records."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from math import fsum, isfinite
from time import perf_counter, process_time

import torch
from torch import nn
from torch.nn import functional as F

from losslab import augment, data
from losslab.data.batches import Images, on_device
from losslab.data.dataset import Dataset
from losslab.errors import Diverged, InvalidInput, OutOfMemory
from losslab.models import build_model
from losslab.optimizers import at_iterate
from losslab.randomness import epoch_order, generator, seeded
from losslab.records import Evaluation, Final, Record, Start, Steps, is_finite
from losslab.spec import Layout, Run
from losslab.training import distributed
from losslab.training.evaluation import evaluate, penalty, weights_sha256
from losslab.training.timeline import Step, Timeline


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
    optimizer = run.optimizer.build(parameter_groups(model, run.weight_decay), lr=1.0)  # each step sets its own
    processor_seconds = 0.0 if torch.device(device).type == "cpu" else None
    return TrainState(model, optimizer, layout, train_processor_seconds=processor_seconds)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weights that decay (two or more dimensions) and those that do not (biases, normalisation scales)."""
    weights = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, object]] = [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


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


def train(
    run: Run,
    *,
    dataset: Dataset | None = None,
    state: TrainState | None = None,
    device: torch.device | str = "cpu",
    layout: Layout | None = None,
    flush_steps: int = 10,
) -> Iterator[Record]:
    """Train a run and yield what happens: a Start, then Steps and Evaluations as they come, then a Final.

    The clock stands still while the caller handles a record and while evaluating. Losses stay on the device until
    ``flush_steps`` of them, or an evaluation, are due.

    Args:
        run: what to train.
        dataset: its data; loaded by name when absent.
        state: where to go on from; it is updated in place, so that the caller can save it at any record.
        device: where the images, the weights and the work are.
        layout: of images and weights where there is no state; the usual one of the network when absent.
        flush_steps: most steps in one Steps record.
    Raises:
        Diverged: after the Steps record that holds the first loss that is not finite.
        OutOfMemory: when a step, an evaluation or the images do not fit.
    Example:
        >>> from losslab.spec import make_run
        >>> spec = dict(data="fashion-mnist-sample", model="lenet5", optimizer="adam", lr=1e-3, batch=64, steps=2)
        >>> [record.kind for record in train(make_run(spec))]
        ['start', 'steps', 'evaluation', 'final']
    """
    dataset = dataset or data.load(run.data.name)
    state = state or new_state(run, dataset, device, layout)
    parts = prepare(run, dataset, state.layout, device)
    timeline = Timeline(run, len(parts.training))
    if state.step == 0:
        yield _start(state, parts, timeline)
    elif state.window.loss and timeline.is_evaluated(state.step):  # stopped between the last step and its evaluation
        yield _evaluation(state, parts, timeline)
    distributed.check_same("the step to go on from", state.step, device)
    network = distributed.replicated(state.model)
    pending = _Pending(run.repeats)
    orders = _Orders(run.seed, len(parts.training), torch.device(device))
    clock = perf_counter(), process_time()
    for step in timeline.steps(state.step):
        with _told_at_first(step, run, dataset):
            pending.add(step, *_update(run, state, step, parts.training, orders, network=network))
        state.step = step.index + 1
        due = timeline.is_evaluated(state.step)
        if due or len(pending.steps) == flush_steps:
            steps = pending.flush(state, clock)
            yield steps
            _stop_if_diverged(steps)
            if due:
                evaluation = _evaluation(state, parts, timeline)
                yield evaluation
                if not is_finite(evaluation):
                    raise Diverged(step.index, float("nan"))
            clock = perf_counter(), process_time()
    yield _final(run, state, parts)


def _update(
    run: Run, state: TrainState, step: Step, images: Images, orders: "_Orders", *, network: nn.Module
) -> tuple[torch.Tensor, torch.Tensor]:
    """One optimizer step; the mean loss and the number of correct images, copies counted, stay on the device.

    A batch above `max_micro_batch` is accumulated: each part's mean loss counts by its share of the images, so that
    loss and gradient are those of the whole batch (batch-norm statistics aside, which are each part's own). The same
    holds for processes: each has its part, and the mean of the scaled losses is the loss of the batch.
    """
    rank, processes, count = distributed.rank(), distributed.processes(), step.batch_size * run.repeats
    own = len(distributed.share(count))
    left = max(own, 1)
    indices = orders.indices(step)
    loss: list[torch.Tensor] = []
    correct: list[torch.Tensor] = []
    state.model.train()
    state.optimizer.zero_grad()
    purpose = f"step of process {rank}" if rank else "step"
    with memory_at(step.index), seeded(run.seed, purpose, step.index, device=indices.device):
        for pixels, labels in micro_batches(run, images, indices, step.index):
            left -= len(labels)
            counted = min(len(labels), own)  # a process without images of its own works on one that does not count
            with distributed.accumulating(network) if left else nullcontext():
                logits = network(pixels)
                share = F.cross_entropy(logits, labels) * (processes * counted / count)
                share.backward()  # type: ignore[no-untyped-call]
            loss.append(share.detach())
            correct.append((logits.detach().argmax(1) == labels)[:counted].sum())
        for group in state.optimizer.param_groups:
            group["lr"] = step.lr
        state.optimizer.step()
    return torch.stack(loss).sum(), torch.stack(correct).sum()


def micro_batches(
    run: Run, images: Images, indices: torch.Tensor, step: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The images of a step in parts of at most `max_micro_batch`: all of them, then the second copy of all, and so on.

    Every copy is augmented by its own random numbers, drawn for the step as a whole: the parts' size changes no image.
    Where torchrun started several processes, the parts are those of this one's share.
    """
    pipeline = augment.pipeline(run.augment, images.normalization)
    copies = indices.repeat(run.repeats)
    drawn = pipeline.draw(len(copies), images.pixels, generator(run.seed, "augment", step))
    part = distributed.share(len(copies)) or range(1)
    mine = slice(part.start, part.stop)
    most = run.max_micro_batch or len(copies)
    for some, numbers in zip(torch.split(copies[mine], most), torch.split(drawn[mine], most), strict=True):
        yield images.augmented(some, pipeline, numbers)


@contextmanager
def _told_at_first(step: Step, run: Run, dataset: Dataset) -> Iterator[None]:
    """Have a network that cannot take the very first step, which the data does not suit, raise InvalidInput."""
    try:
        yield
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        if step.index:
            raise
        shape, classes = "x".join(map(str, dataset.train_images.shape[1:])), len(dataset.classes)
        raise InvalidInput(
            f"`model` (={run.model}) cannot be trained on `data` (={run.data.name}), whose images are {shape} "
            f"(channels x height x width) in {classes} classes: {type(error).__name__}: {error}"
        ) from error


@contextmanager
def memory_at(step: int) -> Iterator[None]:
    """Have what does not fit into memory raise OutOfMemory, wherever in a run it is."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise OutOfMemory(step) from error
        raise


@dataclass
class _Orders:
    """The shuffled order of the epoch at hand; each epoch's is its own function of the seed."""

    seed: int
    count: int
    device: torch.device
    epoch: int = -1
    order: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    def indices(self, step: Step) -> torch.Tensor:
        if step.epoch != self.epoch:
            self.order = epoch_order(self.count, self.seed, step.epoch).to(self.device)
            self.epoch = step.epoch
        return self.order[step.offset : step.offset + step.batch_size]


@dataclass
class _Pending:
    """Steps whose losses have not been read from the device yet."""

    repeats: int
    steps: list[Step] = field(default_factory=list)
    loss: list[torch.Tensor] = field(default_factory=list)
    correct: list[torch.Tensor] = field(default_factory=list)

    def add(self, step: Step, loss: torch.Tensor, correct: torch.Tensor) -> None:
        self.steps.append(step)
        self.loss.append(loss)
        self.correct.append(correct)

    def flush(self, state: TrainState, began: tuple[float, float]) -> Steps:
        """One record of all pending steps; reading their losses waits for the device, so the clocks are read after."""
        loss = _numbers(distributed.total(torch.stack(self.loss)) / distributed.processes())
        correct = [count / self.repeats for count in distributed.total(torch.stack(self.correct)).tolist()]
        state.spend(perf_counter() - began[0], process_time() - began[1])
        sizes = [step.batch_size for step in self.steps]
        state.window.loss += loss
        state.window.correct += correct
        state.window.batch_size += sizes
        lr = [step.lr for step in self.steps]
        seconds = state.train_seconds, state.train_processor_seconds
        record = Steps(self.steps[0].index, lr, sizes, loss, correct, *seconds)
        self.steps, self.loss, self.correct = [], [], []
        return record


def _numbers(values: torch.Tensor) -> list[float]:
    """The values of a tensor; float32 with no more digits than tell each from its neighbours."""
    if values.dtype == torch.float64:
        return list(values.tolist())
    return [float(f"{value:.9g}") for value in values.tolist()]


def _stop_if_diverged(record: Steps) -> None:
    for place, loss in enumerate(record.loss):
        if not isfinite(loss):
            raise Diverged(record.first_step + place, loss)


def _start(state: TrainState, parts: Parts, timeline: Timeline) -> Start:
    return Start(
        parameters=sum(p.numel() for p in state.model.parameters()),
        weights_sha256=weights_sha256(state.model),
        training_images=len(parts.training),
        validation_images=len(parts.validation),
        test_images=len(parts.test),
        total_steps=timeline.total_steps,
    )


def _evaluation(state: TrainState, parts: Parts, timeline: Timeline) -> Evaluation:
    clock = perf_counter()
    with memory_at(state.step), at_iterate(state.optimizer):
        fit_loss, fit_accuracy = _measured(state.model, parts.fit)
        held_out = _measured(state.model, parts.validation) if len(parts.validation) else (None, None)
        decay = penalty(state.optimizer)
    state.eval_seconds += perf_counter() - clock
    window, state.window = state.window, Window()
    samples = timeline.seen[state.step]
    return Evaluation(
        step=state.step,
        epoch=samples / len(parts.training),
        samples=samples,
        train_loss=window.mean_loss(),
        train_accuracy=window.accuracy(),
        penalty=decay,
        fit_loss=fit_loss,
        fit_accuracy=fit_accuracy,
        validation_loss=held_out[0],
        validation_accuracy=held_out[1],
        train_seconds=state.train_seconds,
        eval_seconds=state.eval_seconds,
        train_processor_seconds=state.train_processor_seconds,
    )


def _final(run: Run, state: TrainState, parts: Parts) -> Final:
    clock = perf_counter()
    with memory_at(state.step), at_iterate(state.optimizer):
        test = _measured(state.model, parts.test) if run.test else (None, None)
        weights = weights_sha256(state.model)
    state.eval_seconds += perf_counter() - clock
    return Final(
        step=state.step,
        weights_sha256=weights,
        test_loss=test[0],
        test_accuracy=test[1],
        train_seconds=state.train_seconds,
        eval_seconds=state.eval_seconds,
        train_processor_seconds=state.train_processor_seconds,
    )


def _measured(model: nn.Module, images: Images) -> tuple[float, float]:
    """Loss and accuracy in the first process, which is the one that writes them; the others wait at the next step."""
    return (0.0, 0.0) if distributed.rank() else evaluate(model, images)
