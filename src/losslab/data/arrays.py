"""A user's own arrays: images and labels in an .npz file, checked and never reshaped to fit."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.data.catalog import OTHER_DATA
from losslab.data.readers import Part

NAMES = {
    "train": (("train_images", "train_labels"), ("x_train", "y_train")),
    "validation": (
        ("val_images", "val_labels"),
        ("validation_images", "validation_labels"),
        ("x_val", "y_val"),
    ),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}
"""Part of a data set -> names that its images and labels may have: losslab's and MedMNIST's, then Keras's."""

_BYTE_ERROR = 0.15
"""How far 255 x may be from a whole number where x is a byte divided by 255: half precision has 11 bits."""


def read_npz(path: Path) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Read the parts of a data set (train, validation, test) in an .npz file, and the names of its classes.

    Raises:
        ValueError: when the file, an array's shape or type, or the number of labels is not what it must be.
    """
    try:
        with (
            path.open("rb") as stream,
            zipfile.ZipFile(stream),
            np.load(stream, allow_pickle=False) as file,
        ):
            return _read(file)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ValueError(f"it cannot be read as .npz ({error})") from error
    except MemoryError as error:
        raise ValueError(f"it does not fit into memory ({error})") from error


def _read(file: Mapping[str, NDArray[Any]]) -> tuple[dict[str, Part], tuple[str, ...]]:
    parts: dict[str, Part] = {}
    for part, pairs in NAMES.items():
        pair = next((pair for pair in pairs if set(pair) & set(file)), None)
        if pair:
            parts[part] = _part(file, *pair)
        elif part == "train":
            held = ", ".join(file) or "nothing"
            raise ValueError(
                f"it must hold train_images and train_labels (or x_train and y_train), {OTHER_DATA}; it holds {held}"
            )
    _, labels = parts["train"]
    return parts, _given_names(file["classes"]) if "classes" in file else _numbered_names(
        labels
    )


def _part(file: Mapping[str, NDArray[Any]], images_name: str, labels_name: str) -> Part:
    for name in (images_name, labels_name):
        if name not in file:
            raise ValueError(
                f"it must hold {images_name} and {labels_name}; it holds {', '.join(file)}"
            )
    images = as_images(_array(file, images_name), images_name)
    return images, as_labels(_array(file, labels_name), labels_name, len(images))


def _array(file: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    try:
        return np.asarray(file[name])
    except ValueError as error:
        # A list of arrays of several shapes is stored as Python objects, which could run code when they are read.
        raise ValueError(
            f"{name} cannot be read ({error}); store one array of numbers, such as np.stack(images)"
        ) from error


def as_labels(labels: NDArray[Any], name: str, count: int) -> NDArray[np.int64]:
    """Turn labels into int64 (image,); a last axis of 1, as Keras's files have, is no other shape.

    Raises:
        ValueError: when they are no integers, not one for each image, or too large.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    described = f"{name} (={labels.dtype} {labels.shape})"
    if labels.ndim != 1:
        raise ValueError(
            f"{described} must be one class an image, of shape ({count},); {_hint(labels, name)}"
        )
    if len(labels) != count:
        raise ValueError(
            f"{described} must be one for each of {count} images; leave out what has no partner"
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(
            f"{described} must be integers; store np.unique({name}, return_inverse=True)[1], or whole numbers "
            f'by {name}.astype("int64"); store {OTHER_DATA}'
        )
    # uint64 beyond int64 would turn negative in silence.
    if labels.size and int(labels.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"{name} (up to {labels.max()}) must number the classes from 0")
    return labels.astype(np.int64)


def _hint(labels: NDArray[Any], name: str) -> str:
    """Say what to do with labels of several axes: one-hot rows have one 1, others name several classes an image."""
    if labels.ndim == 2 and labels.dtype.kind in "biuf":
        are_flags = ((labels == 0) | (labels == 1)).all()
        if are_flags and (labels.sum(axis=1) == 1).all():
            return f"these are one-hot: store {name}.argmax(axis=1)"
    return f"for several classes an image, store one column of them, such as {name}[:, 0]"


def as_images(images: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Turn images into uint8 (image, channel, height, width), from channels first, last or none.

    Raises:
        ValueError: when they are no bytes, nor bytes divided by 255, or have another number of axes or channels.
    """
    if images.ndim not in (3, 4):
        raise ValueError(
            f"{name} (={images.dtype} {images.shape}) must have 3 or 4 axes, (image, height, width) or with a channel "
            f"axis of 1 or 3; reshape rows of pixels by {name}.reshape(-1, height, width); store {OTHER_DATA}"
        )
    if not images.size:
        raise ValueError(f"{name} (={images.shape}) holds no images")
    pixels = images if images.dtype == np.uint8 else _as_bytes(images, name)
    if pixels.ndim == 3:
        return pixels[:, np.newaxis]
    # Channels first wins where both axes would do, as in images of 3 pixels a side: it is torch's order.
    if pixels.shape[1] in (1, 3):
        return pixels
    if pixels.shape[3] in (1, 3):
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    raise ValueError(
        f"{name} (={images.shape}) must have 1 or 3 channels, on axis 1 or 3; leave the others out, such as by "
        f"{name}[..., :3]"
    )


def _as_bytes(images: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Turn pixels into bytes where nothing is lost; else the error says how to do it."""
    kind, low, high = images.dtype.kind, images.min(), images.max()
    if kind in "iu" and low >= 0 and high <= 255:
        return images.astype(np.uint8)
    if kind in "bf" and low >= 0 and high <= 1:
        scaled = images * np.float32(255)
        pixels = np.rint(scaled).astype(np.uint8)
        # They were bytes before they were divided by 255.
        if np.abs(scaled - pixels).max() <= _BYTE_ERROR:
            return pixels
        remedy = f'np.rint(255 * {name}).astype("uint8")'
    elif kind == "f" and low >= 0 and high <= 255:
        remedy = f'np.rint({name}).astype("uint8")'
    else:
        remedy = (
            "the pixels as they were before they were scaled; losslab normalises them by itself"
        )
    raise ValueError(
        f"{name} (={images.dtype} {images.shape}, {low} to {high}) must be uint8, 0 to 255; store {remedy}"
    )


def _given_names(names: NDArray[Any]) -> tuple[str, ...]:
    if names.ndim != 1 or len(set(names.tolist())) < len(names):
        raise ValueError(
            f"classes (of shape {names.shape}) must be a list of different names, one for each label"
        )
    return tuple(names.astype(str).tolist())


def _numbered_names(labels: NDArray[np.int64]) -> tuple[str, ...]:
    """Name classes by their number; a number without an image would be an output that nothing trains."""
    present = np.unique(labels)
    low, high, count = int(present[0]), int(present[-1]), len(present)
    if low == 0 and high == count - 1:
        return tuple(str(number) for number in range(count))
    if low == 1 and high == count:
        remedy = "subtract 1 from the labels of every part"
    else:
        remedy = "store np.searchsorted(np.unique(train_labels), labels) for the labels of every part"
    raise ValueError(
        f"train_labels (={low} to {high}) must lie from 0 to {count - 1}, as there are {count} different ones; "
        f"{remedy}, or name the classes by an array `classes`"
    )
