"""Plateaus against torch's ReduceLROnPlateau, and their state against an uninterrupted one."""

import json
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau

from losslab.schedules import Plateau, grow_on_plateau, reduce_on_plateau

METRICS = st.lists(
    st.floats(-5, 5) | st.sampled_from([float("nan"), float("inf")]), max_size=60
)
OPTIONS = st.fixed_dictionaries(
    {
        "factor": st.floats(0.1, 0.9),
        "mode": st.sampled_from(["min", "max"]),
        "patience": st.integers(0, 3),
        "threshold": st.sampled_from([0.0, 1e-4, 0.1]),
        "threshold_mode": st.sampled_from(["rel", "abs"]),
        "cooldown": st.integers(0, 3),
        "eps": st.sampled_from([1e-8, 0.01]),
    }
)


@given(options=OPTIONS, min_lr=st.sampled_from([0.0, 0.02]), metrics=METRICS)
def test_a_falling_lr_is_torchs(
    options: dict[str, Any], min_lr: float, metrics: list[float]
) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    scheduler = ReduceLROnPlateau(optimizer, min_lr=min_lr, **options)
    plateau = reduce_on_plateau(0.5, min_lr=min_lr, **options)
    # An infinite accuracy is no improvement here; torch takes it for the best that there can be.
    for metric in (
        metrics if options["mode"] == "min" else [m for m in metrics if m != float("inf")]
    ):
        scheduler.step(metric)
        assert plateau.update(metric) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-12
        )


@given(options=OPTIONS, metrics=METRICS, data=st.data())
def test_it_goes_on_from_a_state_of_plain_json_numbers(
    options: dict[str, Any], metrics: list[float], data: st.DataObject
) -> None:
    stop = data.draw(st.integers(0, len(metrics)))
    whole, first, resumed = (reduce_on_plateau(0.5, **options) for _ in range(3))
    expected = [whole.update(metric) for metric in metrics]
    before = [first.update(metric) for metric in metrics[:stop]]
    state = json.dumps(first.state_dict(), allow_nan=False)
    resumed.load_state_dict(json.loads(state))
    assert [*before, *(resumed.update(metric) for metric in metrics[stop:])] == expected
    assert all(type(value) in (int, float) for value in first.state_dict().values())


def test_a_loaded_state_replaces_what_was_there() -> None:
    fresh, used = reduce_on_plateau(1.0, patience=1), reduce_on_plateau(1.0, patience=1)
    for metric in (3.0, 1.0, 1.0):
        used.update(metric)
    used.load_state_dict(fresh.state_dict())
    assert (
        [used.update(m) for m in (5, 5, 5)]
        == [fresh.update(m) for m in (5, 5, 5)]
        == [1.0, 1.0, 0.1]
    )


@given(factor=st.floats(1.1, 4), limit=st.integers(65, 1000), metrics=METRICS)
def test_a_batch_size_grows_by_its_factor_up_to_the_largest(
    factor: float, limit: int, metrics: list[float]
) -> None:
    plateau = grow_on_plateau(64, max_batch_size=limit, factor=factor, patience=1)
    found = [64.0, *(plateau.update(metric) for metric in metrics)]
    for before, after in pairwise(found):
        assert after in (before, min(before * factor, limit))
    assert max(found) <= limit


def test_a_batch_size_grows_where_the_lr_would_fall() -> None:
    losses = [5, 4, 4, 4, 3, 3, 3, 3, 3]
    lr, batch = (
        reduce_on_plateau(1.0, factor=0.5, patience=1),
        grow_on_plateau(64, max_batch_size=10_000, patience=1),
    )
    rates, sizes = [lr.update(loss) for loss in losses], [batch.update(loss) for loss in losses]
    assert [rate * size for rate, size in zip(rates, sizes, strict=True)] == [64] * len(losses)
    assert sizes[-1] == 512


def test_it_says_what_it_is() -> None:
    assert repr(reduce_on_plateau(0.1)).startswith(
        "Plateau(value=0.1, factor=0.1, limit=0, rule=Patience(mode='min'"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factor": 1.0}, r"`factor` \(=1.0\) must be below 1"),
        ({"factor": 0.0}, r"`factor` \(=0.0\) must be positive"),
        ({"lr": 0.0}, r"`value` \(=0.0\) must be positive"),
        ({"mode": "best"}, r"`mode` \(='best'\) must be one of min, max"),
        ({"threshold_mode": "part"}, r"`threshold_mode` \(='part'\) must be one of rel, abs"),
        ({"patience": -1}, r"`patience` \(=-1\) must not be negative"),
    ],
)
def test_impossible_values_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reduce_on_plateau(**{"lr": 0.1, **arguments})


def test_a_batch_size_cannot_shrink() -> None:
    with pytest.raises(ValueError, match=r"`factor` \(=0.5\) must exceed 1"):
        grow_on_plateau(64, max_batch_size=128, factor=0.5)
    assert isinstance(grow_on_plateau(64, max_batch_size=128), Plateau)
