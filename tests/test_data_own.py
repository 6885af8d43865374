import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from losslab.data import Dataset, is_dataset, load, summary
from losslab.errors import InvalidInput

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (30, 3, 8, 8), dtype=np.uint8)
LABELS = np.arange(30) % 3
PARTS = {"train_images": IMAGES, "train_labels": LABELS, "test_images": IMAGES[:6], "test_labels": LABELS[:6]}


def save(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "own.npz", **arrays)
    return str(folder / "own.npz")


def test_an_npz_file_is_a_data_set(tmp_path: Path) -> None:
    dataset = load(save(tmp_path, **PARTS, classes=np.array(["a", "b", "c"])))
    assert np.array_equal(dataset.train_images, IMAGES)
    assert np.array_equal(dataset.test_labels, LABELS[:6])
    assert dataset.classes == ("a", "b", "c")
    assert not dataset.sample


def test_mean_and_deviation_are_those_of_the_training_images(tmp_path: Path) -> None:
    dataset = load(save(tmp_path, **PARTS))
    scaled = IMAGES.astype(np.float64) / 255
    assert dataset.mean == pytest.approx(scaled.mean(axis=(0, 2, 3)))
    assert dataset.std == pytest.approx(scaled.std(axis=(0, 2, 3)))


@pytest.mark.parametrize(
    ("images", "shape"),
    [(IMAGES[:, 0], (1, 8, 8)), (IMAGES.transpose(0, 2, 3, 1), (3, 8, 8)), (IMAGES[:, :1], (1, 8, 8))],
    ids=["no channel axis", "channels last", "one channel"],
)
def test_keras_names_and_other_axes_are_understood(
    tmp_path: Path, images: NDArray[np.uint8], shape: tuple[int, ...]
) -> None:
    labels = LABELS[:, np.newaxis]
    dataset = load(save(tmp_path, x_train=images, y_train=labels, x_test=images, y_test=labels))
    assert dataset.train_images.shape == (30, *shape)
    assert np.array_equal(dataset.train_images[4, 0], IMAGES[4, 0])
    assert dataset.classes == ("0", "1", "2")


def test_without_test_images_a_fifth_is_held_out_and_the_title_says_so(tmp_path: Path) -> None:
    dataset = load(save(tmp_path, train_images=IMAGES, train_labels=LABELS))
    assert (len(dataset.train_labels), len(dataset.test_labels)) == (24, 6)
    assert "20% of its images held out" in dataset.title
    seen = {image.tobytes() for part in (dataset.train_images, dataset.test_images) for image in part}
    assert seen == {image.tobytes() for image in IMAGES}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES}, "it must hold train_images and train_labels .or x_train and y_train.; it holds images"),
        (PARTS | {"train_images": IMAGES / 255}, r"train_images \(=float64 \(30, 3, 8, 8\)\) must be uint8"),
        (PARTS | {"train_images": IMAGES[:, [0, 1]]}, "must have 1 or 3 channels, on axis 1 or 3"),
        (PARTS | {"train_labels": LABELS / 2}, "train_labels .=float64. must be integers"),
        (PARTS | {"train_labels": LABELS[:7]}, "own.npz"),
        (PARTS | {"train_labels": LABELS - 1}, "train_labels .=-1 to 1. must lie from 0 to 1"),
        (PARTS | {"test_labels": LABELS[:6] + 5}, "test_labels .=5 to 7. must lie from 0 to 2, as there are 3 classes"),
        (PARTS | {"test_images": IMAGES[:6, :, :4]}, r"test images \(3, 4, 8\) must have the shape of training"),
        (PARTS | {"train_images": IMAGES * 0}, "std .* must .* above 0"),
        (PARTS | {"train_images": IMAGES[:0], "train_labels": LABELS[:0]}, "own.npz"),
    ],
)
def test_an_unusable_npz_file_is_one_clear_line(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        load(save(tmp_path, **arrays))
    assert "\n" not in str(caught.value)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("executed",)


@pytest.mark.row(17)
@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04 cut", pickle.dumps(Bomb())])
def test_another_file_named_npz_is_refused_and_never_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.npz").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"data set 'own.npz': "):
        load("own.npz")
    assert not Path("executed").exists()


def test_objects_in_an_npz_file_are_refused_and_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path, train_images=np.array([Bomb()], dtype=object), train_labels=LABELS)
    with pytest.raises(InvalidInput, match="allow_pickle=False"):
        load("own.npz")
    assert not Path("executed").exists()


