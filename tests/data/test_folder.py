"""Own data in a folder of images by class: parts, classes, and what would be lost or misread in silence."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from losslab.data import load, summary
from losslab.errors import InvalidInput

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (30, 3, 8, 8), dtype=np.uint8)
LABELS = np.arange(30) % 3
ORDER = np.argsort(LABELS, kind="stable")


def write_images(
    folder: Path, images: NDArray[np.uint8], labels: NDArray[np.int64], mode: str = "RGB"
) -> None:
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / f"class {label}").mkdir(parents=True, exist_ok=True)
        pixels = Image.fromarray(image.transpose(1, 2, 0)).convert(mode)
        pixels.save(folder / f"class {label}" / f"{number:02}.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_images(tmp_path / "photos", IMAGES, LABELS)
    return tmp_path / "photos"


def refused(folder: Path, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        load(str(folder))
    assert "\n" not in str(caught.value)


def test_a_folder_of_images_by_class_is_a_data_set(tmp_path: Path) -> None:
    write_images(tmp_path / "train", IMAGES, LABELS)
    write_images(tmp_path / "test", IMAGES[:6], LABELS[:6])
    (tmp_path / "train" / "class 0" / "notes.txt").write_text("no image")
    dataset = load(str(tmp_path))
    assert dataset.classes == ("class 0", "class 1", "class 2")
    assert np.array_equal(dataset.train_images, IMAGES[ORDER])
    assert np.array_equal(dataset.train_labels, LABELS[ORDER])
    assert len(dataset.test_labels) == 6
    assert dataset.title == tmp_path.name


def test_class_folders_alone_get_held_out_test_images(tmp_path: Path) -> None:
    write_images(tmp_path, IMAGES, LABELS, "L")
    assert summary(load(str(tmp_path)))["sizes"] == {
        "train": 24,
        "training": 22,
        "validation": 2,
        "test": 6,
    }
    assert load(str(tmp_path)).train_images.shape == (24, 1, 8, 8)


def test_the_folder_one_is_in_has_its_name_as_title(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    assert load(".").title.startswith("photos, ")


def test_train_val_and_test_folders_are_used_as_such(tmp_path: Path) -> None:
    write_images(tmp_path / "train", IMAGES, LABELS)
    write_images(tmp_path / "Val", IMAGES[:9] // 2, LABELS[:9])
    write_images(tmp_path / "test", IMAGES[:6] // 3, LABELS[:6])
    dataset = load(str(tmp_path))
    training, validation = dataset.split()
    order = np.argsort(LABELS[:9], kind="stable")
    assert np.array_equal(dataset.at(training)[0], IMAGES[ORDER])
    assert np.array_equal(dataset.at(validation)[0], IMAGES[:9][order] // 2)
    assert len(dataset.test_labels) == 6
    assert summary(dataset)["sizes"] == {
        "train": 30,
        "training": 30,
        "validation": 9,
        "test": 6,
    }


def test_train_and_val_folders_alone_are_training_and_test_images(tmp_path: Path) -> None:
    write_images(tmp_path / "train", IMAGES, LABELS)
    write_images(tmp_path / "val", IMAGES[:9] // 2, LABELS[:9])
    dataset = load(str(tmp_path))
    assert len(dataset.train_labels) == 30
    assert np.array_equal(
        np.sort(dataset.test_images, axis=None), np.sort(IMAGES[:9] // 2, axis=None)
    )
    assert dataset.title.endswith(", its validation images as test images")


def test_what_systems_add_by_themselves_is_no_part_of_the_data(photos: Path) -> None:
    before = load(str(photos)).train_images
    for name in ("._00.png", ".DS_Store", "Thumbs.db"):
        (photos / "class 0" / name).write_bytes(b"\0\5\x16\7")
    for name in (".ipynb_checkpoints", "__MACOSX"):
        (photos / name / "class 0").mkdir(parents=True)
    (photos / "class 1" / ".thumbnails").mkdir()
    assert np.array_equal(load(str(photos)).train_images, before)


def test_a_class_may_be_named_train(tmp_path: Path) -> None:
    for name in ("bus", "car", "train"):
        write_images(tmp_path, IMAGES[:6], np.zeros(6, int))
        (tmp_path / "class 0").rename(tmp_path / name)
    assert load(str(tmp_path)).classes == ("bus", "car", "train")


def test_suffixes_are_read_in_upper_case_too(photos: Path) -> None:
    for path in photos.glob("*/*.png"):
        path.rename(path.with_suffix(".PNG"))
    assert len(load(str(photos)).train_labels) == 24


@pytest.mark.parametrize(("train", "test"), [("RGB", "L"), ("L", "RGB")])
def test_grey_and_coloured_parts_are_all_coloured(
    tmp_path: Path, train: str, test: str
) -> None:
    write_images(tmp_path / "train", IMAGES, LABELS, train)
    write_images(tmp_path / "test", IMAGES[:6], LABELS[:6], test)
    dataset = load(str(tmp_path))
    assert dataset.train_images.shape[1] == dataset.test_images.shape[1] == 3
    grey = dataset.train_images if train == "L" else dataset.test_images
    assert (grey == grey[:, :1]).all()


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    refused(
        tmp_path,
        "holds no folder of images for each class; move the images of each class into one",
    )


def test_images_without_a_class_are_refused(photos: Path) -> None:
    Image.new("RGB", (8, 8)).save(photos / "new.png")
    refused(photos, r"new.png lies beside the folders of its classes; move it into one of them")


@pytest.mark.parametrize("part", ["test", "val"])
def test_train_and_test_folders_of_images_alone_are_no_two_classes(
    tmp_path: Path, part: str
) -> None:
    for name in ("train", part):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    refused(tmp_path, r"train holds no folder of images for each class")


def test_a_class_without_images_is_refused(photos: Path) -> None:
    (photos / "class 3").mkdir()
    (photos / "class 3" / "photo").write_bytes(b"")
    refused(photos, r"class 3 holds no images .*\.png.*; put some there or remove it")


def test_the_folder_above_the_data_is_refused(photos: Path) -> None:
    refused(
        photos.parent,
        r"holds one class, 'photos', and needs two; are the classes in .*photos\?",
    )


@pytest.mark.parametrize(
    ("having", "lacking"), [("test", "train"), ("train", "test"), ("val", "train")]
)
def test_a_class_of_one_part_alone_is_refused(
    tmp_path: Path, having: str, lacking: str
) -> None:
    for part in {"train", having, lacking}:
        write_images(tmp_path / part, IMAGES[:6], LABELS[:6])
    write_images(tmp_path / having, IMAGES[:2], np.array([7, 7]))
    refused(
        tmp_path,
        rf"class 'class 7' is in \S*{having} and not in \S*{lacking}; every part needs",
    )


def test_folders_within_a_class_are_refused(photos: Path) -> None:
    (photos / "class 1" / "small").mkdir()
    refused(
        photos, r"class 1/small is a folder within a class; move its images into \S+class 1$"
    )


def test_two_folders_for_one_part_are_refused(tmp_path: Path) -> None:
    for part in ("train", "val", "valid"):
        write_images(tmp_path / part, IMAGES[:6], LABELS[:6])
    refused(tmp_path, r"val and \S+valid are both its validation images; leave one")


def test_images_in_a_folder_that_is_no_part_are_refused_and_other_folders_are_not(
    tmp_path: Path,
) -> None:
    write_images(tmp_path / "train", IMAGES, LABELS)
    (tmp_path / "annotations").mkdir()
    assert len(load(str(tmp_path)).classes) == 3
    write_images(tmp_path / "dev", IMAGES[:3], LABELS[:3])
    refused(tmp_path, r"dev holds images and is none of train, val and test; rename or move it")


@pytest.mark.parametrize("name", ["photo.HEIC", "scan.dcm", "array.npy"])
def test_images_of_a_type_that_is_not_read_are_refused(photos: Path, name: str) -> None:
    (photos / "class 1" / name).write_bytes(b"")
    refused(photos, rf"{name} is of a type that is not read; convert it to .png or remove it")


def test_too_few_images_to_hold_out_a_test_part_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, IMAGES[:2], LABELS[:2])
    refused(tmp_path, "2 images are too few to hold out 20% as test images; add some")
