"""A user's own images: an .npz file, a folder of images by class, or a function that returns a Dataset."""

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.choice import import_attribute
from losslab.data.catalog import is_own_path
from losslab.data.dataset import Dataset, with_valid_labels
from losslab.data.splitting import split
from losslab.data.task_data import TaskData
from losslab.errors import InvalidInput

Part = tuple[NDArray[np.uint8], NDArray[np.int64]]

TEST_FRACTION = 0.2
"""Part held out as test images, stratified, where the user's data name none."""

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_DEEP_MODES = ("I", "F")


def load_own(name: str) -> Dataset | TaskData:
    """The data set behind a path or a ``package.module:factory``.

    Raises:
        InvalidInput: when there is no data set behind it; the message says what is wrong with it.
    """
    path = Path(name)
    try:
        if not is_own_path(path):
            return _call_factory(name)
        train, test, classes = _read_npz(path) if path.suffix == ".npz" else _read_folder(path)
        return with_valid_labels(_dataset(path, train, test, classes))
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"data set '{name}': {error}") from error


def _dataset(path: Path, train: Part, test: Part | None, classes: tuple[str, ...]) -> Dataset:
    title = path.name
    if test is None:
        title = f"{path.name}, {TEST_FRACTION:.0%} of its images held out as test images"
        kept, held_out = split(train[1], validation_fraction=TEST_FRACTION)
        train, test = (train[0][kept], train[1][kept]), (train[0][held_out], train[1][held_out])
    mean, std = _moments(train[0])
    return Dataset(str(path), title, classes, mean, std, *train, *test, sample=False, source=str(path.resolve()))


def _moments(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel in [0, 1], exact, from a count of the 256 values."""
    values = np.arange(256) / 255
    mean, std = [], []
    for channel in range(images.shape[1]):
        shares = np.bincount(images[:, channel].ravel(), minlength=256) / images[:, channel].size
        mean.append(float(shares @ values))
        std.append(float(np.sqrt(shares @ (values - mean[-1]) ** 2)))
    return tuple(mean), tuple(std)


def _read_npz(path: Path) -> tuple[Part, Part | None, tuple[str, ...]]:
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream), np.load(stream, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ValueError(f"it cannot be read as .npz ({error})") from error
    train = _npz_part(arrays, "train")
    test = _npz_part(arrays, "test") if {"test_images", "x_test"} & arrays.keys() else None
    names = arrays.get("classes", np.arange(train[1].max(initial=0) + 1))
    return train, test, tuple(str(name) for name in names)


def _npz_part(arrays: dict[str, NDArray[Any]], part: str) -> Part:
    """Images and labels under losslab's names or those of Keras's files."""
    images = arrays.get(f"{part}_images", arrays.get(f"x_{part}"))
    labels = arrays.get(f"{part}_labels", arrays.get(f"y_{part}"))
    if images is None or labels is None:
        raise ValueError(
            f"it must hold {part}_images and {part}_labels (or x_{part} and y_{part}); it holds {', '.join(arrays)}"
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{part}_labels (={labels.dtype}) must be integers")
    return _channels_first(images, f"{part}_images"), labels.reshape(len(images), -1)[:, 0].astype(np.int64)


def _channels_first(images: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(f"{name} (={images.dtype} {images.shape}) must be uint8 with 3 or 4 axes, values 0 to 255")
    if images.ndim == 3:
        return images[:, np.newaxis]
    if images.shape[1] in (1, 3):
        return images
    if images.shape[3] in (1, 3):
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    raise ValueError(f"{name} (={images.shape}) must have 1 or 3 channels, on axis 1 or 3")


def _read_folder(root: Path) -> tuple[Part, Part | None, tuple[str, ...]]:
    train = root / "train" if (root / "train").is_dir() else root
    classes = tuple(sorted(path.name for path in train.iterdir() if path.is_dir() and path.name[0] != "."))
    if not classes:
        raise ValueError(f"{train} holds no folder of images for each class")
    test = root / "test"
    return _read_images(train, classes), _read_images(test, classes) if test.is_dir() else None, classes


def _read_images(folder: Path, classes: tuple[str, ...]) -> Part:
    labelled = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).glob("*"))
        if path.suffix.lower() in _SUFFIXES
    ]
    if not labelled:
        raise ValueError(f"{folder} holds no images in {', '.join(classes)}")
    images = [_read_image(path) for path, _ in labelled]
    height, width, _ = images[0].shape
    for image, (path, _) in zip(images, labelled, strict=True):
        if image.shape[:2] != (height, width):
            raise ValueError(f"{path} must be {width} pixels wide and {height} high as {labelled[0][0]}; resize it")
    channels = max(image.shape[2] for image in images)  # one coloured image makes all coloured
    stack = np.stack([np.broadcast_to(image, (height, width, channels)) for image in images])
    return np.ascontiguousarray(stack.transpose(0, 3, 1, 2)), np.array([label for _, label in labelled], np.int64)


def _read_image(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode.startswith(_DEEP_MODES):
                raise ValueError(f"{path} has mode {image.mode}; images must have 8 bits a channel")
            return np.atleast_3d(np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB")))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from error


def _call_factory(name: str) -> Dataset | TaskData:
    dataset = import_attribute(f"data set '{name}'", name)()
    if isinstance(dataset, TaskData):
        return replace(dataset, name=name, title=dataset.title or name)
    if not isinstance(dataset, Dataset):
        raise InvalidInput(
            f"data set '{name}' gave {type(dataset).__name__}, not a losslab.data.TaskData or a losslab.data.Dataset"
        )
    return with_valid_labels(dataset)
