"""A tiny data set in the official layouts, archives of it, and a host that serves it with faults."""

import gzip
import io
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from numpy.typing import NDArray

from losslab.data.catalog import CATALOG, Entry, File

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "train_images": RANDOM.integers(0, 256, (40, 28, 28), dtype=np.uint8),
    "train_labels": np.arange(40, dtype=np.uint8) % 10,
    "test_images": RANDOM.integers(0, 256, (10, 28, 28), dtype=np.uint8),
    "test_labels": np.arange(10, dtype=np.uint8),
}
NAMES = [file.name for file in CATALOG["fashion-mnist"].files]


def idx(array: NDArray[np.uint8]) -> bytes:
    """An IDX file of bytes, written from its description."""
    axes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + axes + array.tobytes()


FILES = dict(zip(NAMES, map(idx, ARRAYS.values()), strict=True))
GZIPPED = {f"{name}.gz": gzip.compress(content) for name, content in FILES.items()}


def tiny_entry(*urls: str, npm: str = "", debian: str = "") -> Entry:
    """Fashion-MNIST's entry, cut down to the tiny files and to the given places."""
    files = tuple(
        File(name, len(content), md5(content).hexdigest()) for name, content in FILES.items()
    )
    parts = {"train_files": files[:2], "test_files": files[2:]}
    return replace(CATALOG["fashion-mnist"], **parts, urls=urls, npm=npm, debian=debian)


def tar(contents: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    """A tar archive of files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


def whole(request: BaseHTTPRequestHandler, content: bytes) -> None:
    """Answer as an honest host does."""
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


@contextmanager
def host(
    contents: Mapping[str, bytes], answer: Answer = whole
) -> Iterator[tuple[list[str], list[str]]]:
    """A host on this machine: the addresses of its files, and the list of requests that it gets."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            answer(self, contents[self.path[1:]])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield (
                [f"http://127.0.0.1:{server.server_port}/{name}" for name in contents],
                requests,
            )
        finally:
            server.shutdown()
            thread.join()


def without_its_file() -> object:
    """A data set of one's own, whose file is not there."""
    return np.loadtxt("nowhere.csv")


def with_its_own_fault() -> object:
    """A data set of one's own that fails for a reason of its own."""
    raise ZeroDivisionError("as intended")
