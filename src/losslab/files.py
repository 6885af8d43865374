"""Files that survive a crash: replaced at once, JSON in and out, locks that end with their process."""

import fcntl
import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TextIO

from losslab.errors import StoreError


def path_of(text: str) -> Path:
    """The path that a user wrote, with the ~ that the shell left; that of an unknown user stays as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def write_bytes(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Replace a file at once: its readers see the old content or the new one, never a part.

    The new content is written beside the file, reaches the disk, and only then takes the file's name.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        # After the content: renamed first, a power cut could leave the name on an empty file.
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace a file at once by a text in UTF-8; bytes of a path that are none are shown as escapes."""
    write_bytes(path, [text.encode(errors="backslashreplace")])


def sync_folder(folder: Path) -> None:
    """Make a rename within the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Replace a file by a value in strict, readable JSON."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read the value in a JSON file.

    Raises:
        StoreError: when it is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error})") from error


def complete_lines(path: Path) -> list[bytes]:
    """Read the lines of a file that end in a newline; a line that a crash tore is left out."""
    if not path.exists():
        return []
    return [
        line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")
    ]


@contextmanager
def locked(path: Path, wait_seconds: float) -> Iterator[None]:
    """Hold a lock on a file that names its holder; the system releases it when that process ends, however it ends.

    Raises:
        StoreError: when another process holds it for longer than that.
    """
    with path.open("a+", encoding="utf-8") as file:
        until = monotonic() + wait_seconds
        # Tried again and again, since flock either waits without end or not at all.
        while not _try_lock(file):
            if monotonic() > until:
                file.seek(0)
                raise StoreError(
                    f"{path.parent}: in use by {file.read().strip() or 'another process'}"
                )
            sleep(0.1)
        # Opened to append and emptied here: opening it to write would erase the holder's name while another holds it.
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
