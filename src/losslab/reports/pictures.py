"""Images of a data set on this machine for the page; nothing is fetched for a report."""

from base64 import b64encode
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from losslab.data.loading import load_stored


def sample_images(name: str, *, classes: int = 3, images: int = 3) -> dict[str, list[str]]:
    """Class -> its first training images, as addresses that hold the image itself; empty where the set is not here.

    Args:
        name: of a data set of the catalog; nothing is fetched.
        classes: of how many classes images are shown.
        images: how many of each.
    """
    dataset = load_stored(name)
    if dataset is None:
        return {}
    samples = {}
    for index, label in enumerate(dataset.classes[:classes]):
        firsts = dataset.train_images[np.flatnonzero(dataset.train_labels == index)[:images]]
        samples[label] = [as_png(image) for image in firsts]
    return samples


def as_png(image: NDArray[np.uint8]) -> str:
    """Write an image (channel, height, width) as a data address of a PNG.

    Example:
        >>> as_png(np.zeros((1, 2, 2), np.uint8))[:22]
        'data:image/png;base64,'
    """
    file = BytesIO()
    # Pillow takes grey pixels without an axis of channels, and the channels of coloured ones last.
    rows = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    Image.fromarray(rows).save(file, format="png")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
