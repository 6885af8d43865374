"""Measure what a kind of run costs here by training it for a moment."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from statistics import median
from time import perf_counter

import numpy as np

from losslab.choice import Choice
from losslab.data.batches import on_device
from losslab.data.dataset import Dataset
from losslab.data.task_data import TaskData
from losslab.machine.memory import peak_memory, reset_peak_memory
from losslab.records import Steps
from losslab.spec import Layout, Run
from losslab.study.costs import MARGIN, Cost, at_a_time
from losslab.study.engines.local import worker_age
from losslab.study.sizes import load, training_images
from losslab.tasks.samples import Parts
from losslab.training.evaluation import EVALUATION_IMAGES, evaluate
from losslab.training.loop import train
from losslab.training.parts import prepare
from losslab.training.single_sample import has_single_sample
from losslab.training.state import TrainState, make_task, memory_format, new_state
from losslab.training.step import device_of
from losslab.training.timeline import Timeline

# Paid for every kind of run before a study starts, so no longer than a median of several steps needs.
CALIBRATION_SECONDS = 0.5
COPIES_SECONDS = 0.5
"""How long a step with copies may take, measured: the more of its copies, the better the prediction of the rest.

Where two copies take longer, none are measured: in so long a step every image costs the same.
"""
LONG_SECONDS = 1.0
"""A step that takes longer is timed once: what a first step allocates is little beside it."""
FEWEST_IMAGES = 8
"""Of a batch that a small step goes before; a quarter of fewer is one image, which batch norm may refuse."""
FORWARD_SHARE = 1 / 3
"""What of a training step its forward pass is, about: how long an evaluation will take."""
# A run must have a length; the clock ends the measurement long before this one.
MOST_STEPS = 10**4
VARIED_SIZES = 96
"""How many of the batch sizes of a run with more than two are taken, from its whole course."""


def calibrate(
    run: Run,
    layout: Layout | None,
    compare: bool,
    compile_step: bool = False,
    *,
    device: str = "cpu",
) -> Iterator[dict[Layout, Cost]]:
    """Train a run for a moment and yield what it costs.

    Args:
        run: one of the kind whose cost is measured.
        layout: of images and weights; the usual one of the network when absent.
        compare: whether the other layout is measured, too, where there are convolutions.
        compile_step: whether to compile the optimizer's step.
        device: where to train.
    """
    dataset = load(run.data.name)
    seconds = worker_age()
    start = partial(_start, run, dataset, compile_step=compile_step, device=device)
    first, cost = start(layout).finish()
    costs = {first: cost}
    if compare and first == "channels_last":
        other = start("contiguous")
        # A layout that will not be used needs no evaluation and no copies.
        if other.longest_step < (1 - MARGIN) * cost.of_step(other.most_images):
            costs |= [other.finish()]
    yield {layout: replace(cost, worker_seconds=seconds) for layout, cost in costs.items()}


@dataclass(frozen=True)
class _Calibration:
    """A run whose steps have been timed: what of its cost is known by then.

    Attributes:
        course: the batch size of every step.
        step_seconds: (images, seconds) of a step at its smallest and its largest size.
        start_bytes: the most memory that building the network and bringing the data to the device took.
        few_images: of a first, small step; 0 where there was none.
        few_bytes: the most memory that this step took.
        step_bytes: the most that all steps took.
    """

    run: Run
    dataset: Dataset | TaskData
    state: TrainState
    parts: Parts
    course: Sequence[int]
    start_seconds: float
    step_seconds: tuple[tuple[int, float], ...]
    start_bytes: int
    few_images: int
    few_bytes: int
    step_bytes: int

    @property
    def most_images(self) -> int:
        """Of a step, copies not counted."""
        return self.step_seconds[-1][0]

    @property
    def longest_step(self) -> float:
        """Seconds of a step on them."""
        return self.step_seconds[-1][1]

    def finish(self) -> tuple[Layout, Cost]:
        """Measure the rest: evaluation, sizes in between and copies."""
        if len(set(self.course)) > 2:
            _take_sizes(self.course, self.run, self.dataset, self.state)
        image_seconds = self._time_evaluation()
        memory = max(self.start_bytes, peak_memory(device_of(self.state.model)))
        cost = Cost(self.step_seconds, image_seconds, self.start_seconds, memory)
        if self.run.repeats > 1:
            cost = self._with_copies(cost)
        return self.state.layout, cost

    def _with_copies(self, cost: Cost) -> Cost:
        """Add to a cost what copies of images take, measured at as many as are quick."""
        run, device = self.run, device_of(self.state.model)
        (smallest, seconds), *_ = cost.step_seconds
        copies = min(run.repeats, int(COPIES_SECONDS / self.longest_step))
        if copies < 2:
            images_more = at_a_time(run, self.most_images) - at_a_time(run, self.few_images)
            bytes_more = max(0, self.step_bytes - self.few_bytes)
            return replace(cost, image_bytes=bytes_more / max(1, images_more))
        images = self.most_images * copies
        reset_peak_memory(device)
        longest = _time_steps(run, self.dataset, self.state, self.most_images, copies)
        # Only images in memory together add to the peak: `max_micro_batch` bounds them, whatever the number of copies.
        added_images = at_a_time(run, images) - at_a_time(run, self.most_images)
        added_bytes = max(0, peak_memory(device) - self.step_bytes)
        line = ((smallest, seconds), (images, longest))
        return replace(cost, step_seconds=line, image_bytes=added_bytes / max(1, added_images))

    def _time_evaluation(self) -> float:
        """Time the evaluation of one sample, in seconds; by a part of a batch where images take long."""
        run, state = self.run, self.state
        samples = self.parts.fit
        if isinstance(self.dataset, Dataset):
            image_seconds = FORWARD_SHARE * self.longest_step / self.most_images
            quick = max(1, int(CALIBRATION_SECONDS / image_seconds))
            few = np.arange(min(len(self.dataset.train_labels), EVALUATION_IMAGES, quick))
            samples = on_device(
                self.dataset,
                few,
                device=device_of(state.model),
                memory_format=memory_format(state.layout),
            )
        task = make_task(run)
        measure = partial(
            evaluate, state.model, samples, task.loss, task.metrics, run.precision
        )
        seconds = _seconds_of(measure)
        # The first pass prepares the operations that every later evaluation reuses: a small part of a long one.
        if seconds < CALIBRATION_SECONDS / 2:
            seconds = _seconds_of(measure)
        return seconds / len(samples)


def _start(
    run: Run,
    dataset: Dataset | TaskData,
    layout: Layout | None,
    *,
    compile_step: bool,
    device: str,
) -> _Calibration:
    """Build a run and time its steps at its smallest and largest batch size."""
    reset_peak_memory(device)
    if compile_step:
        # Ahead of the clock: later workers find the compiled code in torch's cache, and pay for each rule once.
        new_state(run, dataset, device, layout, compile_step)
    began = perf_counter()
    state = new_state(run, dataset, device, layout, compile_step)
    parts = prepare(run, dataset, state.layout, device)
    start_seconds = perf_counter() - began
    start_bytes = peak_memory(device)
    reset_peak_memory(device)
    course = Timeline(run, len(parts.training)).batch_sizes
    sizes = sorted(set(course))
    # Allocates what a long step reuses, which is then timed once; and shows what an image holds of memory.
    few = _few_images(run, sizes[-1])
    if few:
        next(_steps(run.model_copy(update={"batch": few, "repeats": 1}), dataset, state, 1))
    few_bytes = peak_memory(device)
    # The cost of a step lies on the line through these two. Of a constant size the last step of an epoch alone is
    # shorter, which is not worth a measurement.
    extremes = [sizes[-1]] if isinstance(run.batch, int) else [sizes[0], sizes[-1]]
    seconds = {size: _time_steps(run, dataset, state, size, 1) for size in extremes}
    return _Calibration(
        run,
        dataset,
        state,
        parts,
        course,
        start_seconds,
        tuple(seconds.items()),
        start_bytes,
        few,
        few_bytes,
        peak_memory(device),
    )


def _seconds_of(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


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


def _few_images(run: Run, images: int) -> int:
    """A quarter of a batch, in whole parts of it; 0 where that is hardly a step."""
    few = images // 4 if images >= FEWEST_IMAGES else 0
    part = run.max_micro_batch or few
    return few - few % part if few > part else few


def _time_steps(
    run: Run, dataset: Dataset | TaskData, state: TrainState, size: int, copies: int
) -> float:
    """Time a step, in seconds: the median of those after the first, or a long one alone."""
    seconds: list[float] = []
    changes = {"batch": size, "repeats": copies}
    images = training_images(run)
    whole, left = divmod(images, size)
    own_sizes = set(Timeline(run, images).batch_sizes)
    # A single image at the end of an epoch refuses all steps before it, even where the run itself never comes to it.
    stops_before = left == 1 and not any(has_single_sample(run, each) for each in own_sizes)
    most = max(1, whole) if stops_before else MOST_STEPS
    steps = _steps(run.model_copy(update=changes), dataset, state, most)
    for _ in islice(steps, most):
        # The state adds up the seconds of all steps; what is new in it is the last one's.
        seconds.append(state.train_seconds - sum(seconds))
        if seconds[0] > LONG_SECONDS:
            return seconds[0]
        if len(seconds) >= 2 and state.train_seconds > CALIBRATION_SECONDS:
            break
    # The first step allocates what later ones reuse; a median ignores those that other work interrupts.
    return median(seconds[1:] or seconds)


def _steps(
    run: Run, dataset: Dataset | TaskData, state: TrainState, count: int
) -> Iterator[Steps]:
    """The first steps of a run that is ``count`` steps long, one by one."""
    state.step, state.train_seconds = 0, 0.0
    # A tiny rate takes as long as the run's own and cannot diverge, which would end the measurement.
    changes: dict[str, object] = {"steps": count, "epochs": None, "evaluate": "end"}
    changes |= {"lr": 1e-6, "momentum": None}
    for group in state.optimizer.param_groups:
        group.pop("lr_policy", None)  # a group's own rate, which may not fit into so few steps
    records = train(
        run.model_copy(update=changes),
        dataset=dataset,
        state=state,
        device=device_of(state.model),
        flush_steps=1,
    )
    return (record for record in records if isinstance(record, Steps))
