"""Smoothing, divergence and the fall of a curve, against their formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from losslab.ranges.curves import (
    NoRange,
    find_fall,
    smooth,
    steps_before_divergence,
    without_spikes,
)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), st.floats(0, 0.99))
def test_smoothing_equals_its_formula(losses: list[float], beta: float) -> None:
    places = range(len(losses))
    weights = [[beta ** abs(i - j) for j in places] for i in places]
    expected = [np.dot(row, losses) / sum(row) for row in weights]
    assert smooth(losses, beta) == pytest.approx(expected, abs=1e-6)


@given(st.floats(-5, 5), st.floats(0, 0.99), st.integers(1, 60))
def test_smoothing_a_constant_is_the_constant_from_the_first_step(
    value: float, beta: float, steps: int
) -> None:
    assert smooth([value] * steps, beta) == pytest.approx([value] * steps)


def test_smoothing_does_not_lag_and_its_last_value_is_the_bias_corrected_average() -> None:
    line = np.arange(200.0)
    assert smooth(line, 0.9)[100] == pytest.approx(100, abs=0.01)
    average = 0.0
    for loss in line:
        average = 0.98 * average + 0.02 * loss
    assert smooth(line, 0.98)[-1] == pytest.approx(average / (1 - 0.98**200))


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_the_running_median_has_one_value_a_step(count: int) -> None:
    assert len(without_spikes([1.0] * count)) == count


def test_divergence_is_four_times_the_best_for_a_loss_that_hardly_fell() -> None:
    below, above = ([1.0] * 50 + [factor] * 50 for factor in (3.9, 4.1))
    assert steps_before_divergence(below, 0.5) == 100
    assert 50 < steps_before_divergence(above, 0.5) < 100
    assert steps_before_divergence([-5.0] * 50 + [9.0] * 50, 0.5) == 100
    assert steps_before_divergence([-5.0] * 50 + [11.0] * 50, 0.5) < 100


def test_a_fall_that_wavers_keeps_its_order() -> None:
    fall = find_fall(np.array([2.0, 0.1, 2.0, 1.0, 0.0]), error=0.0)
    assert fall.begin < fall.end <= fall.lowest
    with pytest.raises(NoRange):
        find_fall(np.array([1.0]), error=0.0)
