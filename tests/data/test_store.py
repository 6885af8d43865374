"""The file of a data set: the same bytes each time, whole or absent, every damage seen."""

import os
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from losslab.data.store import cache_folder, open_arrays, workspace, write_arrays
from losslab.errors import DataCorrupt, InvalidInput

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 3, 7, 7), dtype=np.uint8)
LABELS = np.arange(5)
ARRAYS = {"images": IMAGES, "labels": LABELS}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    write_arrays(tmp_path / "set.safetensors", ARRAYS, {"source": "here"})
    return tmp_path / "set.safetensors"


def test_arrays_and_facts_round_trip(stored: Path) -> None:
    arrays, facts = open_arrays(stored)
    assert facts["source"] == "here"
    for name, array in ARRAYS.items():
        assert np.array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_the_safetensors_library_reads_the_same(stored: Path) -> None:
    for name, array in load_file(stored).items():
        assert np.array_equal(array, ARRAYS[name])


def test_the_same_arrays_give_the_same_bytes(stored: Path, tmp_path: Path) -> None:
    write_arrays(tmp_path / "again", ARRAYS, {"source": "here"})
    assert (tmp_path / "again").read_bytes() == stored.read_bytes()


def test_arrays_are_mapped_and_torch_takes_them_without_a_copy_or_a_warning(
    stored: Path,
) -> None:
    images = open_arrays(stored)[0]["images"]
    assert isinstance(images, np.memmap)
    with warnings.catch_warnings(action="error"):
        tensor = torch.from_numpy(images)
    assert tensor.data_ptr() == images.ctypes.data


def test_writing_to_a_mapped_array_leaves_the_file_as_it_was(stored: Path) -> None:
    before = stored.read_bytes()
    open_arrays(stored)[0]["images"][:] = 0
    assert stored.read_bytes() == before


@given(st.data())
@settings(max_examples=200)
def test_a_file_with_any_byte_of_data_changed_is_corrupt(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / f"set-{os.getpid()}"
    write_arrays(path, ARRAYS, {})
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(8 + int.from_bytes(content[:8], "little"), len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(DataCorrupt, match="differs from its sha256"):
        open_arrays(path)


@given(st.data())
def test_a_changed_header_is_corrupt_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / f"set-{os.getpid()}"
    write_arrays(path, ARRAYS, {})
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, 7 + int.from_bytes(content[:8], "little")))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with suppress(DataCorrupt):
        arrays, _ = open_arrays(path)
        assert sum(array.nbytes for array in arrays.values()) == IMAGES.nbytes + LABELS.nbytes


def test_a_file_cut_anywhere_is_corrupt(stored: Path) -> None:
    content = stored.read_bytes()
    for length in range(0, len(content), 13):
        stored.write_bytes(content[:length])
        with pytest.raises(
            DataCorrupt, match=r"is corrupt .*; delete it and run `losslab data fetch`"
        ):
            open_arrays(stored)


@pytest.mark.parametrize(
    "content", [b"<html>" * 50, save({"x": LABELS})], ids=["html", "no checksums"]
)
def test_another_file_is_corrupt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataCorrupt):
        open_arrays(tmp_path / "x")


def test_a_failed_write_leaves_nothing_and_the_old_file_as_it_was(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        InvalidInput,
        match=r"cannot be written .No space left on device.; free some space or set LOSSLAB_CACHE",
    ):
        write_arrays(stored, {"images": IMAGES + 1}, {})
    assert stored.read_bytes() == before
    assert list(stored.parent.iterdir()) == [stored]


def test_an_interrupted_write_leaves_nothing(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_arrays(stored, ARRAYS, {})
    assert list(stored.parent.iterdir()) == [stored]


WRITE_MANY = """
import sys, numpy as np
from pathlib import Path
from losslab.data.store import write_arrays
value = int(sys.argv[2])
for _ in range(50):
    write_arrays(Path(sys.argv[1]), {"images": np.full((9, 999), value, np.uint8)}, {})
"""


def test_two_writers_at_once_never_show_a_reader_anything_but_a_whole_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "set"
    write_arrays(path, {"images": np.full((9, 999), 1, np.uint8)}, {})
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE_MANY, str(path), str(value)])
        for value in (1, 2)
    ]
    while any(writer.poll() is None for writer in writers):
        images = open_arrays(path)[0]["images"]
        assert images.min() == images.max()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]


def test_the_cache_folder_is_the_environments_or_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("LOSSLAB_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "losslab"


def test_a_cache_that_cannot_be_written_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "file" / "cache"))
    with (
        pytest.raises(InvalidInput, match=r"file/cache cannot be written .Not a directory."),
        workspace("x", print),
    ):
        pass
