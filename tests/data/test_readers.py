"""Official files as arrays, against files written from their description."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_samples import ARRAYS, FILES, GZIPPED, idx, tar, tiny_entry
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from losslab.data import readers
from losslab.data.readers import (
    cifar_batch,
    cifar_from_png,
    read_cifar,
    read_idx,
    read_official,
)
from losslab.errors import DataCorrupt, DataUnavailable

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (7, 3, 32, 32), dtype=np.uint8)
LABELS = RANDOM.integers(0, 10, 7).astype(np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """One image a row, pixel after pixel, as the npm package holds them."""
    canvas = Image.new("RGB", (1024, len(pixels)))
    for row, image in enumerate(pixels):
        for at in range(1024):
            red, green, blue = (int(image[channel, at // 32, at % 32]) for channel in range(3))
            canvas.putpixel((at, row), (red, green, blue))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_cifar_batch_is_read_as_it_was_written() -> None:
    batch = b"".join(
        bytes([label]) + b"".join(channel.tobytes() for channel in image)
        for label, image in zip(LABELS, PIXELS, strict=True)
    )
    images, labels = read_cifar([batch, batch])
    assert np.array_equal(images, np.concatenate([PIXELS, PIXELS]))
    assert np.array_equal(labels, [*LABELS, *LABELS])
    assert labels.dtype == np.int64


def test_a_png_batch_becomes_the_binary_batch() -> None:
    images, labels = read_cifar([cifar_batch(png(PIXELS), LABELS)])
    assert np.array_equal(images, PIXELS)
    assert np.array_equal(labels, LABELS)


def test_the_png_package_becomes_all_six_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_BATCH_IMAGES", 7)
    contents = {f"{name}.png": png(PIXELS + at) for at, name in enumerate(readers._PNG_FILES)}
    labels = [int(label) for label in LABELS]
    contents |= {
        "train_lables.json": json.dumps(labels * 5).encode(),
        "test_lables.json": json.dumps(labels).encode(),
    }
    batches = cifar_from_png(contents)
    assert list(batches) == [f"{name}.bin" for name in readers._PNG_FILES]
    assert np.array_equal(read_cifar([batches["test_batch.bin"]])[0], PIXELS + 5)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda contents: contents | {"data_batch_3.png": b"<html>"},
        lambda contents: contents | {"data_batch_3.png": png(PIXELS[:3])},
        lambda contents: contents | {"data_batch_3.png": contents["data_batch_3.png"][:2000]},
        lambda contents: contents | {"test_lables.json": b"[1, 2"},
        lambda contents: contents | {"test_lables.json": b"[1, 2]"},
        lambda contents: contents | {"test_lables.json": b"[300, 0, 0, 0, 0, 0, 0]"},
        lambda contents: contents | {"test_lables.json": b'{"a": 1}'},
    ],
    ids=[
        "html",
        "too few rows",
        "cut",
        "cut labels",
        "too few labels",
        "label above 255",
        "no list",
    ],
)
def test_a_png_package_of_another_form_is_corrupt(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[dict[str, bytes]], dict[str, bytes]]
) -> None:
    monkeypatch.setattr(readers, "_BATCH_IMAGES", 7)
    contents = {f"{name}.png": png(PIXELS) for name in readers._PNG_FILES}
    contents |= {
        "train_lables.json": json.dumps([1] * 35).encode(),
        "test_lables.json": json.dumps([1] * 7).encode(),
    }
    cifar_from_png(contents)
    with pytest.raises(DataCorrupt, match="PNG form"):
        cifar_from_png(spoil(contents))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_idx_round_trips(shape: list[int]) -> None:
    array = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(read_idx(idx(array)), array)


@given(st.binary(max_size=40))
def test_other_bytes_are_no_idx_file(content: bytes) -> None:
    try:
        array = read_idx(content)
    except DataCorrupt:
        return
    assert idx(array) == content


@pytest.mark.parametrize(
    "spoil", [lambda c: c[:-1], lambda c: c + b"0", lambda c: b"\0\0\x09" + c[3:]]
)
def test_a_cut_or_lengthened_idx_file_is_corrupt(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DataCorrupt, match="IDX"):
        read_idx(spoil(idx(PIXELS)))


@pytest.mark.parametrize("contents", [FILES, GZIPPED], ids=["plain", "gzipped"])
@pytest.mark.parametrize("form", ["folder", "inner folder", "tar", "tar.gz", "zip"])
def test_official_files_are_read_from_any_container(
    tmp_path: Path, contents: dict[str, bytes], form: str
) -> None:
    arrays = read_official(tiny_entry(), container(tmp_path, contents, form))
    assert np.array_equal(arrays["train_images"][:, 0], ARRAYS["train_images"])
    assert np.array_equal(arrays["test_labels"], ARRAYS["test_labels"])
    assert arrays["test_labels"].dtype == np.int64


def container(folder: Path, contents: dict[str, bytes], form: str) -> Path:
    if "folder" in form:
        inner = folder / "raw" if "inner" in form else folder
        inner.mkdir(exist_ok=True)
        for name, content in contents.items():
            (inner / name).write_bytes(content)
        return folder
    path = folder / f"archive.{form}"
    if form == "zip":
        import zipfile

        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                archive.writestr(f"deep/er/{name}", content)
    else:
        path.write_bytes(
            tar(
                {f"deep/er/{name}": c for name, c in contents.items()},
                "w:gz" if "gz" in form else "w",
            )
        )
    return path


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    contents = {name: content for name, content in FILES.items() if "t10k-labels" not in name}
    with pytest.raises(DataUnavailable, match="holds no t10k-labels-idx1-ubyte"):
        read_official(tiny_entry(), container(tmp_path, contents, "folder"))


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_in_any_file_is_told_by_its_md5(tmp_path: Path, name: str) -> None:
    changed = FILES | {name: FILES[name][:-1] + bytes([FILES[name][-1] ^ 1])}
    with pytest.raises(DataCorrupt, match=f"{name} of .* has md5 .*, not "):
        read_official(tiny_entry(), container(tmp_path, changed, "tar.gz"))
