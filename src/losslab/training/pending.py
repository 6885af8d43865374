"""What steps leave on the device until it is written: losses, metrics and the seconds that they took."""

from dataclasses import dataclass, field
from time import perf_counter, process_time

import torch

from losslab.records import Steps
from losslab.tasks.metrics import add_sums
from losslab.training import distributed
from losslab.training.state import TrainState
from losslab.training.step import StepResult
from losslab.training.timeline import Step


@dataclass(frozen=True)
class Clock:
    """The moment from which steps are timed, on the wall and on the processor."""

    wall: float = field(default_factory=perf_counter)
    processor: float = field(default_factory=process_time)


@dataclass
class Pending:
    """Steps whose results have not been read from the device yet."""

    repeats: int
    counts_correct: bool
    """Whether records hold how many samples of each step were classified correctly."""
    steps: list[Step] = field(default_factory=list)
    results: list[StepResult] = field(default_factory=list)

    def add(self, step: Step, result: StepResult) -> None:
        """Take in a step."""
        self.steps.append(step)
        self.results.append(result)

    def flush(self, state: TrainState, began: Clock) -> Steps:
        """Record all pending steps; reading their results waits for the device, so clocks are read after."""
        # Each process's loss is multiplied by their number (see Stepper), so that the mean of these is the batch's.
        losses = distributed.total(torch.stack([result.loss for result in self.results]))
        loss = _numbers(losses / distributed.processes())
        sums = {name: self._total(name) for name in self.results[0].sums}
        weights = [result.weight for result in self.results if result.weight is not None]
        norm = self.results[-1].gradient_norm
        gradient_norm = None if norm is None else _numbers(norm.reshape(1))[0]
        items = torch.stack(weights).double().tolist() if weights else []
        state.spend(perf_counter() - began.wall, process_time() - began.processor)
        sizes = [step.batch_size for step in self.steps]
        correct: list[float] = []
        # M copies of an image count as one: a record's `correct / batch_size` is the accuracy whatever M is.
        if self.counts_correct and "accuracy" in sums:
            correct = [count / self.repeats for count, _ in sums.pop("accuracy")]
        window = state.window
        # A window may have begun, before a checkpoint, with steps whose means were over samples.
        if items and not window.weight:
            window.weight += self._samples(window.batch_size)
        if window.weight and not items:
            items = self._samples(sizes)
        window.loss += loss
        window.correct += correct
        window.batch_size += sizes
        window.weight += items
        for name, values in sums.items():
            for value in values:
                add_sums(window.sums, {name: value})
        record = Steps(
            first_step=self.steps[0].index,
            lr=[step.lr for step in self.steps],
            batch_size=sizes,
            loss=loss,
            correct=correct,
            train_seconds=state.train_seconds,
            train_processor_seconds=state.train_processor_seconds,
            gradient_norm=gradient_norm,
        )
        self.steps, self.results = [], []
        return record

    def _samples(self, sizes: list[int]) -> list[float]:
        """What the means of steps are over, copies included, where they are over samples."""
        return [float(size * self.repeats) for size in sizes]

    def _total(self, name: str) -> list[list[float]]:
        """The sums of a metric at each step, over all processes."""
        total: list[list[float]] = distributed.total(
            torch.stack([result.sums[name] for result in self.results])
        ).tolist()
        return total


def _numbers(values: torch.Tensor) -> list[float]:
    """The values of a tensor; float32 values rounded to 9 significant digits, enough to round-trip."""
    if values.dtype == torch.float64:
        return list(values.tolist())
    return [float(f"{value:.9g}") for value in values.tolist()]
