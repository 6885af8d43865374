"""The training loop of runs: a generator of records."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from time import perf_counter

import torch

from losslab import data
from losslab.choice import is_factory
from losslab.data.batches import Images
from losslab.data.dataset import Dataset
from losslab.data.task_data import TaskData
from losslab.errors import Diverged, InvalidInput
from losslab.optimizers import at_iterate
from losslab.randomness import seeded, seeded_wholly
from losslab.records import Evaluation, Final, Record, Start, Steps, is_finite
from losslab.spec import Layout, Run
from losslab.tasks.class_targets import on_data
from losslab.tasks.losses import Judged
from losslab.tasks.samples import Parts, SomeSamples, advice_on_types, describe
from losslab.training import distributed, single_sample
from losslab.training.evaluation import (
    Scores,
    evaluate,
    metric_values,
    penalty,
    sums_of,
    weights_sha256,
)
from losslab.training.feed import feed
from losslab.training.parts import prepare
from losslab.training.pending import Clock, Pending
from losslab.training.rates import rates_of
from losslab.training.state import Task, TrainState, Window, make_task, memory_at, new_state
from losslab.training.step import Stepper, device_of
from losslab.training.timeline import Step, Timeline


def train(
    run: Run,
    *,
    dataset: Dataset | TaskData | None = None,
    state: TrainState | None = None,
    device: torch.device | str = "cpu",
    layout: Layout | None = None,
    compile_step: bool = False,
    data_workers: int = 0,
    flush_steps: int = 10,
) -> Iterator[Record]:
    """Train a run and yield its records: a Start, then Steps and Evaluations as they come, then a Final.

    The clock stands still while the caller handles a record and while evaluating. Losses stay on the device until
    ``flush_steps`` of them, or an evaluation, are due.

    Args:
        run: what to train.
        dataset: its data; loaded by name when absent.
        state: where to go on from; it is updated in place, so that the caller can save it at any record.
        device: where the samples, the weights and the work are.
        layout: of images and weights where there is no state; the usual one of the network when absent.
        compile_step: whether to compile the optimizer's step where there is no state.
        data_workers: processes that read samples of a map-style dataset; they change no record.
        flush_steps: most steps in one Steps record.
    Raises:
        TypeError: when it is no Run.
        InvalidInput: when network or loss do not suit the data, or a step comes to a single sample that batch norm
            cannot take.
        Diverged: after the Steps record that holds the first loss that is not finite.
        OutOfMemory: when a step, an evaluation or the samples do not fit.
    Example:
        >>> from losslab.spec import make_run
        >>> spec = dict(data="fashion-mnist-sample", model="lenet5", optimizer="adam", lr=1e-3, batch=64, steps=2)
        >>> [record.kind for record in train(make_run(spec))]
        ['start', 'steps', 'evaluation', 'final']
    """
    if not isinstance(run, Run):
        raise TypeError(
            f"`run` is a {type(run).__name__}; give a losslab.Run, which losslab.spec.make_run(fields) makes"
        )
    dataset = data.load(run.data.name) if dataset is None else dataset
    if state is None:
        state = new_state(run, dataset, device, layout, compile_step)
    parts = prepare(run, dataset, state.layout, device, data_workers)
    task = make_task(run)
    with memory_at(0):
        task = replace(task, loss=on_data(task.loss, parts, is_tested=run.test))
    session = _Session(run, dataset, state, parts, task, Timeline(run, len(parts.training)))
    # Before anything else that waits for all processes.
    distributed.check_same("the step to go on from", state.step, device)
    if state.step == 0:
        yield session.start()
    elif state.window.loss and session.timeline.is_evaluated(state.step):
        yield from session.evaluated()  # stopped between the last step and its evaluation
    with single_sample.refused(run, state.model, len(parts.training), state.step):
        yield from session.steps(torch.device(device), flush_steps)
    yield session.final()


@dataclass(frozen=True)
class _Session:
    """A run at work: what it is, what it is trained and judged on, and its state, which changes."""

    run: Run
    dataset: Dataset | TaskData
    state: TrainState
    parts: Parts
    task: Task
    timeline: Timeline

    def start(self) -> Start:
        """The first record: sizes of the model and the data."""
        return Start(
            parameters=sum(p.numel() for p in self.state.model.parameters()),
            weights_sha256=weights_sha256(self.state.model),
            training_images=len(self.parts.training),
            validation_images=_count(self.parts.validation),
            test_images=_count(self.parts.test),
            total_steps=self.timeline.total_steps,
        )

    def steps(self, device: torch.device, flush_steps: int) -> Iterator[Record]:
        """Train to the end and yield the records of steps and evaluations as they come."""
        run, state = self.run, self.state
        stepper = self._stepper()
        rates = rates_of(state.optimizer, self.timeline)
        pending = Pending(run.repeats, counts_correct=isinstance(self.parts.training, Images))
        clock = Clock()
        for step, parts in feed(run, self.parts.training, self.timeline, state.step, device):
            # The timeline knows no feedback, so that it can be laid out before anything trains.
            factor = 1.0 if state.plateau is None else state.plateau.value
            due = self.timeline.is_evaluated(step.index + 1)
            # Known before the step, because the gradient's norm is taken in the last one of a record alone.
            flushing = due or len(pending.steps) + 1 == flush_steps
            with (
                _explained_at_first(step, run, self.dataset),
                memory_at(step.index),
                _drawn_for(run, step, device),
            ):
                state.model.train()
                rates.set(step, factor)
                result = stepper.step(parts, step.batch_size * run.repeats, with_norm=flushing)
                if state.average is not None:
                    state.average.update(
                        state.model,
                        state.optimizer,
                        step=step.index,
                        total_steps=self.timeline.total_steps,
                    )
            pending.add(replace(step, lr=step.lr * factor), result)
            state.step = step.index + 1
            if flushing:
                steps = pending.flush(state, clock)
                yield steps
                _stop_if_diverged(steps)
                if due:
                    yield from self.evaluated()
                # The caller has had the record since, and its time is not the run's.
                clock = Clock()

    def _stepper(self) -> Stepper:
        def measure(judged: Judged, samples: int) -> dict[str, torch.Tensor]:
            return sums_of(self.task.metrics, judged, samples)

        return Stepper(
            distributed.replicated(self.state.model),
            self.state.optimizer,
            self.task.loss,
            measure,
            precision=self.run.precision,
            clip_norm=self.run.clip_norm,
            scaler=self.state.scaler,
        )

    def evaluated(self) -> Iterator[Evaluation]:
        """Yield the evaluation that is due; one that is not finite ends the run."""
        evaluation = self.evaluation()
        yield evaluation
        if not is_finite(evaluation):
            raise Diverged(self.state.step, float("nan"))

    def evaluation(self) -> Evaluation:
        """Measure the state, and end the window of steps that its training loss is over."""
        began = perf_counter()
        state, metrics = self.state, self.task.metrics
        with self._judging(), at_iterate(state.optimizer):
            fit = self._measured(self.parts.fit)
            validation = self._scores(self.parts.validation)
            decay = penalty(state.optimizer)
        averaged = self._averaged("validation", self.parts.validation)
        state.eval_seconds += perf_counter() - began
        window, state.window = state.window, Window()
        train_loss = window.mean_loss()
        if state.plateau is not None:
            judged = train_loss if validation is None else self._of_first(validation.loss)
            state.plateau.update(judged)
        # The accuracy of images is kept by step, as their records have it; other metrics have sums.
        by_step = {"accuracy"} if window.correct else set()
        summed = {name: metric for name, metric in metrics.items() if name not in by_step}
        trained: dict[str, float | None] = dict(metric_values(summed, window.sums, train_loss))
        if by_step:
            trained["accuracy"] = window.accuracy()
        samples = self.timeline.seen[state.step]
        return Evaluation(
            step=state.step,
            epoch=samples / len(self.parts.training),
            samples=samples,
            train_loss=train_loss,
            train_accuracy=trained.get("accuracy"),
            penalty=decay,
            fit_loss=fit.loss,
            fit_accuracy=fit.metrics.get("accuracy"),
            validation_loss=None if validation is None else validation.loss,
            validation_accuracy=None
            if validation is None
            else validation.metrics.get("accuracy"),
            train_seconds=state.train_seconds,
            eval_seconds=state.eval_seconds,
            train_processor_seconds=state.train_processor_seconds,
            metrics=_others(
                {"train": trained, "fit": fit.metrics, "validation": _metrics(validation)},
                averaged,
            ),
        )

    def final(self) -> Final:
        """The last record; the test set is read here and nowhere else."""
        began = perf_counter()
        state = self.state
        tested = self.parts.test if self.run.test else None
        with self._judging(), at_iterate(state.optimizer):
            test = self._scores(tested)
            weights = weights_sha256(state.model)
        averaged = self._averaged("test", tested)
        state.eval_seconds += perf_counter() - began
        return Final(
            step=state.step,
            weights_sha256=weights,
            test_loss=None if test is None else test.loss,
            test_accuracy=None if test is None else test.metrics.get("accuracy"),
            train_seconds=state.train_seconds,
            eval_seconds=state.eval_seconds,
            train_processor_seconds=state.train_processor_seconds,
            metrics=_others({"test": _metrics(test)}, averaged),
        )

    @contextmanager
    def _judging(self) -> Iterator[None]:
        """Seed what model and loss draw in an evaluation; an error about memory becomes OutOfMemory."""
        device = device_of(self.state.model)
        with (
            memory_at(self.state.step),
            seeded_wholly(self.run.seed, "evaluation", self.state.step, device),
        ):
            yield

    def _scores(self, samples: SomeSamples | None) -> Scores | None:
        """The scores of samples, where there are any."""
        return None if samples is None else self._measured(samples)

    def _measured(self, samples: SomeSamples) -> Scores:
        """Measure in the first process, which writes the records; the others wait at the next step."""
        if distributed.rank():
            return Scores(0.0, {})
        return evaluate(
            self.state.model, samples, self.task.loss, self.task.metrics, self.run.precision
        )

    def _of_first(self, loss: float) -> float:
        """The loss that the first process measured; that of the others is 0, as `_measured` has it."""
        if distributed.processes() == 1:
            return loss
        # In float64, so that one process and several judge by the same bits.
        device = next(self.state.model.parameters()).device
        shared = torch.tensor([loss], dtype=torch.float64, device=device)
        return float(distributed.total(shared))

    def _averaged(self, part: str, samples: SomeSamples | None) -> dict[str, float]:
        """The scores of the average of the weights, once it holds any."""
        average = self.state.average
        if average is None or not average.count or samples is None:
            return {}
        with self._judging(), average.in_place_of(self.state.model):
            scores = self._measured(samples)
        metrics = {f"averaged_{part}_{name}": value for name, value in scores.metrics.items()}
        return {f"averaged_{part}_loss": scores.loss} | metrics


def _count(samples: SomeSamples | None) -> int:
    return 0 if samples is None else len(samples)


def _metrics(scores: Scores | None) -> Mapping[str, float]:
    return {} if scores is None else scores.metrics


def _others(
    parts: Mapping[str, Mapping[str, float | None]], averaged: Mapping[str, float]
) -> dict[str, float | None] | None:
    """All metrics but accuracy, which has fields of its own, by part and name; None where there are none."""
    numbers: dict[str, float | None] = {}
    for part, metrics in parts.items():
        numbers |= {
            f"{part}_{name}": value for name, value in metrics.items() if name != "accuracy"
        }
    numbers |= averaged
    return numbers or None


def _drawn_for(run: Run, step: Step, device: torch.device) -> AbstractContextManager[None]:
    """Make what layers such as dropout draw within the context a function of seed, step and process."""
    rank = distributed.rank()
    # The first process draws as a single one does, so that records of runs before torchrun stay as they were.
    purpose = f"step of process {rank}" if rank else "step"
    # Ours draw from torch alone, and numpy's state takes as long to set as a small step's update.
    parts = [run.model, run.loss, run.optimizer, *(run.metrics or ())]
    draws = seeded_wholly if any(is_factory(part.name) for part in parts) else seeded
    return draws(run.seed, purpose, step.index, device=device)


@contextmanager
def _explained_at_first(step: Step, run: Run, dataset: Dataset | TaskData) -> Iterator[None]:
    """Turn an error in the first step into InvalidInput: the model, the loss and the data do not fit."""
    try:
        yield
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        # A model that has taken a step fits its data: a later error is a fault, and its own message is the best.
        if step.index:
            raise
        raise InvalidInput(
            f"`model` (={run.model}) cannot be trained on `data` (={run.data.name}), whose {_form(dataset)}: "
            f"{type(error).__name__}: {error}{advice_on_types(str(error))}"
        ) from error


def _form(dataset: Dataset | TaskData) -> str:
    if isinstance(dataset, TaskData):
        return f"training part is {describe(dataset)}"
    shape = "x".join(map(str, dataset.train_images.shape[1:]))
    return f"images are {shape} (channels x height x width) in {len(dataset.classes)} classes"


def _stop_if_diverged(record: Steps) -> None:
    for step, loss in enumerate(record.loss, record.first_step):
        if not isfinite(loss):
            raise Diverged(step, loss)