def write_images(folder: Path, images: NDArray[np.uint8], labels: NDArray[np.int64], mode: str = "RGB") -> None:
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / f"class {label}").mkdir(parents=True, exist_ok=True)
        pixels = Image.fromarray(image.transpose(1, 2, 0)).convert(mode)
        pixels.save(folder / f"class {label}" / f"{number:02}.png")


def test_a_folder_of_images_by_class_is_a_data_set(tmp_path: Path) -> None:
    write_images(tmp_path / "train", IMAGES, LABELS)
    write_images(tmp_path / "test", IMAGES[:6], LABELS[:6])
    (tmp_path / "train" / "class 0" / "notes.txt").write_text("no image")
    (tmp_path / "train" / ".hidden").mkdir()
    dataset = load(str(tmp_path))
    assert dataset.classes == ("class 0", "class 1", "class 2")
    order = np.argsort(LABELS, kind="stable")
    assert np.array_equal(dataset.train_images, IMAGES[order])
    assert np.array_equal(dataset.train_labels, LABELS[order])
    assert len(dataset.test_labels) == 6


def test_class_folders_alone_get_held_out_test_images(tmp_path: Path) -> None:
    write_images(tmp_path, IMAGES, LABELS, "L")
    assert summary(load(str(tmp_path)))["sizes"] == {"train": 24, "training": 22, "validation": 2, "test": 6}
    assert load(str(tmp_path)).train_images.shape == (24, 1, 8, 8)


def test_one_coloured_image_makes_all_coloured(tmp_path: Path) -> None:
    write_images(tmp_path, IMAGES[:15], LABELS[:15], "L")
    write_images(tmp_path, IMAGES[:16], LABELS[:16])
    assert load(str(tmp_path)).train_images.shape[1] == 3


def test_unusable_folders_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no folder of images for each class"):
        load(str(tmp_path))
    (tmp_path / "class 0").mkdir()
    with pytest.raises(InvalidInput, match="holds no images in class 0"):
        load(str(tmp_path))
    write_images(tmp_path, IMAGES, LABELS)
    Image.new("RGB", (9, 8)).save(tmp_path / "class 1" / "99.png")
    with pytest.raises(InvalidInput, match=r"99.png must be 8 pixels wide and 8 high as"):
        load(str(tmp_path))
    Image.new("I;16", (8, 8)).save(tmp_path / "class 1" / "99.png")
    with pytest.raises(InvalidInput, match=r"99.png has mode I;16; images must have 8 bits a channel"):
        load(str(tmp_path))
    (tmp_path / "class 1" / "99.png").write_bytes(b"<html>")
    with pytest.raises(InvalidInput, match=r"99.png cannot be read"):
        load(str(tmp_path))


def test_a_factory_is_a_data_set() -> None:
    assert isinstance(load("samples:tiny_data"), Dataset)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:make", "cannot import no_such_module"),
        ("samples:no_such", "samples has no 'no_such'"),
        ("os:getcwd", "gave str, not a losslab.data.Dataset"),
        ("os:open", "data set 'os:open': "),
        ("cifar-10", "did you mean 'cifar10'.*or a folder of images by class, an .npz file or package.module:factory"),
        ("missing.npz", "no such folder or .npz file: 'missing.npz'"),
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
