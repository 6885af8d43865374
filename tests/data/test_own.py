"""Own data, whatever form it has: its moments, its held-out parts, and what is no data set."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from losslab.data import Dataset, is_dataset, load
from losslab.data.batches import on_device
from losslab.errors import InvalidInput
from losslab.spec import make_run
from losslab.study.sizes import part_sizes
from losslab.training.loop import train

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (30, 3, 8, 8), dtype=np.uint8)
LABELS = np.arange(30) % 3
PARTS = {
    "train_images": IMAGES,
    "train_labels": LABELS,
    "test_images": IMAGES[:6],
    "test_labels": LABELS[:6],
}


def save(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "own.npz", **arrays)
    return str(folder / "own.npz")


def test_mean_and_deviation_are_those_of_the_training_images(tmp_path: Path) -> None:
    dataset = load(save(tmp_path, **PARTS))
    scaled = IMAGES.astype(np.float64) / 255
    assert dataset.mean == pytest.approx(scaled.mean(axis=(0, 2, 3)))
    assert dataset.std == pytest.approx(scaled.std(axis=(0, 2, 3)))


def test_without_test_images_a_fifth_is_held_out_and_the_title_says_so(tmp_path: Path) -> None:
    dataset = load(save(tmp_path, train_images=IMAGES, train_labels=LABELS))
    assert (len(dataset.train_labels), len(dataset.test_labels)) == (24, 6)
    assert "20% of its images held out" in dataset.title
    seen = {
        image.tobytes()
        for part in (dataset.train_images, dataset.test_images)
        for image in part
    }
    assert seen == {image.tobytes() for image in IMAGES}


def test_a_factory_is_a_data_set() -> None:
    assert isinstance(load("samples:tiny_data"), Dataset)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:make", "cannot import no_such_module"),
        ("samples:no_such", "samples has no 'no_such'"),
        ("os:getcwd", "gave str, not a losslab.data.TaskData or a losslab.data.Dataset"),
        ("os:open", "data set 'os:open': TypeError: "),
        ("data_samples:without_its_file", "FileNotFoundError: nowhere.csv not found"),
        (
            "data_samples:with_its_own_fault",
            "data set 'data_samples:with_its_own_fault': ZeroDivisionError: ",
        ),
        (
            "cifar-10",
            "did you mean 'cifar10'.*or a folder of images by class, an .npz file or package.module:factory",
        ),
        ("missing.npz", r"no such folder or .npz file: 'missing.npz' \(looked for in /"),
        ("/no/missing.npz", "no such folder or .npz file: '/no/missing.npz'$"),
    ],
)
def test_what_is_no_data_set_is_one_clear_line(name: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        load(name)


def test_a_name_is_judged_by_its_form_alone(tmp_path: Path) -> None:
    assert is_dataset("fashion-mnist-sample")
    assert is_dataset(str(tmp_path))
    assert is_dataset("no_such_module.inner:make")
    assert not is_dataset("cifar")
    assert not is_dataset("module:")
    assert not is_dataset(str(tmp_path / "missing.npz"))


def test_validation_images_and_labels_come_together(tmp_path: Path) -> None:
    dataset = load(save(tmp_path, **PARTS))
    with pytest.raises(
        ValueError, match=r"validation_images and validation_labels must be given together"
    ):
        replace(dataset, validation_images=IMAGES)
    with pytest.raises(
        ValueError, match=r"validation images .3, 4, 8. must have the shape of training images"
    ):
        replace(dataset, validation_images=IMAGES[:, :, :4], validation_labels=LABELS)


def test_a_run_validates_on_the_images_that_the_data_names(tmp_path: Path) -> None:
    name = save(tmp_path, **PARTS, val_images=IMAGES[:9], val_labels=LABELS[:9])
    spec = {
        "data": name,
        "model": "mlp(hidden=[4])",
        "optimizer": "adam",
        "lr": 0.01,
        "batch": 8,
        "epochs": 1,
    }
    start, *_, evaluation, _ = train(make_run(spec))
    assert (start.training_images, start.validation_images) == (30, 9)
    assert part_sizes(make_run(spec)) == (30, 9, 6)
    assert evaluation.validation_accuracy * 9 == pytest.approx(
        round(evaluation.validation_accuracy * 9)
    )
    few = make_run({**spec, "data": {"name": name, "train_images": 12}})
    assert part_sizes(few) == (12, 9, 6)
    other = make_run({**spec, "data": {"name": name, "validation_fraction": 0.2}})
    with pytest.raises(
        InvalidInput, match=r"validation_fraction .=0.2. must be left out: .* names its own 9"
    ):
        next(train(other))


def test_the_part_of_a_run_is_what_split_says(tmp_path: Path) -> None:
    dataset = load(save(tmp_path, **PARTS, val_images=IMAGES[:9] // 2, val_labels=LABELS[:9]))
    training, validation = dataset.split(train_images=6)
    device = torch.device("cpu")
    assert np.array_equal(
        on_device(dataset, training, device=device).pixels.numpy(), IMAGES[training]
    )
    assert np.array_equal(
        on_device(dataset, validation, device=device).pixels.numpy(), IMAGES[:9] // 2
    )
    assert np.array_equal(on_device(dataset, None, device=device).pixels.numpy(), IMAGES[:6])
