"""How many images the parts of a run have; asked often while planning, so that labels are read once."""

from functools import lru_cache

import numpy as np

from losslab import data
from losslab.data.dataset import Dataset
from losslab.data.task_data import TaskData
from losslab.spec import Run


@lru_cache(maxsize=8)
def load(name: str) -> Dataset | TaskData:
    """The data of a run, read once."""
    return data.load(name)


@lru_cache(maxsize=256)
def _part_sizes(name: str, validation_fraction: float, train_images: int | None) -> tuple[int, int, int]:
    dataset = load(name)
    if isinstance(dataset, TaskData):
        return _own_part_sizes(dataset, validation_fraction, train_images)
    labels = np.array(dataset.train_labels)
    training, validation = data.split(labels, validation_fraction=validation_fraction, train_images=train_images)
    return len(training), len(validation), len(dataset.test_labels)


def _own_part_sizes(dataset: TaskData, validation_fraction: float, train_images: int | None) -> tuple[int, int, int]:
    from losslab.tasks.samples import count_samples, part_positions  # needs torch, which images do not

    training, held_out = part_positions(dataset, validation_fraction=validation_fraction, train_samples=train_images)
    validation = len(held_out)
    if dataset.validation is not None:
        validation = count_samples(dataset.validation, "validation")
    test = 0 if dataset.test is None else count_samples(dataset.test, "test")
    return len(training), validation, test


def part_sizes(run: Run) -> tuple[int, int, int]:
    """How many images the run trains on, validates on and is tested on."""
    return _part_sizes(run.data.name, run.data.validation_fraction, run.data.train_images)


def training_images(run: Run) -> int:
    """How many images the run trains on."""
    return part_sizes(run)[0]
