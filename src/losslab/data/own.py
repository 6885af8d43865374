"""A user's own images: an .npz file, a folder of images by class, or a function that returns a Dataset."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from losslab.choice import import_attribute
from losslab.data.arrays import read_npz
from losslab.data.catalog import is_own_path
from losslab.data.dataset import Dataset, with_valid_labels
from losslab.data.folder import read_folder
from losslab.data.readers import Part
from losslab.data.samples_file import holds_samples, read_samples
from losslab.data.splitting import split
from losslab.data.task_data import TaskData
from losslab.errors import InvalidInput, LosslabError

TEST_FRACTION = 0.2
"""Part held out as test images, stratified, where the user's data name none."""


def load_own(name: str) -> Dataset | TaskData:
    """Load the data set behind a path or a ``package.module:factory``.

    Raises:
        InvalidInput: when there is no data set behind it; the message says what is wrong with it.
    """
    path = Path(name)
    try:
        if not is_own_path(path):
            return _from_factory(name)
        if holds_samples(path):
            return read_samples(path)
        parts, classes = read_folder(path) if path.is_dir() else read_npz(path)
        return with_valid_labels(_dataset(path, parts, classes))
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"data set '{name}': {error}") from error


def _dataset(path: Path, parts: dict[str, Part], classes: tuple[str, ...]) -> Dataset:
    parts, title = _with_test(parts, path.resolve().name)
    channels = max(images.shape[1] for images, _ in parts.values())
    coloured = {
        part: (_with_channels(images, channels), labels)
        for part, (images, labels) in parts.items()
    }
    train_images, train_labels = coloured["train"]
    test_images, test_labels = coloured["test"]
    validation_images, validation_labels = coloured.get("validation", (None, None))
    mean, std = _moments(train_images)
    return Dataset(
        name=str(path),
        title=title,
        classes=classes,
        mean=mean,
        std=std,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        sample=False,
        source=str(path.resolve()),
        validation_images=validation_images,
        validation_labels=validation_labels,
    )


def _with_test(parts: dict[str, Part], name: str) -> tuple[dict[str, Part], str]:
    """The parts with test images, and a title that says where these are from.

    Where there are training and validation images alone, as in ImageNet, results are compared on the latter: they are
    the test images, and a validation part is held out of the training images as usual.
    """
    if "test" in parts:
        return parts, name
    images, labels = parts["train"]
    if "validation" in parts:
        return {
            "train": (images, labels),
            "test": parts["validation"],
        }, f"{name}, its validation images as test images"
    if round(TEST_FRACTION * len(labels)) == 0:
        raise ValueError(
            f"{len(labels)} images are too few to hold out {TEST_FRACTION:.0%} as test images; add some"
        )
    kept, held_out = split(labels, validation_fraction=TEST_FRACTION)
    divided = {
        "train": (images[kept], labels[kept]),
        "test": (images[held_out], labels[held_out]),
    }
    return divided, f"{name}, {TEST_FRACTION:.0%} of its images held out as test images"


def _with_channels(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Give grey images the channels of the coloured part beside them; all others as they are."""
    return images if images.shape[1] == channels else np.repeat(images, channels, axis=1)


def _moments(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute mean and standard deviation of each channel in [0, 1], exact, from a count of the 256 values.

    A channel that is the same in every pixel has deviation 1, so that it becomes 0 throughout.
    """
    values = np.arange(256) / 255
    mean: list[float] = []
    std: list[float] = []
    for channel in range(images.shape[1]):
        pixels = images[:, channel]
        shares = np.bincount(pixels.ravel(), minlength=256) / pixels.size
        mean.append(float(shares @ values))
        variance = shares @ (values - mean[-1]) ** 2
        # One value alone has no variance; rounding could leave a tiny one, and its inverse would blow up the channel.
        std.append(float(np.sqrt(variance)) if shares.max() < 1 else 0.0)
    if max(std) == 0:
        raise ValueError(
            "every pixel of its training images is the same; is this the right array?"
        )
    return tuple(mean), tuple(value or 1.0 for value in std)


def _from_factory(name: str) -> Dataset | TaskData:
    factory = import_attribute(f"data set '{name}'", name)
    try:
        dataset = factory()
    except LosslabError:
        raise
    except Exception as error:
        # A file that is missing, say: the user's code failed, and where is told by the command line.
        raise InvalidInput(f"data set '{name}': {type(error).__name__}: {error}") from error
    if isinstance(dataset, TaskData):
        return replace(dataset, name=name, title=dataset.title or name)
    if not isinstance(dataset, Dataset):
        raise InvalidInput(
            f"data set '{name}' gave {type(dataset).__name__}, not a losslab.data.TaskData or a losslab.data.Dataset"
        )
    return with_valid_labels(dataset)
