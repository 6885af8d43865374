"""Measure what a kind of run costs here by training it for a moment."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from statistics import median
from time import perf_counter

import numpy as np

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
from losslab.training.step import device_of
from losslab.training.timeline import Timeline

# Paid for every kind of run before a study starts, so no longer than a median of several steps needs.
CALIBRATION_SECONDS = 0.7
COPIES_SECONDS = 2.0
"""How long a step with copies may take, measured: the more of its copies, the better the prediction of the rest."""
# Two batches of an evaluation, so that its seconds an image are those of full batches.
CALIBRATION_IMAGES = 2000
# A run must have a length; the clock ends the measurement long before this one.
MOST_STEPS = 10**4
VARIED_SIZES = 96
"""How many of the batch sizes of a run with more than two are taken, from its whole course."""


def calibrate(
    run: Run, layout: Layout | None, compare: bool, *, device: str = "cpu"
) -> Iterator[dict[Layout, Cost]]:
    """Train a run for a moment and yield what it costs.

    Args:
        run: one of the kind whose cost is measured.
        layout: of images and weights; the usual one of the network when absent.
        compare: whether the other layout is measured, too, where there are convolutions.
        device: where to train.
    """
    dataset = data.load(run.data.name)
    seconds = worker_age()
    first = new_state(run, dataset, device, layout).layout
    layouts: list[Layout] = [first]
    if compare and first == "channels_last":
        layouts.append("contiguous")
    yield {
        layout: replace(_cost(run, dataset, layout, device), worker_seconds=seconds)
        for layout in layouts
    }


def _cost(run: Run, dataset: Dataset | TaskData, layout: Layout, device: str) -> Cost:
    """Measure the cost of a run at its smallest and largest batch size, then with copies."""
    reset_peak_memory(device)
    began = perf_counter()
    state = new_state(run, dataset, device, layout)
    parts = prepare(run, dataset, layout, device)
    start_seconds = perf_counter() - began
    course = Timeline(run, len(parts.training)).batch_sizes
    sizes = sorted(set(course))
    # The cost of a step lies on the line through these two; a constant batch size has one point and no slope.
    # The largest first: it is the run's own where that is a number, and what is wrong with a run is said of it.
    extremes = dict.fromkeys((sizes[-1], sizes[0]))
    seconds = {size: _time_steps(run, dataset, state, size, 1) for size in extremes}
    if len(sizes) > 2:
        _take_sizes(course, run, dataset, state)
    image_seconds = _time_evaluation(run, dataset, state, parts)
    points = tuple(sorted(seconds.items()))
    cost = Cost(points, image_seconds, start_seconds, peak_memory(device))
    return _with_copies(cost, run, dataset, state) if run.repeats > 1 else cost


def _time_evaluation(
    run: Run, dataset: Dataset | TaskData, state: TrainState, parts: Parts
) -> float:
    """Time the evaluation of one sample, in seconds, by a second pass over some."""
    samples = parts.fit
    if isinstance(dataset, Dataset):
        few = np.arange(min(len(dataset.train_labels), CALIBRATION_IMAGES))
        samples = on_device(
            dataset,
            few,
            device=device_of(state.model),
            memory_format=memory_format(state.layout),
        )
    task = make_task(run)
    # The first pass allocates and prepares the operations that every later evaluation of a run reuses.
    evaluate(state.model, samples, task.loss, task.metrics, run.precision)
    began = perf_counter()
    evaluate(state.model, samples, task.loss, task.metrics, run.precision)
    return (perf_counter() - began) / len(samples)


def _take_sizes(
    course: Sequence[int], run: Run, dataset: Dataset | TaskData, state: TrainState
) -> None:
    """Do a step at some of a run's batch sizes, in order: the memory that is left free between sizes counts, too."""
    stride = -(-len(course) // VARIED_SIZES)
    sizes = course[::stride]
    boundaries = [index / len(sizes) for index in range(1, len(sizes))]
    batch = Choice(name="piecewise", values=list(sizes), fractions=boundaries)
    steps = _steps(
        run.model_copy(update={"batch": batch, "repeats": 1}), dataset, state, len(sizes)
    )
    for _ in islice(steps, len(sizes)):
        pass


def _with_copies(cost: Cost, run: Run, dataset: Dataset | TaskData, state: TrainState) -> Cost:
    """Add to a cost what copies of images take, measured at as many as are quick."""
    (smallest, seconds), (largest, longest) = cost.step_seconds[0], cost.step_seconds[-1]
    copies = min(run.repeats, max(2, int(COPIES_SECONDS / longest)))
    peaks = []
    device = device_of(state.model)
    for count in (1, copies):
        reset_peak_memory(device)
        step_seconds = _time_steps(run, dataset, state, largest, count)
        peaks.append(peak_memory(device))
    # Only images in memory together add to the peak: `max_micro_batch` bounds them, whatever the number of copies.
    added_images = at_a_time(run, largest * copies) - at_a_time(run, largest)
    image_bytes = max(0, peaks[1] - peaks[0]) / max(1, added_images)
    line = ((smallest, seconds), (largest * copies, step_seconds))
    return replace(cost, step_seconds=line, image_bytes=image_bytes)


def _time_steps(
    run: Run, dataset: Dataset | TaskData, state: TrainState, size: int, copies: int
) -> float:
    """Time a step: the median, in seconds, of those after the first."""
    seconds: list[float] = []
    changes = {"batch": size, "repeats": copies}
    for _ in _steps(run.model_copy(update=changes), dataset, state, MOST_STEPS):
        # The state adds up the seconds of all steps; what is new in it is the last one's.
        seconds.append(state.train_seconds - sum(seconds))
        if len(seconds) >= 3 and state.train_seconds > CALIBRATION_SECONDS:
            break
    # The first step allocates what later ones reuse; a median ignores those that other work interrupts.
    return median(seconds[1:])


def _steps(
    run: Run, dataset: Dataset | TaskData, state: TrainState, count: int
) -> Iterator[Steps]:
    """The first steps of a run that is ``count`` steps long, one by one."""
    state.step, state.train_seconds = 0, 0.0
    # A tiny rate takes as long as the run's own and cannot diverge, which would end the measurement.
    changes = {"steps": count, "epochs": None, "evaluate": "end", "lr": 1e-6}
    records = train(
        run.model_copy(update=changes),
        dataset=dataset,
        state=state,
        device=device_of(state.model),
        flush_steps=1,
    )
    return (record for record in records if isinstance(record, Steps))
