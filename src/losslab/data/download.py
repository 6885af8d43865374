"""Download a file with bounds on time, attempts and bytes; an attempt resumes where the last was cut off."""

import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from losslab.data.store import unwritable
from losslab.errors import DataUnavailable

ATTEMPTS = 4
TIMEOUT_SECONDS = 5.0
"""Longest wait for a connection, and for the next bytes."""
PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
LEAST_BYTES_A_SECOND = 10_000
"""A host that is slower than this, on average over more than `PATIENCE_SECONDS`, has broken off."""
_CHUNK_BYTES = 1 << 18


def download(
    url: str, folder: Path, *, most_bytes: int, progress: Callable[[str], None]
) -> Path:
    """Download a file into a folder.

    A host that cannot be reached or that refuses gets no second attempt; one that breaks off does, and resumes, also
    where the network is gone for a moment.

    Raises:
        DataUnavailable: when the host does not answer, refuses, breaks off at every attempt or sends too much.
        InvalidInput: when what arrives cannot be written: the disk is full or the folder gone, and no attempt helps.
    """
    path = folder / url.rpartition("/")[2]
    # What an earlier download left must not be taken for this one's beginning.
    _write(path, "wb", b"")
    fault = ""
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_SECONDS * attempt)
        try:
            with _open(url, _size(path)) as response:
                return _receive(response, path, most_bytes, progress)
        except HTTPError as error:
            error.close()
            fault = f"HTTP status {error.code}"
            if error.code < 500:  # a refusal stays one; a fault of the host may pass
                break
        except URLError as error:
            fault = str(error.reason)
            if not _size(path):  # a network that was there a moment ago may come back
                raise DataUnavailable(f"{url}: {fault}") from error
        except (OSError, HTTPException) as error:
            fault = str(error) or type(error).__name__
    raise DataUnavailable(f"{url}: {fault} (attempt {attempt + 1} of at most {ATTEMPTS})")


def _open(url: str, start: int) -> HTTPResponse:
    headers = {"User-Agent": "losslab", **({"Range": f"bytes={start}-"} if start else {})}
    response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    return response


def _receive(
    response: HTTPResponse, path: Path, most_bytes: int, progress: Callable[[str], None]
) -> Path:
    # A host that cannot resume sends all of it again, with 200.
    resumed = response.status == 206
    done = _size(path) if resumed else 0
    if not resumed:
        _write(path, "wb", b"")
    total = done + (response.length or 0)
    began, before = time.monotonic(), done
    # What has arrived, and not a whole chunk: each wait for that would have no end.
    while chunk := response.read1(_CHUNK_BYTES):
        _write(path, "ab", chunk)
        _report_tenth(path.name, done, done + len(chunk), total, progress)
        done += len(chunk)
        if done > most_bytes:
            raise DataUnavailable(
                f"{response.url}: sends more than the {most_bytes:,} bytes that it should"
            )
        seconds = time.monotonic() - began
        if seconds > PATIENCE_SECONDS and done - before < LEAST_BYTES_A_SECOND * seconds:
            raise OSError(f"sent {done - before:,} bytes in {seconds:.0f} s")
    if done < total:
        raise OSError(f"broke off after {done:,} of {total:,} bytes")
    return path


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _write(path: Path, mode: str, content: bytes) -> None:
    """Write and close, so that a full disk is known here and not taken for a fault of the host."""
    try:
        with path.open(mode) as file:
            file.write(content)
    except OSError as error:
        raise unwritable(error) from error


def _report_tenth(
    name: str, before: int, after: int, total: int, progress: Callable[[str], None]
) -> None:
    """Report each tenth as it is passed."""
    if total > 1_000_000 and after * 10 // total > before * 10 // total:
        progress(f"  {name}: {after * 100 // total} % of {total / 1e6:.0f} MB")
