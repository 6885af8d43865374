"""A labelled image data set in memory, and what there is to say about it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.data.splitting import split

VALIDATION_FRACTION = 0.1


@dataclass(frozen=True)
class Dataset:
    """Training and test images with labels.

    Attributes:
        name: what it was loaded by.
        title: for people; says so where the set is a sample only.
        classes: name of each label.
        mean: per channel, of the training images in [0, 1].
        std: likewise.
        train_images: uint8 (image, channel, height, width).
        train_labels: int64 (image,), each an index into `classes`.
        test_images: as the training images.
        test_labels: as the training labels.
        sample: whether it is a sample only of the set it is named after.
        source: where it came from.

    Raises:
        ValueError: when parts do not fit together. Labels are not read here; ``load`` does.
    Example:
        >>> from losslab.data import load
        >>> load("fashion-mnist-sample").train_images.shape
        (5000, 1, 28, 28)
    """

    name: str
    title: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    sample: bool
    source: str

    def __post_init__(self) -> None:
        _check_form("train", self.train_images, self.train_labels)
        _check_form("test", self.test_images, self.test_labels)
        shape = self.train_images.shape[1:]
        if self.test_images.shape[1:] != shape:
            raise ValueError(f"test images {self.test_images.shape[1:]} must have the shape of training images {shape}")
        if not len(self.mean) == len(self.std) == shape[0] or min(self.std) <= 0:
            raise ValueError(f"mean (={self.mean}) and std (={self.std}) must have {shape[0]} values each, std above 0")


def _check_form(part: str, images: NDArray[Any], labels: NDArray[Any]) -> None:
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(
            f"{part}_images (={images.dtype} {images.shape}) must be uint8 (image, channel, height, width)"
        )
    if labels.dtype != np.int64 or labels.shape != (len(images),) or not len(images):
        raise ValueError(
            f"{part}_labels (={labels.dtype} {labels.shape}) must be int64, one for each of {len(images)} images"
        )


def with_valid_labels(dataset: Dataset) -> Dataset:
    """The data set itself.

    Raises:
        ValueError: when a label is no index into its classes.
    """
    last = len(dataset.classes) - 1
    for part, labels in (("train", dataset.train_labels), ("test", dataset.test_labels)):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high > last:
            raise ValueError(
                f"{part}_labels (={low} to {high}) must lie from 0 to {last}, as there are {last + 1} classes"
            )
    return dataset


def summary(dataset: Dataset) -> dict[str, Any]:
    """What one should know of a data set before training on it, as plain JSON values.

    Its validation part is the one that is held out by default: 10 % of the training images, stratified.

    Example:
        >>> from losslab.data import load
        >>> summary(load("fashion-mnist-sample"))["sizes"]
        {'train': 5000, 'training': 4500, 'validation': 500, 'test': 1000}
    """
    training, validation = split(dataset.train_labels, validation_fraction=VALIDATION_FRACTION)
    parts = {
        "train": dataset.train_labels,
        "training": dataset.train_labels[training],
        "validation": dataset.train_labels[validation],
        "test": dataset.test_labels,
    }
    counts = {part: np.bincount(labels, minlength=len(dataset.classes)).tolist() for part, labels in parts.items()}
    return {
        "name": dataset.name,
        "title": dataset.title,
        "sample": dataset.sample,
        "source": dataset.source,
        "shape": list(dataset.train_images.shape[1:]),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "validation_fraction": VALIDATION_FRACTION,
        "sizes": {part: len(labels) for part, labels in parts.items()},
        "classes": list(dataset.classes),
        "images_per_class": {
            name: {part: counts[part][label] for part in parts} for label, name in enumerate(dataset.classes)
        },
    }
