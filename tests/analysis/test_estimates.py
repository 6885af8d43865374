"""Estimates: mean, spread, intervals, and whether two of them differ."""

from math import sqrt

import pytest

from losslab.analysis.estimates import Estimate, differ, wilson


def test_mean_spread_and_interval_of_three_seeds_are_those_of_the_textbook() -> None:
    estimate = Estimate((1.0, 2.0, 3.0))
    assert (estimate.n, estimate.mean, estimate.spread) == (3, 2.0, 1.0)
    assert estimate.interval == pytest.approx((2 - 4.303 / sqrt(3), 2 + 4.303 / sqrt(3)))


def test_one_seed_has_no_spread_and_no_interval() -> None:
    assert (Estimate((1.0,)).spread, Estimate((1.0,)).interval) == (None, None)


@pytest.mark.parametrize(
    ("fraction", "count", "expected"),
    [
        (0.5, 10_000, (0.4902, 0.5098)),
        (0.0, 10, (0.0, 0.2775)),
        (1.0, 10, (0.7225, 1.0)),
        (0.1, 50, (0.0435, 0.2136)),
    ],
    ids=["half", "none", "all", "few"],
)
def test_wilson_interval_agrees_with_published_values(
    fraction: float, count: int, expected: tuple[float, float]
) -> None:
    assert wilson(fraction, count) == pytest.approx(expected, abs=2e-4)


def test_the_wider_of_the_seeds_and_the_images_interval_counts() -> None:
    few_images, many_seeds = (
        Estimate((0.5, 0.5), images=100),
        Estimate((0.4, 0.6), images=100_000),
    )
    assert few_images.interval == wilson(0.5, 100)
    assert many_seeds.interval is not None
    assert many_seeds.interval[0] < 0.4


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Estimate((1.0,)), Estimate((1.0001,)), False),
        (Estimate((1.0,)), Estimate((1.1,)), True),
        (Estimate((1.0, 1.2)), Estimate((1.1, 1.3)), False),
        (Estimate((1.0, 1.01, 0.99)), Estimate((2.0, 2.01, 1.99)), True),
        (Estimate((0.50,), 10_000), Estimate((0.51,), 10_000), False),
        (Estimate((0.50,), 10_000), Estimate((0.52,), 10_000), True),
    ],
    ids=[
        "same digits",
        "one seed",
        "seeds overlap",
        "seeds apart",
        "few images",
        "enough images",
    ],
)
def test_estimates_differ_only_beyond_what_chance_explains(
    one: Estimate, other: Estimate, expected: bool
) -> None:
    assert differ(one, other) is expected
    assert differ(other, one) is expected


def test_an_interval_of_a_fraction_ends_where_fractions_do() -> None:
    assert Estimate((0.02, 0.24), images=6000).interval == (0.0, 1.0)
    low, high = Estimate((0.12, 0.24)).interval or (0.0, 0.0)
    assert low < 0 < 0.9 < high
