"""Downloads that end: bounded in time, in attempts and in bytes, going on where an attempt was cut off."""

import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from losslab.errors import DataUnavailable

ATTEMPTS = 4
TIMEOUT_SECONDS = 5.0
"""Longest wait for a connection, and for the next bytes."""
PAUSE_SECONDS = 1.0
_CHUNK_BYTES = 1 << 18


def download(url: str, folder: Path, *, most_bytes: int, progress: Callable[[str], None]) -> Path:
    """Download a file into a folder.

    A host that cannot be reached or that refuses is not asked again; one that breaks off is, from where it broke off.

    Raises:
        DataUnavailable: when the host does not answer, refuses, breaks off at every attempt or sends too much.
    """
    path = folder / url.rpartition("/")[2]
    path.touch()
    fault = ""
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_SECONDS * attempt)
        try:
            with _open(url, path.stat().st_size) as response:
                return _receive(response, path, most_bytes, progress)
        except HTTPError as error:
            error.close()
            fault = f"HTTP status {error.code}"
            if error.code < 500:
                break
        except URLError as error:
            raise DataUnavailable(f"{url}: {error.reason}") from error
        except (OSError, HTTPException) as error:
            fault = str(error) or type(error).__name__
    raise DataUnavailable(f"{url}: {fault} (attempt {attempt + 1} of at most {ATTEMPTS})")


def _open(url: str, start: int) -> HTTPResponse:
    headers = {"User-Agent": "losslab", **({"Range": f"bytes={start}-"} if start else {})}
    response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    return response


def _receive(response: HTTPResponse, path: Path, most_bytes: int, progress: Callable[[str], None]) -> Path:
    resumed = response.status == 206
    done = path.stat().st_size if resumed else 0
    total = done + int(response.headers.get("Content-Length") or 0)
    with path.open("ab" if resumed else "wb") as file:
        while chunk := response.read(_CHUNK_BYTES):
            _tell(path.name, done, done + len(chunk), total, progress)
            done += file.write(chunk)
            if done > most_bytes:
                raise DataUnavailable(f"{response.url}: sends more than the {most_bytes:,} bytes that it should")
    if done < total:
        raise OSError(f"broke off after {done:,} of {total:,} bytes")
    return path


def _tell(name: str, before: int, after: int, total: int, progress: Callable[[str], None]) -> None:
    """Report each tenth as it is passed."""
    if total > 1_000_000 and after * 10 // total > before * 10 // total:
        progress(f"  {name}: {after * 100 // total} % of {total / 1e6:.0f} MB")
