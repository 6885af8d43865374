"""What a data set on this machine holds, with images of it for the page; nothing is fetched for a report."""

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.data import CATALOG, load_images, summary
from losslab.data.loading import stored_path
from losslab.errors import DataCorrupt, DataUnavailable


@dataclass(frozen=True)
class DataFacts:
    """A data set in words, numbers and pictures.

    Attributes:
        summary: what `losslab.data.summary` says.
        samples: class -> its first training images, as addresses that hold the image itself.
    """

    summary: dict[str, Any]
    samples: dict[str, list[str]]


def data_facts(name: str, *, classes: int = 3, images: int = 3) -> DataFacts | None:
    """The facts of a data set of the catalog; None where it is not on this machine.

    Args:
        name: of the data set.
        classes: of how many classes images are shown.
        images: how many of each.
    """
    entry = CATALOG.get(name)
    if entry is None or not stored_path(entry).exists():
        return None
    try:
        dataset = load_images(name)
    except (DataCorrupt, DataUnavailable):
        return None
    firsts = {
        label: dataset.train_images[np.flatnonzero(dataset.train_labels == place)[:images]]
        for place, label in enumerate(dataset.classes[:classes])
    }
    return DataFacts(summary(dataset), {label: [*map(as_png, some)] for label, some in firsts.items()})


def as_png(image: NDArray[np.uint8]) -> str:
    """An image (channel, height, width) as a data address of a PNG.

    Example:
        >>> as_png(np.zeros((1, 2, 2), np.uint8))[:22]
        'data:image/png;base64,'
    """
    from matplotlib.image import imsave

    file = BytesIO()
    rows = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    imsave(file, rows, cmap="gray", vmin=0, vmax=255, format="png")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
