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
from losslab.study.budget import Cost
from losslab.study.environment import peak_memory
from losslab.timeline import Timeline
from losslab.training import TrainState, evaluate, memory_format, new_state, prepare, train

CALIBRATION_SECONDS = 0.7
COPIES_SECONDS = 2.0
"""How long a step with copies may take, measured: the more of its copies, the better the prediction of the rest."""
CALIBRATION_IMAGES = 2000


def calibrate(run: Run) -> Iterator[Cost]:
    """Train a run for a moment at its smallest and largest batch size, then with copies, and yield its cost."""
    dataset = data.load(run.data.name)
    began = perf_counter()
    state = new_state(run, dataset)
    parts = prepare(run, dataset, state.model)
    start_seconds = perf_counter() - began
    sizes = Timeline(run, len(parts.training)).batch_sizes
    seconds = {size: _step_seconds(run, dataset, state, size, 1) for size in sorted({min(sizes), max(sizes)})}
    memory = peak_memory()
    if run.repeats > 1:
        largest = max(sizes)
        copies = min(run.repeats, max(2, int(COPIES_SECONDS / seconds[largest])))
        seconds = {min(sizes): seconds[min(sizes)]}
        seconds[largest * copies] = _step_seconds(run, dataset, state, largest, copies)
        memory += (peak_memory() - memory) * (run.repeats - 1) // (copies - 1)  # each copy takes as much
    few = np.arange(min(len(dataset.train_labels), CALIBRATION_IMAGES))
    images = on_device(dataset, few, device=torch.device("cpu"), memory_format=memory_format(state.model))
    evaluate(state.model, images)
    clock = perf_counter()
    evaluate(state.model, images)
    image_seconds = (perf_counter() - clock) / len(images)
    yield Cost(tuple(seconds.items()), image_seconds, start_seconds, max(memory, peak_memory()))


def _step_seconds(run: Run, dataset: Dataset, state: TrainState, size: int, copies: int) -> float:
    """The median time of a step after the first."""
    state.step, state.train_seconds = 0, 0.0
    changes = {"steps": 10**4, "epochs": None, "evaluate": "end", "lr": 1e-6, "batch": size, "repeats": copies}
    seconds: list[float] = []
    for record in train(run.model_copy(update=changes), dataset=dataset, state=state, flush_steps=1):
        if record.kind == "steps":
            seconds.append(state.train_seconds - sum(seconds))
            if len(seconds) >= 3 and state.train_seconds > CALIBRATION_SECONDS:
                break
    return median(seconds[1:])
