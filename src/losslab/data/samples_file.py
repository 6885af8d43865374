"""Samples of any kind in an .npz file: inputs and targets, one array each or an array for each named input."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.data.task_data import TaskData

INPUTS, TARGETS = "inputs", "targets"
PARTS = ("train", "validation", "test")

Arrays = dict[str, NDArray[Any]]


def holds_samples(path: Path) -> bool:
    """Whether a file names its arrays as samples, such as ``train_inputs``, and not as images and labels."""
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    try:
        # Opened here: numpy leaves a file open that it cannot read.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return any(name.startswith(f"train_{INPUTS}") for name in file.files)
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, AttributeError, TypeError):
        return False  # whoever reads it as images says what is wrong with it


def read_samples(path: Path) -> TaskData:
    """Read the samples of an .npz file.

    Its arrays are `train_inputs` and `train_targets`, and where wanted `validation_...` and `test_...`. Several inputs
    are `train_inputs_NAME`; the model takes them as keywords. Without targets a batch is the inputs alone, as for a
    language model.

    Raises:
        ValueError: when the file or an array's name cannot be read, or parts of one kind have different lengths.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: Arrays = {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ValueError(f"it cannot be read as .npz ({error})") from error
    known: set[str] = set()
    parts: dict[str, Any] = {}
    for part in PARTS:
        parts[part] = _part(arrays, part, known)
    unknown = sorted(arrays.keys() - known)
    if unknown:
        raise ValueError(
            f"it holds {', '.join(unknown)}; name arrays train_{INPUTS}, train_{INPUTS}_NAME, train_{TARGETS}, and "
            "likewise validation_ and test_"
        )
    return TaskData(**parts, name=str(path), title=path.name)


def _part(arrays: Mapping[str, NDArray[Any]], part: str, known: set[str]) -> Any:
    """Read the samples of a part; None where the file has none."""
    prefix = f"{part}_{INPUTS}"
    named = {}
    for name, array in arrays.items():
        if name.startswith(f"{prefix}_"):
            named[name.removeprefix(f"{prefix}_")] = array
    if prefix in arrays and named:
        raise ValueError(
            f"it holds {prefix} and {prefix}_{next(iter(named))}; name one input, or every one"
        )
    inputs = arrays.get(prefix, named or None)
    targets = arrays.get(f"{part}_{TARGETS}")
    known |= {prefix, f"{part}_{TARGETS}", *(f"{prefix}_{name}" for name in named)}
    if inputs is None:
        if targets is not None:
            raise ValueError(f"it holds {part}_{TARGETS} without {prefix}")
        return None
    members: list[Any] = [*named.values()] if named else [inputs]
    if targets is not None:
        members.append(targets)
    # A scalar has no samples to count.
    lengths = {len(array) for array in members if array.ndim}
    if len(lengths) != 1:
        raise ValueError(
            f"the arrays of its {part} part must have one entry for each sample; they have {sorted(lengths)}"
        )
    return inputs if targets is None else (inputs, targets)
