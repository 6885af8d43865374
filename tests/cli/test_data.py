"""``losslab data``: list, fetch, show."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_samples import FILES, tar, tiny_entry
from PIL import Image

from losslab.cli import run_command
from losslab.data import CATALOG, Dataset, load, write_samples
from losslab.data.picture import sample_grid
from losslab.errors import InvalidInput

SAMPLE = "fashion-mnist-sample"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def losslab(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run_command(arguments)
    return status, *capsys.readouterr()


def losslab_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    status, out, err = losslab(capsys, *arguments, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def test_list_names_every_data_set_and_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in losslab_json(capsys, "data", "list")}
    assert rows.keys() == CATALOG.keys()
    assert rows["cifar10"]["path"] is None
    assert Path(rows[SAMPLE]["path"]).exists()
    assert (rows["cifar10"]["train_images"], rows["cifar10"]["test_images"]) == (50_000, 10_000)
    _, out, _ = losslab(capsys, "data", "list")
    assert all(name in out for name in CATALOG)


def test_fetch_from_a_path_says_what_is_where(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mine.tar.gz").write_bytes(tar(FILES))
    monkeypatch.setitem(CATALOG, "fashion-mnist", tiny_entry())
    status, out, err = losslab(
        capsys, "data", "fetch", "fashion-mnist", "--source", "mine.tar.gz"
    )
    assert (status, err) == (0, "fashion-mnist from mine.tar.gz\n")
    assert "40 training and 10 test images" in out
    facts = losslab_json(capsys, "data", "fetch", "fashion-mnist")
    assert facts["train_images"] == 40
    assert Path(facts["path"]).parent == folder / "cache"


def test_show_gives_sizes_classes_and_images_per_class(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    facts = losslab_json(capsys, "data", "show", SAMPLE)
    assert facts["sizes"] == {"train": 5000, "training": 4500, "validation": 500, "test": 1000}
    assert facts["images_per_class"]["bag"] == {
        "train": 500,
        "training": 450,
        "validation": 50,
        "test": 100,
    }
    assert list(facts["images_per_class"]) == facts["classes"]
    assert facts["sample"]
    assert "sample" in facts["title"]
    assert [path.name for path in folder.iterdir()] == []


def test_show_draws_three_images_of_each_class(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    status, out, _ = losslab(capsys, "data", "show", SAMPLE)
    assert status == 0
    assert "trouser" in out
    with Image.open(folder / f"{SAMPLE}-samples.png") as picture:
        assert picture.format == "PNG"
    losslab(capsys, "data", "show", SAMPLE, "--picture", "other.svg")
    assert (folder / "other.svg").read_text().startswith("<?xml")


def test_the_grid_holds_the_first_images_of_each_class() -> None:
    dataset = load("samples:tiny_data")
    grid = sample_grid(dataset, 2)
    for label in range(3):
        first, second = np.flatnonzero(dataset.train_labels == label)[:2]
        for place, index in enumerate((first, second)):
            cell = grid[label * 8 : label * 8 + 6, place * 8 : place * 8 + 6]
            assert np.array_equal(cell.transpose(2, 0, 1), dataset.train_images[index])
    assert np.all(grid[:, 6:8] == 255)


def test_a_class_without_images_stays_white(tmp_path: Path) -> None:
    whole: Dataset = load("samples:tiny_data")
    dataset = Dataset(**{**vars(whole), "classes": (*whole.classes, "empty")})
    assert np.all(sample_grid(dataset, 3)[3 * 8 :] == 255)
    write_samples(dataset, tmp_path / "picture.png")


def test_a_picture_of_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"must end in .png, .svg or .pdf"):
        write_samples(load("samples:tiny_data"), tmp_path / "picture.exe")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["fetch", "cifar"], 2, "did you mean 'cifar10'"),
        (["fetch", "cifar10", "--source", "debian"], 2, "does not have cifar10"),
        (["show", "cifar"], 2, "did you mean 'cifar10'"),
        (
            ["show", SAMPLE, "--picture", "missing/x.png"],
            2,
            "--picture missing/x.png: there is no folder missing",
        ),
        (["show", SAMPLE, "--picture", "x.exe"], 2, "must end in"),
        (["show"], 2, ""),
    ],
)
def test_errors_are_one_line_with_their_exit_code(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, message: str
) -> None:
    ended, out, err = losslab(capsys, "data", *arguments)
    assert ended == status
    assert message in err
    assert (out, err.count("\n"), err.startswith("losslab: ")) == ("", 1, True)


@pytest.mark.parametrize("command", ["list", "fetch", "show"])
def test_help_has_an_example(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert f"losslab data {command}" in losslab(capsys, "data", command, "--help")[1]


def test_show_counts_the_validation_images_that_a_data_set_names(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    images, labels = (
        np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8),
        np.arange(40) % 2,
    )
    parts = {"train": slice(0, 20), "val": slice(20, 30), "test": slice(30, 40)}
    arrays = {}
    for part, some in parts.items():
        arrays |= {f"{part}_images": images[some], f"{part}_labels": labels[some]}
    np.savez(folder / "own.npz", **arrays)
    facts = losslab_json(capsys, "data", "show", "own.npz")
    assert facts["sizes"] == {"train": 20, "training": 20, "validation": 10, "test": 10}
    assert facts["validation_fraction"] is None
    status, out, _ = losslab(capsys, "data", "show", "own.npz")
    assert status == 0
    assert "validation (its own)" in out
    assert (folder / "own.npz-samples.png").exists()
