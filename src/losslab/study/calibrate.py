"""What a kind of run costs here, measured by training it for a moment."""

from collections.abc import Iterator
from statistics import median
from time import perf_counter

import numpy as np
import torch

from losslab import data
from losslab.data.batches import on_device
from losslab.data.dataset import Dataset
from losslab.spec import Run
from losslab.study.costs import Cost
from losslab.study.environment import peak_memory
from losslab.timeline import Timeline
from losslab.training import TrainState, evaluate, memory_format, new_state, prepare, train
from losslab.variant import Variant, is_channels_last, is_compiled, other_layout

CALIBRATION_SECONDS = 0.7
COPIES_SECONDS = 2.0
"""How long a step with copies may take, measured: the more of its copies, the better the prediction of the rest."""
CALIBRATION_IMAGES = 2000


def calibrate(run: Run, variants: tuple[Variant, ...]) -> Iterator[dict[Variant, Cost]]:
    """Train a run for a moment by each variant and yield what it costs; the usual variant of the network comes first.

    Args:
        run: of the kind whose cost is asked for.
        variants: the ones to try; when empty, the usual one and, where there are convolutions, the other layout.
    """
    dataset = data.load(run.data.name)
    if not variants:
        usual = new_state(run, dataset).variant
        variants = (usual, other_layout(usual)) if is_channels_last(usual) else (usual,)
    yield {variant: _cost(run, dataset, variant) for variant in variants}


def _cost(run: Run, dataset: Dataset, variant: Variant) -> Cost:
    """What a run costs, measured at its smallest and largest batch size, then with copies."""
    began = perf_counter()
    state = new_state(run, dataset, variant=variant)
    parts = prepare(run, dataset, variant)
    start_seconds = perf_counter() - began
    timeline = Timeline(run, len(parts.training))
    sizes = timeline.batch_sizes
    timed = {size: time_steps(run, dataset, state, size, 1) for size in sorted({min(sizes), max(sizes)})}
    first_steps = max(first - later for first, later in timed.values())
    start_seconds += first_steps * (len(timeline.part_sizes) if is_compiled(variant) else 1)
    seconds = {size: later for size, (_, later) in timed.items()}
    memory = peak_memory()
    if run.repeats > 1:
        largest = max(sizes)
        copies = min(run.repeats, max(2, int(COPIES_SECONDS / seconds[largest])))
        seconds = {min(sizes): seconds[min(sizes)]}
        seconds[largest * copies] = time_steps(run, dataset, state, largest, copies)[1]
        memory += (peak_memory() - memory) * (run.repeats - 1) // (copies - 1)  # each copy takes as much
    few = np.arange(min(len(dataset.train_labels), CALIBRATION_IMAGES))
    images = on_device(dataset, few, device=torch.device("cpu"), memory_format=memory_format(variant))
    evaluate(state.model, images)
    clock = perf_counter()
    evaluate(state.model, images)
    image_seconds = (perf_counter() - clock) / len(images)
    return Cost(tuple(seconds.items()), image_seconds, start_seconds, max(memory, peak_memory()))


def time_steps(run: Run, dataset: Dataset, state: TrainState, size: int, copies: int) -> tuple[float, float]:
    """The seconds of the first step, and the median of those after it."""
    state.step, state.train_seconds = 0, 0.0
    changes = {"steps": 10**4, "epochs": None, "evaluate": "end", "lr": 1e-6, "batch": size, "repeats": copies}
    seconds: list[float] = []
    for record in train(run.model_copy(update=changes), dataset=dataset, state=state, flush_steps=1):
        if record.kind == "steps":
            seconds.append(state.train_seconds - sum(seconds))
            if len(seconds) >= 3 and state.train_seconds > CALIBRATION_SECONDS:
                break
    return seconds[0], median(seconds[1:])
