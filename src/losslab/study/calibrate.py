"""What a kind of run costs here, measured by training it for a moment."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from statistics import median
from time import perf_counter

import numpy as np
import torch

from losslab import data
from losslab.choice import Choice
from losslab.data.batches import on_device
from losslab.data.dataset import Dataset
from losslab.data.task_data import TaskData
from losslab.process import peak_memory, reset_peak_memory
from losslab.records import Steps
from losslab.spec import Layout, Run
from losslab.study.costs import Cost, at_a_time
from losslab.study.engines.local import worker_age
from losslab.tasks.samples import Parts
from losslab.training.evaluation import evaluate
from losslab.training.loop import train
from losslab.training.state import TrainState, make_task, memory_format, new_state, prepare
from losslab.training.timeline import Timeline

CALIBRATION_SECONDS = 0.7
COPIES_SECONDS = 2.0
"""How long a step with copies may take, measured: the more of its copies, the better the prediction of the rest."""
CALIBRATION_IMAGES = 2000
MOST_STEPS = 10**4
VARIED_SIZES = 96
"""How many of the batch sizes of a run with more than two are taken, from its whole course."""


def calibrate(run: Run, layout: Layout | None, compare: bool) -> Iterator[dict[Layout, Cost]]:
    """Train a run for a moment and yield what it costs.

    Args:
        run: of the kind whose cost is asked for.
        layout: of images and weights; the usual one of the network when absent.
        compare: whether the other layout is measured, too, where there are convolutions.
    """
    dataset = data.load(run.data.name)
    seconds = worker_age()
    first = new_state(run, dataset, layout=layout).layout
    layouts: list[Layout] = [first]
    if compare and first == "channels_last":
        layouts.append("contiguous")
    yield {layout: replace(_cost(run, dataset, layout), worker_seconds=seconds) for layout in layouts}


def _cost(run: Run, dataset: Dataset | TaskData, layout: Layout) -> Cost:
    """What a run costs, measured at its smallest and largest batch size, then with copies."""
    reset_peak_memory()
    began = perf_counter()
    state = new_state(run, dataset, layout=layout)
    parts = prepare(run, dataset, layout)
    start_seconds = perf_counter() - began
    course = Timeline(run, len(parts.training)).batch_sizes
    sizes = sorted(set(course))
    seconds = {size: _time_steps(run, dataset, state, size, 1) for size in {sizes[0]: 0, sizes[-1]: 0}}
    if len(sizes) > 2:
        _take_sizes(course, run, dataset, state)
    image_seconds = _time_evaluation(run, dataset, state, parts)
    cost = Cost(tuple(seconds.items()), image_seconds, start_seconds, peak_memory())
    return _with_copies(cost, run, dataset, state) if run.repeats > 1 else cost


def _time_evaluation(run: Run, dataset: Dataset | TaskData, state: TrainState, parts: Parts) -> float:
    """Seconds of evaluating one sample, by a second pass over some."""
    samples = parts.fit
    if isinstance(dataset, Dataset):
        few = np.arange(min(len(dataset.train_labels), CALIBRATION_IMAGES))
        samples = on_device(dataset, few, device=torch.device("cpu"), memory_format=memory_format(state.layout))
    task = make_task(run)
    evaluate(state.model, samples, task.loss, task.metrics, run.precision)
    began = perf_counter()
    evaluate(state.model, samples, task.loss, task.metrics, run.precision)
    return (perf_counter() - began) / len(samples)


def _take_sizes(course: Sequence[int], run: Run, dataset: Dataset | TaskData, state: TrainState) -> None:
    """A step of some of a run's batch sizes, in their order: what they leave free between them is memory, too."""
    sizes = course[:: -(-len(course) // VARIED_SIZES)]
    fractions = [place / len(sizes) for place in range(1, len(sizes))]
    changes = {"batch": Choice(name="piecewise", values=list(sizes), fractions=fractions), "repeats": 1}
    for _ in islice(_steps(run.model_copy(update=changes), dataset, state, len(sizes)), len(sizes)):
        pass


def _with_copies(cost: Cost, run: Run, dataset: Dataset | TaskData, state: TrainState) -> Cost:
    """The cost of one copy, and of as many more as are quickly measured."""
    (smallest, seconds), (largest, longest) = cost.step_seconds[0], cost.step_seconds[-1]
    copies = min(run.repeats, max(2, int(COPIES_SECONDS / longest)))
    peaks = []
    for count in (1, copies):
        reset_peak_memory()
        step = _time_steps(run, dataset, state, largest, count)
        peaks.append(peak_memory())
    more = at_a_time(run, largest * copies) - at_a_time(run, largest)
    image_bytes = max(0, peaks[1] - peaks[0]) / max(1, more)
    return replace(cost, step_seconds=((smallest, seconds), (largest * copies, step)), image_bytes=image_bytes)


def _time_steps(run: Run, dataset: Dataset | TaskData, state: TrainState, size: int, copies: int) -> float:
    """The median seconds of a step after the first."""
    seconds: list[float] = []
    changes = {"batch": size, "repeats": copies}
    for _ in _steps(run.model_copy(update=changes), dataset, state, MOST_STEPS):
        seconds.append(state.train_seconds - sum(seconds))
        if len(seconds) >= 3 and state.train_seconds > CALIBRATION_SECONDS:
            break
    return median(seconds[1:])


def _steps(run: Run, dataset: Dataset | TaskData, state: TrainState, count: int) -> Iterator[Steps]:
    """The steps of a run of so many, one by one, from the first."""
    state.step, state.train_seconds = 0, 0.0
    changes = {"steps": count, "epochs": None, "evaluate": "end", "lr": 1e-6}
    records = train(run.model_copy(update=changes), dataset=dataset, state=state, flush_steps=1)
    return (record for record in records if isinstance(record, Steps))
