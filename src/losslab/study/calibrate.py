"""What a kind of run costs here, measured by training it for a moment."""

from collections.abc import Iterator
from statistics import median
from time import perf_counter

import numpy as np
import psutil
import torch

from losslab import data
from losslab.data.batches import on_device
from losslab.spec import Run
from losslab.study.budget import Cost
from losslab.train import evaluate, memory_format, new_state, train

CALIBRATION_SECONDS = 1.5
CALIBRATION_IMAGES = 2000


def calibrate(run: Run) -> Iterator[Cost]:
    """Train a run for a moment on a few images and yield its cost."""
    dataset = data.load(run.data.name)
    began = perf_counter()
    state = new_state(run, dataset)
    small = run.model_copy(update={"steps": 10**6, "epochs": None, "evaluate": "end", "lr": 1e-6})
    seconds: list[float] = []
    marks = [0.0]
    start = None
    for record in train(small, dataset=dataset, state=state, flush_steps=2):
        start = start or perf_counter() - began
        if record.kind == "steps":
            marks.append(state.train_seconds)
            seconds.append((marks[-1] - marks[-2]) / 2)
            if len(seconds) >= 3 and state.train_seconds > CALIBRATION_SECONDS:
                break
    few = np.arange(min(len(dataset.train_labels), CALIBRATION_IMAGES))
    images = on_device(dataset, few, device=torch.device("cpu"), memory_format=memory_format(state.model))
    evaluate(state.model, images)
    clock = perf_counter()
    evaluate(state.model, images)
    image_seconds = (perf_counter() - clock) / len(images)
    yield Cost(median(seconds[1:]), image_seconds, start or 0.0, psutil.Process().memory_info().rss)
