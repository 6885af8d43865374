"""A picture of a data set: some training images of each class."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from losslab.data.dataset import Dataset
from losslab.errors import InvalidInput
from losslab.plots.files import SUFFIXES
from losslab.plots.images import write_rows

_GAP = 2


def sample_grid(dataset: Dataset, per_class: int) -> NDArray[np.uint8]:
    """Lay out the first training images of each class, a row for each class, on white.

    Returns:
        uint8 array (height, width, 3).
    Example:
        >>> from losslab.data import load
        >>> sample_grid(load("fashion-mnist-sample"), 3).shape
        (300, 90, 3)
    """
    _, height, width = dataset.train_images.shape[1:]
    rows, columns = height + _GAP, width + _GAP
    grid = np.full((len(dataset.classes) * rows, per_class * columns, 3), 255, np.uint8)
    for label in range(len(dataset.classes)):
        indices = np.flatnonzero(dataset.train_labels == label)[:per_class]
        for column, index in enumerate(indices):
            image = dataset.train_images[index].transpose(1, 2, 0)
            cell = grid[label * rows :, column * columns :][:height, :width]
            cell[:] = image  # a grey image is the same in all three channels
    return grid


def write_samples(dataset: Dataset, path: Path, *, per_class: int = 3) -> None:
    """Draw ``per_class`` training images of each class, with the classes' names, to a .png, .svg or .pdf file.

    Raises:
        InvalidInput: when the file's name has another ending.
        OSError: when it cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise InvalidInput(f"--picture (={path}) must end in .png, .svg or .pdf")
    write_rows(sample_grid(dataset, per_class), dataset.classes, dataset.title, path)
