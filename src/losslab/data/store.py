"""A data set as one safetensors file: replaced at once, memory-mapped when read, each tensor checked by its sha256.

The safetensors library writes its metadata in random order and reads by copying; the format being a length, a JSON
header and the raw bytes, both are done here, so that the same images give the same file and reading copies nothing.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.errors import DataCorrupt, InvalidInput, StoreError
from losslab.files import locked, write_bytes

_DTYPES: dict[str, np.dtype[Any]] = {"I64": np.dtype("<i8"), "U8": np.dtype("u1")}
_MAX_HEADER_BYTES = 100_000
_LONGEST_FETCH_SECONDS = 7200.0


def cache_folder() -> Path:
    """Locate the folder of fetched data sets: ``LOSSLAB_CACHE``, or ``~/.cache/losslab``."""
    return Path(os.environ.get("LOSSLAB_CACHE") or Path.home() / ".cache" / "losslab")


@contextmanager
def workspace(name: str, progress: Callable[[str], None]) -> Iterator[Path]:
    """Open a temporary folder in the cache for fetching one data set; another process that fetches the same waits.

    It is gone at the end. What a killed fetch of the data set left behind is removed first, since nobody else is in it.

    Raises:
        InvalidInput: when the cache folder cannot be written, or is removed or full meanwhile.
        StoreError: when another process still fetches the data set after two hours.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _fetch_lock(folder / f".{name}.lock", name, progress):
            _remove_leftovers(folder, name)
            with tempfile.TemporaryDirectory(dir=folder, prefix=f".fetch-{name}-") as path:
                yield Path(path)
    except OSError as error:
        raise unwritable(error) from error


@contextmanager
def _fetch_lock(path: Path, name: str, progress: Callable[[str], None]) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            # Without waiting first, so that a wait can be announced.
            stack.enter_context(locked(path, 0.0))
        except StoreError as error:
            progress(f"{name} is being fetched, waiting for it ({error})")
            stack.enter_context(locked(path, _LONGEST_FETCH_SECONDS))
        yield


def _remove_leftovers(folder: Path, name: str) -> None:
    for path in folder.glob(f".fetch-{name}-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(f".{name}.safetensors.*"):
        path.unlink(missing_ok=True)


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, str]
) -> None:
    """Write arrays of uint8 and int64, and facts about them, to a safetensors file; it is replaced at once.

    Raises:
        InvalidInput: when the folder cannot be written.
    """
    # Keeps int64 aligned.
    ordered = dict(sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize))
    header = _header(ordered, facts)
    content = (np.ascontiguousarray(array).data for array in ordered.values())
    try:
        # The cache may have been removed while its data was fetched.
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, chain([len(header).to_bytes(8, "little"), header], content))
    except OSError as error:
        raise unwritable(error, path.parent) from error


def open_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Open a file that ``write_arrays`` wrote: its arrays, mapped copy-on-write, and its facts.

    Raises:
        DataCorrupt: when the file is gone, is cut short, is no such file, or a tensor differs from its sha256.
    """
    try:
        raw = np.memmap(path, np.uint8, "c") if path.stat().st_size else np.zeros(0, np.uint8)
    except OSError as error:
        raise DataCorrupt(
            f"{path} cannot be read ({error.strerror}); run `losslab data fetch`"
        ) from error
    try:
        start = 8 + int.from_bytes(raw[:8], "little")
        if start > min(len(raw), _MAX_HEADER_BYTES):
            raise ValueError("it has no header")
        header = json.loads(bytes(raw[8:start]))
        facts = header.pop("__metadata__")
        return {
            name: _tensor(name, raw[start:], spec, facts) for name, spec in header.items()
        }, facts
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataCorrupt(
            f"{path} is corrupt ({error}); delete it and run `losslab data fetch`"
        ) from error


def _header(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, str]) -> bytes:
    names = {dtype: name for name, dtype in _DTYPES.items()}
    digests: dict[str, str] = {}
    for name, array in arrays.items():
        digests[f"{name}.sha256"] = sha256(np.ascontiguousarray(array).data).hexdigest()
    header: dict[str, Any] = {"__metadata__": {**facts, **digests}}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": names[array.dtype],
            "shape": array.shape,
            "data_offsets": (start, end),
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    # The tensors behind it begin at a multiple of 8, as int64 wants.
    return text + b" " * (-len(text) % 8)


def _tensor(
    name: str, data: NDArray[np.uint8], spec: dict[str, Any], facts: Mapping[str, str]
) -> NDArray[Any]:
    start, end = spec["data_offsets"]
    if not 0 <= start <= end <= len(data):
        raise ValueError(f"{name} is cut short")
    if sha256(data[start:end].data).hexdigest() != facts[f"{name}.sha256"]:
        raise ValueError(f"{name} differs from its sha256")
    return data[start:end].view(_DTYPES[spec["dtype"]]).reshape(spec["shape"])


def unwritable(error: OSError, folder: Path | None = None) -> InvalidInput:
    """The one line for a cache folder that cannot be written: read-only, full, or removed meanwhile."""
    return InvalidInput(
        f"the cache folder {folder or cache_folder()} cannot be written ({error.strerror}); free some space or set "
        "LOSSLAB_CACHE to another folder"
    )
