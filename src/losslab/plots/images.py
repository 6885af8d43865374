"""Images in rows, drawn by matplotlib."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DOTS_PER_INCH = 150
ROW, MOST = 0.6, 60.0
"""Height of a row, and of a whole picture at most; inches."""


def write_rows(grid: NDArray[np.uint8], labels: Sequence[str], title: str, path: Path) -> None:
    """Write a picture of rows of images, a label beside each row.

    Args:
        grid: uint8 array (height, width, 3) of all rows, which are equally high.
        labels: of the rows, from top to bottom.
        title: above the picture.
        path: a .png, .svg or .pdf file.
    Raises:
        OSError: when it cannot be written.
    """
    from losslab.plots.canvas import Canvas

    height = min(ROW * len(labels), MOST)  # matplotlib draws at most 65,536 pixels a side
    width = height * grid.shape[1] / grid.shape[0]
    canvas = Canvas(figsize=(width + 1.6, height + 0.6), layout="constrained")
    axes = canvas.subplots()
    axes.imshow(grid, interpolation="nearest")
    middles = (np.arange(len(labels)) + 0.5) * grid.shape[0] / len(labels)
    axes.set_yticks(middles, labels)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize="medium", wrap=True)
    canvas.savefig(path, dpi=DOTS_PER_INCH, bbox_inches="tight")
