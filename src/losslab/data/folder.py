"""A folder of images by class: which of its folders are parts of a data set, which are classes, and their files."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from losslab.data.image_files import OTHER_IMAGES, SUFFIXES, read_images
from losslab.data.readers import Part

PART_NAMES = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"""Name of a folder, in lower case -> the part of a data set that it holds."""

Files = list[tuple[Path, int]]


def read_folder(root: Path) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Read the parts of a data set (train, validation, test) in a folder, and its classes, sorted by name.

    Raises:
        ValueError: when an image would have no class or a class no images, or an image cannot be used.
    """
    folders = _part_folders(root)
    classes = _classes(folders["train"])
    files = {
        part: _labelled_files(folder, classes, folders["train"])
        for part, folder in folders.items()
    }
    # All parts are read together, so that their images have one size and one number of channels.
    labelled_files = list(chain.from_iterable(files.values()))
    images = read_images([path for path, _ in labelled_files])
    parts: dict[str, Part] = {}
    start = 0
    for part, labelled in files.items():
        end = start + len(labelled)
        parts[part] = images[start:end], np.array([label for _, label in labelled], np.int64)
        start = end
    return parts, classes


def _part_folders(root: Path) -> dict[str, Path]:
    """Map each part to its folder; the folder itself is the training part where it holds the classes."""
    folders: dict[str, Path] = {}
    others: list[Path] = []
    for folder in _folders(root):
        part = PART_NAMES.get(folder.name.lower())
        if part in folders:
            raise ValueError(
                f"{folders[part]} and {folder} are both its {part} images; leave one"
            )
        if part:
            folders[part] = folder
        else:
            others.append(folder)
    if "train" not in folders or _is_class(folders, others):
        return {"train": root}
    for folder in others:
        if any(path.suffix.lower() in SUFFIXES for path in folder.rglob("*")):
            raise ValueError(
                f"{folder} holds images and is none of train, val and test; rename or move it"
            )
    return folders


def _is_class(folders: dict[str, Path], others: list[Path]) -> bool:
    """Whether the folder `train` is a class of that name, among cars and ships."""
    return len(folders) == 1 and bool(others) and not _folders(folders["train"])


def _classes(train: Path) -> tuple[str, ...]:
    names = tuple(folder.name for folder in _folders(train))
    if not names:
        raise ValueError(
            f"{train} holds no folder of images for each class; move the images of each class into one, or store "
            "arrays as one .npz file"
        )
    if len(names) == 1:
        raise ValueError(
            f"{train} holds one class, '{names[0]}', and needs two; are the classes in {train / names[0]}?"
        )
    return names


def _labelled_files(folder: Path, classes: tuple[str, ...], train: Path) -> Files:
    """List the image files of a part, each with the index of its class."""
    stray = next(iter(_image_files(folder)), None)
    if stray:
        raise ValueError(
            f"{stray} lies beside the folders of its classes; move it into one of them"
        )
    own = {path.name for path in _folders(folder)}
    for name in sorted(own ^ set(classes)):
        having, lacking = (folder, train) if name in own else (train, folder)
        raise ValueError(
            f"class '{name}' is in {having} and not in {lacking}; every part needs images of every class"
        )
    labelled: Files = []
    for label, name in enumerate(classes):
        labelled += [(path, label) for path in _class_files(folder / name)]
    return labelled


def _class_files(folder: Path) -> list[Path]:
    inner = _folders(folder)
    if inner:
        raise ValueError(
            f"{inner[0]} is a folder within a class; move its images into {folder}"
        )
    files = _image_files(folder)
    if not files:
        raise ValueError(
            f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}); put some there or remove it"
        )
    return files


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder.iterdir()) if path.is_dir()]


def _image_files(folder: Path) -> list[Path]:
    """List files that end as images do, in the order of their names; notes and the like are no part of a data set."""
    files: list[Path] = []
    for path in _visible(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix in OTHER_IMAGES and path.is_file():
            raise ValueError(
                f"{path} is of a type that is not read; convert it to .png or remove it"
            )
        if suffix in SUFFIXES and path.is_file():
            files.append(path)
    return files


def _visible(paths: Iterable[Path]) -> list[Path]:
    """Sort paths and leave out what systems add by themselves: hidden files, macOS's `._NAME` and `__MACOSX`."""
    return sorted(path for path in paths if path.name[0] != "." and path.name != "__MACOSX")
