"""Image files read by a pool of threads into one array: first every header, then the pixels one by one."""

import multiprocessing
import os
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SUFFIXES = frozenset(
    {
        ".bmp",
        ".gif",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)
"""Endings of image files that are read, in lower case."""
OTHER_IMAGES = frozenset(
    [
        ".avif",
        ".dcm",
        ".dds",
        ".exr",
        ".hdr",
        ".heic",
        ".heif",
        ".ico",
        ".j2k",
        ".jp2",
        ".jxl",
        ".mat",
        ".npy",
        ".npz",
        ".pcx",
        ".pfm",
        ".psd",
        ".svg",
        ".tga",
    ]
)
"""Endings of files that hold images and are not read; to leave them out in silence would lose a part of a class."""

_GREY_MODES = ("1", "L", "LA", "La")
_DEEP_MODES = ("I", "F")
_PALETTE_MODES = ("P", "PA")
_MOST_THREADS = 8
_GROUP = 32
"""Images that a thread reads at a time: threads that take turns at single small images hinder each other."""


def read_images(paths: Sequence[Path]) -> NDArray[np.uint8]:
    """Read images of one size, upright as their EXIF data says; grey when all are grey, else RGB.

    Returns:
        uint8 array (image, channel, height, width), in the order of the paths.
    Raises:
        ValueError: when a file cannot be read, has more than 8 bits a channel, or differs in size from the first.
    """
    groups = [
        range(len(paths))[start : start + _GROUP] for start in range(0, len(paths), _GROUP)
    ]
    pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))
    try:
        # One coloured image makes all coloured; the list is complete, so that every file has been opened.
        coloured = any(list(pool.map(lambda group: _are_coloured(paths, group), groups)))
        images = _empty(len(paths), 3 if coloured else 1, _read(paths[0], coloured=coloured))
        for _ in _shown(
            pool.map(lambda group: _fill(images, paths, group), groups), len(groups)
        ):
            pass
    finally:
        # After a fault, or Ctrl-C, the other images are not read.
        pool.shutdown(cancel_futures=True)
    return images


def _are_coloured(paths: Sequence[Path], group: range) -> bool:
    flags = [_is_coloured(paths[index]) for index in group]
    return any(flags)


def _fill(images: NDArray[np.uint8], paths: Sequence[Path], group: range) -> None:
    """Read a group of images to where they belong."""
    channels = images.shape[1]
    for index in group:
        pixels = _read(paths[index], coloured=channels == 3)
        if pixels.shape != images.shape[1:]:
            raise ValueError(_other_size(paths[index], pixels, paths[0], images))
        images[index] = pixels


def _is_coloured(path: Path) -> bool:
    """Whether an image has colours, from its header alone: so a folder is checked before its pixels are read."""
    with _opened(path) as image:
        mode, is_deep = image.mode, _is_deep(image)
        # Asked of an image without one, Pillow would read its pixels.
        palette = image.getpalette("RGB") if mode in _PALETTE_MODES else None
    if mode.startswith(_DEEP_MODES) or is_deep:
        bits = f"mode {mode}" if mode.startswith(_DEEP_MODES) else "more than 8 bits a channel"
        raise ValueError(
            f"{path} has {bits}; images must have 8 bits a channel; convert it to PNG of 8 bits"
        )
    if palette:
        return not palette[::3] == palette[1::3] == palette[2::3]
    return mode not in _GREY_MODES


def _is_deep(image: "Picture") -> bool:
    """Whether a file has more bits a channel than the pixels that Pillow makes of it, as colours of 16 bits."""
    for codec, _extents, _offset, arguments in getattr(image, "tile", ()):
        parts = arguments if isinstance(arguments, tuple) else (arguments,)
        # The order of the bytes of a channel follows; after `BGR` it is the bits of all three.
        if any(isinstance(part, str) and re.search(r";16[BLN]", part) for part in parts):
            return True
        # Of these the highest value of a channel.
        if codec.startswith("ppm") and any(
            isinstance(part, int) and part > 255 for part in parts
        ):
            return True
    return False


def _read(path: Path, *, coloured: bool) -> NDArray[np.uint8]:
    """Read the pixels of a file, (channel, height, width)."""
    from PIL import ImageOps

    with _opened(path) as image:
        # A camera stores how it was held beside the pixels.
        upright = ImageOps.exif_transpose(image)
        pixels = np.asarray(upright.convert("RGB" if coloured else "L"))
    return np.atleast_3d(pixels).transpose(2, 0, 1)


@contextmanager
def _opened(path: Path) -> "Iterator[Picture]":
    from PIL import Image

    try:
        with Image.open(path) as image:
            yield image
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        raise ValueError(f"{path} cannot be read ({error}); repair or remove it") from error


def _empty(count: int, channels: int, first: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make room for all images; numpy would give it, and the machine run out of memory while it is filled."""
    _, height, width = first.shape
    needed = count * channels * height * width
    installed = psutil.virtual_memory().total
    if needed > installed:
        raise ValueError(
            f"{count:,} images of {width}x{height} pixels take {needed / 1e9:,.0f} GB, more than the memory of "
            f"{installed / 1e9:,.0f} GB; resize them"
        )
    return np.empty((count, channels, height, width), np.uint8)


def _other_size(
    path: Path, pixels: NDArray[np.uint8], first: Path, images: NDArray[np.uint8]
) -> str:
    height, width = images.shape[2:]
    own_size = f"{pixels.shape[2]}x{pixels.shape[1]}"
    return (
        f"{path} ({own_size} pixels) must be {width} pixels wide and {height} high as {first}; resize all to one size, "
        f"such as by PIL.Image.open(path).resize(({width}, {height})).save(path)"
    )


def _shown(done: Iterable[None], total: int) -> Iterable[None]:
    """Pass on what is done, with a bar of progress on a terminal; a worker process of a study draws none."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if not console.is_terminal or multiprocessing.parent_process():
        return done
    return track(done, "reading images", total=total, console=console, transient=True)
