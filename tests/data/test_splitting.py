"""The held-out part: stratified, nested, the same on every machine."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from losslab.data import split
from losslab.errors import InvalidInput

LABELS = st.lists(st.integers(0, 6), min_size=20, max_size=300).map(
    lambda values: np.array(values, np.int64)
)
FRACTIONS = st.floats(0.05, 0.9)
SEEDS = st.integers(0, 2**63)


@given(LABELS, FRACTIONS, SEEDS)
def test_parts_are_sorted_disjoint_and_complete(
    labels: NDArray[np.int64], fraction: float, seed: int
) -> None:
    training, validation = split(labels, validation_fraction=fraction, seed=seed)
    assert np.all(np.diff(training) > 0)
    assert np.all(np.diff(validation) > 0)
    assert sorted([*training, *validation]) == list(range(len(labels)))
    assert len(validation) == round(fraction * len(labels))


@given(LABELS, FRACTIONS, SEEDS, st.data())
def test_every_part_is_stratified(
    labels: NDArray[np.int64], fraction: float, seed: int, data: st.DataObject
) -> None:
    rest = len(labels) - round(fraction * len(labels))
    taken = data.draw(st.integers(1, rest))
    for part in split(labels, validation_fraction=fraction, train_images=taken, seed=seed):
        share = np.bincount(labels, minlength=7) / len(labels)
        off = np.abs(np.bincount(labels[part], minlength=7) - len(part) * share)
        assert np.all(off <= 2 + 7 * share)


@pytest.mark.parametrize("taken", [10, 100, 4000])
def test_equal_classes_stay_exactly_equal(taken: int) -> None:
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 500))
    training, validation = split(labels, validation_fraction=0.1, train_images=taken)
    assert set(np.bincount(labels[training])) == {taken // 10}
    assert set(np.bincount(labels[validation])) == {50}


@given(LABELS, FRACTIONS, SEEDS, st.data())
def test_smaller_training_parts_nest_and_leave_validation_alone(
    labels: NDArray[np.int64], fraction: float, seed: int, data: st.DataObject
) -> None:
    rest = len(labels) - round(fraction * len(labels))
    large = data.draw(st.integers(1, rest))
    small = data.draw(st.integers(1, large))
    few, validation = split(labels, validation_fraction=fraction, train_images=small, seed=seed)
    many, same = split(labels, validation_fraction=fraction, train_images=large, seed=seed)
    assert (len(few), len(many)) == (small, large)
    assert set(few) <= set(many)
    assert np.array_equal(validation, same)


def test_the_split_of_given_labels_never_changes() -> None:
    training, validation = split(
        np.arange(20) % 4, validation_fraction=0.2, train_images=6, seed=3
    )
    assert training.tolist() == [1, 4, 5, 6, 16, 19]
    assert validation.tolist() == [0, 7, 9, 10]


def test_seeds_choose_different_validation_images() -> None:
    labels = np.arange(1000) % 10
    first, second = (split(labels, validation_fraction=0.1, seed=seed)[1] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_no_fraction_holds_out_nothing() -> None:
    training, validation = split(np.arange(30) % 3, validation_fraction=0)
    assert training.tolist() == list(range(30))
    assert validation.size == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"validation_fraction": 1.0},
            r"validation_fraction \(=1.0\) must be at least 0 and below 1",
        ),
        ({"validation_fraction": -0.1}, "validation_fraction"),
        ({"validation_fraction": float("nan")}, "validation_fraction"),
        ({"validation_fraction": 0.01}, "leaves 20 to train on and 0 to validate with"),
        ({"validation_fraction": 0.99}, "leaves 0 to train on"),
        (
            {"validation_fraction": 0.5, "train_images": 11},
            r"train_images \(=11\) must be from 1 to 10",
        ),
        ({"validation_fraction": 0.5, "train_images": 0}, "train_images"),
        ({"validation_fraction": 0.5, "seed": -1}, "seed"),
    ],
)
def test_impossible_splits_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        split(np.arange(20) % 2, **arguments)  # type: ignore[arg-type]
