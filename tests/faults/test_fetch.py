"""Row 25: one data set fetched by two processes at once, and a cache that is removed or full meanwhile."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from data_samples import ARRAYS, FILES, host, tar, tiny_entry, whole

from losslab.data import CATALOG, fetch
from losslab.data.store import open_arrays
from losslab.errors import InvalidInput

NAME = "fashion-mnist"
ARCHIVE = {"set.tar.gz": tar(FILES)}
FETCH = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from data_samples import tiny_entry
from losslab.data import CATALOG, fetch
from losslab.errors import LosslabError
CATALOG["fashion-mnist"] = tiny_entry(sys.argv[2])
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    fetch("fashion-mnist")
except LosslabError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""

Fetch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def start_fetch(cache: Path) -> Iterator[Fetch]:
    """Starts a process that fetches the data set into the cache."""
    started: list[subprocess.Popen[str]] = []

    def start(url: str, *limit: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", FETCH, str(Path(__file__).parents[1]), url, *limit]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def errors(process: "subprocess.Popen[str]") -> str:
    assert process.stderr
    return process.stderr.read()


def wait_for_line(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stderr
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"the process ended without saying '{text}'")


def check_cache(cache: Path) -> None:
    """The whole data set is there, and beside it the lock alone."""
    assert {path.name for path in cache.iterdir()} == {f"{NAME}.safetensors", f".{NAME}.lock"}
    arrays, _ = open_arrays(cache / f"{NAME}.safetensors")
    assert np.array_equal(arrays["train_images"][:, 0], ARRAYS["train_images"])


@pytest.mark.row(25)
@pytest.mark.parametrize("killed", [False, True], ids=["the first ends", "the first is killed"])
def test_of_two_processes_one_fetches_and_the_other_waits(
    cache: Path, start_fetch: Fetch, trials: Callable[[int, int], int], killed: bool
) -> None:
    for _ in range(trials(1, 10)):
        asked, released = threading.Event(), threading.Event()

        def held_back(
            request: BaseHTTPRequestHandler, content: bytes, asked=asked, released=released
        ) -> None:
            asked.set()
            released.wait(60)
            whole_or_gone(request, content)

        with host(ARCHIVE, held_back) as (urls, requests):
            first = start_fetch(*urls)
            assert asked.wait(60)
            second = start_fetch(*urls)
            wait_for_line(
                second,
                f"{NAME} is being fetched, waiting for it ({cache}: in use by process {first.pid} on",
            )
            if killed:
                first.kill()
            released.set()
            assert first.wait(60) == (-9 if killed else 0)
            assert second.wait(60) == 0, errors(second)
            assert len(requests) == (2 if killed else 1)
        check_cache(cache)
        shutil.rmtree(cache)


def whole_or_gone(request: BaseHTTPRequestHandler, content: bytes) -> None:
    """Answer, be the process that asked there or not."""
    try:
        whole(request, content)
    except (BrokenPipeError, ConnectionResetError):
        request.close_connection = True


@pytest.mark.row(25)
def test_a_cache_removed_while_a_set_is_fetched_is_one_clear_line_and_the_next_fetch_works(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removing(request: BaseHTTPRequestHandler, content: bytes) -> None:
        shutil.rmtree(cache)
        whole(request, content)

    with host(ARCHIVE, removing) as (urls, requests):
        monkeypatch.setitem(CATALOG, NAME, tiny_entry(*urls))
        with pytest.raises(
            InvalidInput,
            match=r"cannot be written .No such file or directory.; .* LOSSLAB_CACHE",
        ):
            fetch(NAME, progress=lambda _: None)
        assert len(requests) == 1
    assert not cache.exists()
    with host(ARCHIVE) as (urls, _):
        monkeypatch.setitem(CATALOG, NAME, tiny_entry(*urls))
        fetch(NAME, progress=lambda _: None)
    check_cache(cache)


@pytest.mark.row(25)
def test_a_cache_removed_after_the_download_is_made_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from losslab.data import loading

    read_official = loading.read_official

    def read_and_remove(entry, path):
        arrays = read_official(entry, path)
        shutil.rmtree(cache)
        return arrays

    monkeypatch.setattr(loading, "read_official", read_and_remove)
    with host(ARCHIVE) as (urls, _):
        monkeypatch.setitem(CATALOG, NAME, tiny_entry(*urls))
        fetch(NAME, progress=lambda _: None)
    assert [path.name for path in cache.iterdir()] == [f"{NAME}.safetensors"]


@pytest.mark.row(25)
def test_a_full_cache_is_one_clear_line_and_leaves_nothing_partial(
    cache: Path,
    start_fetch: Fetch,
    trials: Callable[[int, int], int],
    measured: Callable[[str], None],
) -> None:
    needed = 40_000  # the archive and the arrays are each a little larger
    limits = np.linspace(200, needed, trials(3, 20)).astype(int)
    with host(ARCHIVE) as (urls, requests):
        for limit in limits:
            process = start_fetch(*urls, str(limit))
            *_, last = errors(process).splitlines()
            assert process.wait(60) == 1
            assert last.startswith(
                f"InvalidInput: the cache folder {cache} cannot be written (File too large); free"
            )
            assert [path.name for path in cache.iterdir()] == [f".{NAME}.lock"]
        assert len(requests) == len(limits)  # no attempt is repeated, since none would help
        process = start_fetch(*urls)
        assert process.wait(60) == 0, errors(process)
    check_cache(cache)
    measured(f"{len(limits)} of {len(limits)} full disks left nothing partial")
