"""The training loop of runs: a generator of records."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from time import perf_counter, process_time

import torch
from torch import nn

from losslab import data
from losslab.data.batches import Images
from losslab.data.dataset import Dataset
from losslab.errors import Diverged
from losslab.optimizers import at_iterate
from losslab.records import Evaluation, Final, Record, Start, Steps, is_finite
from losslab.spec import Layout, Run
from losslab.training import distributed
from losslab.training.evaluation import evaluate, penalty, weights_sha256
from losslab.training.state import Parts, TrainState, Window, memory_at, new_state, prepare
from losslab.training.step import Orders, explained_at_first, update
from losslab.training.timeline import Step, Timeline


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
    orders = Orders(run.seed, len(parts.training), torch.device(device))
    clock = perf_counter(), process_time()
    for step in timeline.steps(state.step):
        with explained_at_first(step, run, dataset):
            loss, correct = update(run, state, step, parts.training, orders.indices(step), network=network)
        pending.add(step, loss, correct)
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
    """The values of a tensor; float32 values rounded to 9 significant digits, enough to round-trip."""
    if values.dtype == torch.float64:
        return list(values.tolist())
    return [float(f"{value:.9g}") for value in values.tolist()]


def _stop_if_diverged(record: Steps) -> None:
    for step, loss in enumerate(record.loss, record.first_step):
        if not isfinite(loss):
            raise Diverged(step, loss)


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
