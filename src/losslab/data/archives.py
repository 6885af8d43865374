"""Read named files from a folder or archive that is not trusted.

Nothing is unpacked: only regular members of an expected name are read, into memory, up to their expected size. Paths
and links within an archive therefore have no effect, and a bomb stops at the limit.
"""

import gzip
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Container, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

from losslab.errors import DataCorrupt

_ALLOWANCE_BYTES = 64_000_000
"""Most bytes that an archive may hold beside the expected files."""

_UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    struct.error,
)


def read_members(path: Path, most_bytes: Mapping[str, int]) -> dict[str, bytes]:
    """Read the expected files in a folder, .tar, .tar.gz or .zip, at any depth.

    Args:
        path: the folder (and its own folders) or archive.
        most_bytes: file name -> most bytes it may hold. A member ``NAME.gz`` stands for ``NAME``.
    Raises:
        DataCorrupt: when the archive cannot be read, or a file in it is larger than it may be.
    """
    found: dict[str, bytes] = {}
    try:
        wanted = {*most_bytes, *(f"{name}.gz" for name in most_bytes)}
        for member, stream in _members(
            path, wanted, sum(most_bytes.values()) + _ALLOWANCE_BYTES
        ):
            name = member.removesuffix(".gz")
            # The first of a name counts: a later member of it could not replace what was read.
            if name not in found:
                found[name] = _read(stream, member, most_bytes[name])
    except _UNREADABLE as error:
        raise DataCorrupt(
            f"{path.name} cannot be read as a folder, .tar, .tar.gz or .zip ({error})"
        ) from error
    return found


def _members(
    path: Path, wanted: Container[str], most_bytes: int
) -> Iterator[tuple[str, IO[bytes]]]:
    """Open the wanted members, and no others: one of those may well be unreadable."""
    if path.is_dir():
        return _folder_members(path, wanted)
    if zipfile.is_zipfile(path):
        return _zip_members(path, wanted)
    return _tar_members(path, wanted, most_bytes)


def _folder_members(folder: Path, wanted: Container[str]) -> Iterator[tuple[str, IO[bytes]]]:
    # Two levels: official archives unpack into a folder of their own, and a home folder is not searched through.
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if path.name in wanted and path.is_file():
            with path.open("rb") as stream:
                yield path.name, stream


def _zip_members(path: Path, wanted: Container[str]) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename).name
            # 1: encrypted
            if name in wanted and not member.is_dir() and not member.flag_bits & 1:
                with archive.open(member) as stream:
                    yield name, stream


def _tar_members(
    path: Path, wanted: Container[str], most_bytes: int
) -> Iterator[tuple[str, IO[bytes]]]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as stream:
        # A stream (`r|`) is read once from its start, so that the limit holds for all that is decompressed.
        limited: Any = _Limited(stream, most_bytes)
        with tarfile.open(fileobj=limited, mode="r|") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                is_wanted = name in wanted and member.isreg()
                content = archive.extractfile(member) if is_wanted else None
                if content is not None:
                    yield name, content


def _read(stream: IO[bytes], member: str, most_bytes: int) -> bytes:
    if member.endswith(".gz"):
        stream = gzip.GzipFile(fileobj=stream)  # type: ignore[assignment]
    # One byte too many shows that there are more, however many.
    content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise DataCorrupt(f"{member} holds more than the {most_bytes:,} bytes that it should")
    return content


class _Limited:
    """A stream that fails once more bytes are read than an honest archive would hold."""

    def __init__(self, stream: gzip.GzipFile | IO[bytes], most_bytes: int) -> None:
        self.stream, self.left = stream, most_bytes

    def read(self, size: int) -> bytes:
        self.left -= size
        if self.left < 0:
            raise DataCorrupt(
                "the archive holds far more than the expected files; it is not read further"
            )
        return self.stream.read(size)
