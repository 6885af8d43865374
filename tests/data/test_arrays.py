"""Own data in an .npz file: what is read, and what is refused by name with the remedy, never reshaped to fit."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from losslab.data import load
from losslab.errors import InvalidInput

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (30, 3, 8, 8), dtype=np.uint8)
LABELS = np.arange(30) % 3
PARTS = {
    "train_images": IMAGES,
    "train_labels": LABELS,
    "test_images": IMAGES[:6],
    "test_labels": LABELS[:6],
}
SEVERAL = RANDOM.integers(0, 2, (30, 14), dtype=np.uint8)


def save(folder: Path, name: str = "own.npz", **arrays: Any) -> str:
    with (folder / name).open("wb") as file:  # np.savez would add a suffix of its own
        np.savez(file, **arrays)
    return str(folder / name)


def test_an_npz_file_is_a_data_set(tmp_path: Path) -> None:
    dataset = load(save(tmp_path, **PARTS, classes=np.array(["a", "b", "c"])))
    assert np.array_equal(dataset.train_images, IMAGES)
    assert np.array_equal(dataset.test_labels, LABELS[:6])
    assert dataset.classes == ("a", "b", "c")
    assert not dataset.sample
    assert dataset.own_validation == 0


def test_an_upper_case_suffix_is_the_same(tmp_path: Path) -> None:
    assert np.array_equal(load(save(tmp_path, "OWN.NPZ", **PARTS)).train_images, IMAGES)


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (IMAGES[:, 0], (1, 8, 8)),
        (IMAGES.transpose(0, 2, 3, 1), (3, 8, 8)),
        (IMAGES[:, :1], (1, 8, 8)),
    ],
    ids=["no channel axis", "channels last", "one channel"],
)
def test_keras_names_and_other_axes_are_understood(
    tmp_path: Path, images: NDArray[np.uint8], shape: tuple[int, ...]
) -> None:
    labels = LABELS[:, np.newaxis]
    dataset = load(save(tmp_path, x_train=images, y_train=labels, x_test=images, y_test=labels))
    assert dataset.train_images.shape == (30, *shape)
    assert np.array_equal(dataset.train_images[4, 0], IMAGES[4, 0])
    assert np.array_equal(dataset.train_labels, LABELS)
    assert dataset.classes == ("0", "1", "2")


@pytest.mark.parametrize(
    "images",
    [
        (IMAGES / 255).astype(np.float16),
        (IMAGES / 255).astype(np.float32),
        IMAGES / 255,
        IMAGES.astype(np.int64),
        IMAGES.astype(np.uint16),
    ],
    ids=["float16", "float32", "float64", "int64", "uint16"],
)
def test_bytes_in_another_type_are_the_same_bytes(tmp_path: Path, images: NDArray[Any]) -> None:
    assert np.array_equal(
        load(save(tmp_path, **PARTS | {"train_images": images})).train_images, IMAGES
    )


def test_masks_of_true_and_false_are_black_and_white(tmp_path: Path) -> None:
    dataset = load(save(tmp_path, train_images=IMAGES > 99, train_labels=LABELS))
    assert set(np.unique(dataset.train_images)) == {0, 255}


@pytest.mark.parametrize("pair", [("val_images", "val_labels"), ("x_val", "y_val")])
def test_own_validation_images_are_those_that_are_validated_on(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    arrays = PARTS | {pair[0]: IMAGES[:9] // 2, pair[1]: LABELS[:9]}
    dataset = load(save(tmp_path, **arrays))
    training, validation = dataset.split()
    assert np.array_equal(training, np.arange(30))
    assert np.array_equal(dataset.at(training)[0], IMAGES)
    assert np.array_equal(dataset.at(validation)[0], IMAGES[:9] // 2)
    assert np.array_equal(dataset.at(validation)[1], LABELS[:9])


def test_validation_images_without_test_images_are_the_test_images_and_the_title_says_so(
    tmp_path: Path,
) -> None:
    dataset = load(
        save(
            tmp_path,
            train_images=IMAGES,
            train_labels=LABELS,
            val_images=IMAGES[:9],
            val_labels=LABELS[:9],
        )
    )
    assert np.array_equal(dataset.train_labels, LABELS)
    assert np.array_equal(dataset.test_images, IMAGES[:9])
    assert dataset.title == "own.npz, its validation images as test images"
    assert dataset.own_validation == 0


def test_a_channel_that_never_changes_becomes_zero_and_the_others_are_normalised(
    tmp_path: Path,
) -> None:
    images = IMAGES.copy()
    images[:, 2] = 7
    dataset = load(save(tmp_path, **PARTS | {"train_images": images}))
    assert dataset.mean[2] == pytest.approx(7 / 255)
    assert dataset.std[2] == 1
    assert dataset.std[:2] == pytest.approx((images[:, :2] / 255).std(axis=(0, 2, 3)))


def test_grey_and_coloured_parts_are_all_coloured(tmp_path: Path) -> None:
    grey = IMAGES[:6, :1]
    dataset = load(save(tmp_path, **PARTS | {"test_images": grey}))
    assert np.array_equal(dataset.test_images, np.concatenate([grey] * 3, axis=1))
    dataset = load(save(tmp_path, **PARTS | {"train_images": IMAGES[:, :1]}))
    assert dataset.train_images.shape == (30, 3, 8, 8)
    assert len(dataset.mean) == 3


def test_classes_named_as_bytes_are_text(tmp_path: Path) -> None:
    assert load(save(tmp_path, **PARTS, classes=np.array([b"a", b"b", b"c"]))).classes == (
        "a",
        "b",
        "c",
    )


FLOATS = RANDOM.random((30, 8, 8))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            dict.fromkeys(PARTS) | {"images": IMAGES},
            "it must hold train_images and train_labels .*; it holds images",
        ),
        (
            dict.fromkeys(PARTS) | {"x_train": IMAGES},
            "it must hold x_train and y_train; it holds x_train",
        ),
        (
            {"test_images": None},
            "it must hold test_images and test_labels; it holds train_images, train_labels, test_l",
        ),
        (
            {"train_images": FLOATS},
            r"float64 \(30, 8, 8\), .* must be uint8.*np.rint\(255 \* train_images\)",
        ),
        (
            {"train_images": FLOATS * 255},
            r"must be uint8, 0 to 255; store np.rint\(train_images\).astype",
        ),
        (
            {"train_images": FLOATS - 0.5},
            "must be uint8, 0 to 255; store the pixels as they were before.*normalises",
        ),
        ({"train_images": FLOATS * np.nan}, "nan to nan. must be uint8"),
        (
            {"train_images": IMAGES.astype(np.int64) * 257},
            "must be uint8, 0 to 255; store the pixels as they were",
        ),
        ({"train_images": IMAGES.astype(np.int8)}, "-128 to 127. must be uint8"),
        (
            {"train_images": IMAGES[:, [0, 1]]},
            "must have 1 or 3 channels, on axis 1 or 3; leave the others out",
        ),
        (
            {"train_images": IMAGES.reshape(30, -1)},
            r"must have 3 or 4 axes.*train_images.reshape\(-1, height, width\)",
        ),
        (
            {"train_images": IMAGES[:0], "train_labels": LABELS[:0]},
            r"train_images .* holds no images",
        ),
        ({"train_images": IMAGES * 0}, "every pixel of its training images is the same"),
        (
            {"test_images": IMAGES[:6, :, :4]},
            r"test images \(3, 4, 8\) must have the shape of training",
        ),
        (
            {"train_labels": LABELS / 2},
            r"train_labels .=float64 .30,.. must be integers; store np.unique\(train_labels",
        ),
        (
            {"train_labels": LABELS.astype(str)},
            "train_labels .=<U21 .30,.. must be integers; store np.unique",
        ),
        (
            {"train_labels": LABELS[:7]},
            r"train_labels .=int64 \(7,\). must be one for each of 30 images",
        ),
        (
            {"train_labels": np.arange(60) % 3},
            r"train_labels .=int64 \(60,\). must be one for each of 30 images",
        ),
        (
            {"train_labels": np.eye(3)[LABELS]},
            r"\(30, 3\). must be one class an image.*one-hot: store train_labels.argmax",
        ),
        (
            {"train_labels": SEVERAL},
            r"several classes an image, store one column of them, such as train_labels\[:, 0\]",
        ),
        ({"train_labels": LABELS.reshape(3, 10)}, "must be one class an image"),
        ({"train_labels": np.array(3)}, "must be one class an image"),
        ({"train_labels": LABELS - 1}, "train_labels .=-1 to 1. must lie from 0 to 2"),
        (
            {"train_labels": LABELS + 1},
            "train_labels .=1 to 3. must lie from 0 to 2.*; subtract 1 from the labels of ev",
        ),
        (
            {"train_labels": LABELS * 10**9},
            "=0 to 2000000000. must lie from 0 to 2.*np.searchsorted.*array `classes`",
        ),
        ({"train_labels": LABELS.astype(np.uint64) + 2**63}, "must number the classes from 0"),
        (
            {"train_labels": LABELS * 0, "test_labels": LABELS[:6] * 0},
            "it has 1 class and needs two or more",
        ),
        (
            {"test_labels": LABELS[:6] + 5},
            "test_labels .=5 to 7. must lie from 0 to 2, as there are 3 classes",
        ),
        (
            {"val_images": IMAGES[:4], "val_labels": LABELS[:4] + 5},
            "validation_labels .=5 to 7. must lie",
        ),
        ({"val_images": IMAGES[:4]}, "it must hold val_images and val_labels"),
        (
            {"classes": np.array(["a", "b"])},
            "train_labels .=0 to 2. must lie from 0 to 1, as there are 2 classes",
        ),
        (
            {
                "classes": np.array(["a", "b", "c"]),
                "train_labels": LABELS + 1,
                "test_labels": LABELS[:6] + 1,
            },
            "train_labels .=1 to 3. must lie from 0 to 2, as there are 3 classes; subtract 1",
        ),
        (
            {"classes": np.array([["a", "b", "c"]])},
            r"classes .of shape \(1, 3\). must be a list of different names",
        ),
        ({"classes": np.array(["a", "a", "c"])}, "must be a list of different names"),
        (
            {"classes": np.array(["a", "b", "c"]), "train_labels": LABELS % 2},
            "class 'c' has test images and no training images",
        ),
    ],
)
def test_an_unusable_npz_file_is_one_line_with_the_remedy(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    given = {name: array for name, array in (PARTS | arrays).items() if array is not None}
    with pytest.raises(InvalidInput, match=message) as caught:
        load(save(tmp_path, **given))
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


def test_objects_in_an_npz_file_are_refused_and_never_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path, train_images=np.array([Bomb()], dtype=object), train_labels=LABELS)
    with pytest.raises(InvalidInput, match=r"allow_pickle=False\); store one array of numbers"):
        load("own.npz")
    assert not Path("executed").exists()


def test_arrays_that_are_no_part_of_the_data_set_are_not_read(tmp_path: Path) -> None:
    dataset = load(save(tmp_path, **PARTS, notes=np.array([Bomb()], dtype=object)))
    assert len(dataset.train_labels) == 30


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": FLOATS, "y": FLOATS[:, 0, 0]},
        {"x_train": FLOATS[:, 0], "y_train": FLOATS[:, 0, 0]},
        {"train_images": IMAGES, "train_labels": FLOATS[:, 0, 0]},
    ],
    ids=["names of one's own", "a table by Keras's names", "a number for each image"],
)
def test_what_is_no_images_by_class_has_names_of_its_own(
    arrays: dict[str, Any], tmp_path: Path
) -> None:
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(InvalidInput, match="anything else as train_inputs and train_targets"):
        load(str(tmp_path / "own.npz"))


@pytest.mark.parametrize("name", ["images.npy", "rows.csv"])
def test_another_file_is_refused_with_the_remedy(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"1,2")
    message = (
        f"{name}' is no .npz file; store in one by np.savez images as train_images and train_labels, anything else "
        "as train_inputs and train_targets, or give package.module:factory"
    )
    with pytest.raises(InvalidInput, match=message):
        load(str(tmp_path / name))
