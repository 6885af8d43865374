"""A data set as one safetensors file: written at once, memory-mapped when read, every tensor checked by its sha256.

The safetensors library writes its metadata in random order and reads by copying; the format being a length, a JSON
header and the raw bytes, both are done here, so that the same images give the same file and reading copies nothing.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.errors import DataCorrupt, InvalidInput

_DTYPES: dict[str, np.dtype[Any]] = {"I64": np.dtype("<i8"), "U8": np.dtype("u1")}
_MAX_HEADER_BYTES = 100_000


def cache_folder() -> Path:
    """Where fetched data sets live: ``LOSSLAB_CACHE``, or ``~/.cache/losslab``."""
    return Path(os.environ.get("LOSSLAB_CACHE") or Path.home() / ".cache" / "losslab")


@contextmanager
def workspace() -> Iterator[Path]:
    """A temporary folder within the cache folder; it is gone at the end.

    Raises:
        InvalidInput: when the cache folder cannot be written.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-")
    except OSError as error:
        raise _unwritable(folder, error) from error
    with temporary as path:
        yield Path(path)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, str]) -> None:
    """Write arrays of uint8 and int64, and facts about them, to a safetensors file that appears only when complete.

    Raises:
        InvalidInput: when the folder cannot be written.
    """
    ordered = dict(sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize))  # keeps int64 aligned
    header = _header(ordered, facts)
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(len(header).to_bytes(8, "little") + header)
                for array in ordered.values():
                    file.write(np.ascontiguousarray(array).data)
                file.flush()
                os.fsync(file.fileno())
                temporary.chmod(0o644)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def open_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays of a file that ``write_arrays`` wrote, mapped copy-on-write, and its facts.

    Raises:
        DataCorrupt: when the file is cut short, is no such file, or a tensor differs from its sha256.
    """
    raw = np.memmap(path, np.uint8, "c") if path.stat().st_size else np.zeros(0, np.uint8)
    try:
        start = 8 + int.from_bytes(raw[:8], "little")
        if start > min(len(raw), _MAX_HEADER_BYTES):
            raise ValueError("it has no header")
        header = json.loads(bytes(raw[8:start]))
        facts = header.pop("__metadata__")
        return {name: _tensor(name, raw[start:], spec, facts) for name, spec in header.items()}, facts
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataCorrupt(f"{path} is corrupt ({error}); delete it and run `losslab data fetch`") from error


def _header(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, str]) -> bytes:
    names = {dtype: name for name, dtype in _DTYPES.items()}
    digests = {f"{name}.sha256": sha256(np.ascontiguousarray(array).data).hexdigest() for name, array in arrays.items()}
    header: dict[str, Any] = {"__metadata__": {**facts, **digests}}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": names[array.dtype], "shape": array.shape, "data_offsets": (start, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def _tensor(name: str, data: NDArray[np.uint8], spec: dict[str, Any], facts: Mapping[str, str]) -> NDArray[Any]:
    start, end = spec["data_offsets"]
    if not 0 <= start <= end <= len(data):
        raise ValueError(f"{name} is cut short")
    if sha256(data[start:end].data).hexdigest() != facts[f"{name}.sha256"]:
        raise ValueError(f"{name} differs from its sha256")
    return data[start:end].view(_DTYPES[spec["dtype"]]).reshape(spec["shape"])


def _unwritable(folder: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        f"the cache folder {folder} cannot be written ({error.strerror}); set LOSSLAB_CACHE to a folder that can"
    )
