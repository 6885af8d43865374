"""A picture of a data set: some training images of each class."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from losslab.data.dataset import Dataset
from losslab.errors import InvalidInput

_GAP = 2


def sample_grid(dataset: Dataset, per_class: int) -> NDArray[np.uint8]:
    """The first training images of each class, a row for each class, on white.

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
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise InvalidInput(f"--picture (={path}) must end in .png, .svg or .pdf")
    from matplotlib.figure import Figure

    grid = sample_grid(dataset, per_class)
    rows = len(dataset.classes)
    size = min(0.6 * rows, 60.0)
    figure = Figure(figsize=(size * grid.shape[1] / grid.shape[0] + 1.6, size + 0.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(grid, interpolation="nearest")
    axes.set_yticks((np.arange(rows) + 0.5) * grid.shape[0] / rows, dataset.classes)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(dataset.title, fontsize="medium", wrap=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
