"""How many images the parts of a run have; asked often while planning, so that labels are read once."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from losslab import data
from losslab.spec import Run


@lru_cache(maxsize=8)
def _labels(name: str) -> tuple[NDArray[np.int64], int]:
    dataset = data.load(name)
    return np.array(dataset.train_labels), len(dataset.test_labels)


@lru_cache(maxsize=256)
def _part_sizes(name: str, validation_fraction: float, train_images: int | None) -> tuple[int, int, int]:
    labels, test = _labels(name)
    training, validation = data.split(labels, validation_fraction=validation_fraction, train_images=train_images)
    return len(training), len(validation), test


def part_sizes(run: Run) -> tuple[int, int, int]:
    """How many images the run trains on, validates on and is tested on."""
    return _part_sizes(run.data.name, run.data.validation_fraction, run.data.train_images)


def training_images(run: Run) -> int:
    """How many images the run trains on."""
    return part_sizes(run)[0]
