"""A labelled image data set in memory, and its summary."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.data.splitting import VALIDATION_FRACTION, split
from losslab.errors import InvalidInput


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
        validation_images: as the training images, where the data set names its own; else None, and a part of the
            training images is held out.
        validation_labels: as the training labels, or None.

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
    validation_images: NDArray[np.uint8] | None = None
    validation_labels: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        shape = self.train_images.shape[1:]
        for part, (images, labels) in self.parts.items():
            _check_form(part, images, labels)
            if images.shape[1:] != shape:
                raise ValueError(
                    f"{part} images {images.shape[1:]} must have the shape of training images {shape}"
                )
        has_all_channels = len(self.mean) == len(self.std) == shape[0]
        if not has_all_channels or min(self.std) <= 0:
            raise ValueError(
                f"mean (={self.mean}) and std (={self.std}) must have {shape[0]} values each, std above 0"
            )

    @property
    def parts(self) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        """Images and labels of train, test and, where the data set names its own, validation."""
        parts = {
            "train": (self.train_images, self.train_labels),
            "test": (self.test_images, self.test_labels),
        }
        if self.validation_images is not None and self.validation_labels is not None:
            parts["validation"] = (self.validation_images, self.validation_labels)
        elif self.validation_images is not None or self.validation_labels is not None:
            raise ValueError("validation_images and validation_labels must be given together")
        return parts

    @cached_property
    def sha256(self) -> str:
        """A hash of all images and labels: 16 hexadecimal digits."""
        digest = sha256()
        for images, labels in self.parts.values():
            digest.update(np.ascontiguousarray(images).data)
            digest.update(np.ascontiguousarray(labels).data)
        return digest.hexdigest()[:16]

    @property
    def own_validation(self) -> int:
        """How many validation images the data set names itself; 0 where they are held out of the training images."""
        return 0 if self.validation_labels is None else len(self.validation_labels)

    def split(
        self,
        *,
        validation_fraction: float = VALIDATION_FRACTION,
        train_images: int | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Split into indices of training and of validation images, as ``losslab.data.split`` holds them out.

        Where the data set names validation images, nothing is held out; their indices follow those of the others.

        Raises:
            InvalidInput: as ``split``, and when another fraction is given for data that names validation images.
        """
        if not self.own_validation:
            return split(
                self.train_labels,
                validation_fraction=validation_fraction,
                train_images=train_images,
            )
        # None is held out, as 0 says; the default says nothing.
        if validation_fraction not in (0, VALIDATION_FRACTION):
            raise InvalidInput(
                f"validation_fraction (={validation_fraction}) must be left out: {self.name} names its own "
                f"{self.own_validation:,} validation images"
            )
        training, _ = split(self.train_labels, validation_fraction=0, train_images=train_images)
        # One range of indices for both parts, so that whoever holds indices need not know which part they are of.
        count = len(self.train_labels)
        return training, np.arange(count, count + self.own_validation)

    def at(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Read images and labels at indices of one part that ``split`` gave."""
        count = len(self.train_labels)
        is_own_validation = len(indices) > 0 and indices[0] >= count
        if is_own_validation:
            images, labels = self.parts["validation"]
            return images[indices - count], labels[indices - count]
        return self.train_images[indices], self.train_labels[indices]


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
    """Return the data set after reading its labels.

    Raises:
        ValueError: when a label is no index into its classes, or a class is judged that no image teaches.
    """
    count = len(dataset.classes)
    if count < 2:
        raise ValueError(f"it has {count} class and needs two or more to tell apart")
    for part, (_, labels) in dataset.parts.items():
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= count:
            hint = "; subtract 1" if low == 1 and high == count else ""
            raise ValueError(
                f"{part}_labels (={low} to {high}) must lie from 0 to {count - 1}, as there are {count} classes{hint}"
            )
    # A class that is judged and never taught lowers every score by the same amount, which nobody would look for.
    trained = np.unique(dataset.train_labels)
    for part, (_, labels) in dataset.parts.items():
        alone = np.setdiff1d(labels, trained)
        if len(alone):
            raise ValueError(
                f"class '{dataset.classes[alone[0]]}' has {part} images and no training images; add some"
            )
    return dataset


def summary(
    dataset: Dataset, validation_fraction: float = VALIDATION_FRACTION
) -> dict[str, Any]:
    """Summarise sizes, classes and images per class of a data set, as plain JSON values.

    Its validation part is its own, or what is held out of the training images: this fraction of each class.

    Example:
        >>> from losslab.data import load
        >>> summary(load("fashion-mnist-sample"))["sizes"]
        {'train': 5000, 'training': 4500, 'validation': 500, 'test': 1000}
    """
    training, validation = dataset.split(validation_fraction=validation_fraction)
    parts = {
        "train": dataset.train_labels,
        "training": dataset.at(training)[1],
        "validation": dataset.at(validation)[1],
        "test": dataset.test_labels,
    }
    sizes = {part: len(labels) for part, labels in parts.items()}
    counts: dict[str, list[int]] = {}
    for part, labels in parts.items():
        counts[part] = np.bincount(labels, minlength=len(dataset.classes)).tolist()
    per_class: dict[str, dict[str, int]] = {}
    for label, name in enumerate(dataset.classes):
        per_class[name] = {part: counts[part][label] for part in parts}
    return {
        "name": dataset.name,
        "title": dataset.title,
        "sample": dataset.sample,
        "source": dataset.source,
        "shape": list(dataset.train_images.shape[1:]),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "validation_fraction": None if dataset.own_validation else validation_fraction,
        "sizes": sizes,
        "classes": list(dataset.classes),
        "images_per_class": per_class,
    }
