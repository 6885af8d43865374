"""The learning-rate range that a curve was drawn with is found, whatever noise, spikes and level."""

from dataclasses import replace
from math import inf, log10, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.ranges import RULES, LrRange, Trace, find_lr_range

STEPS = 500
LR = np.logspace(-9, 1, STEPS)


def fall_and_explode(
    log_lr: np.ndarray, level: float = 2.3, middle: float = -2.0, bottom: float = 0.4
) -> np.ndarray:
    """A plateau, an S-shaped fall about `middle` (5 % at -3 decades/4, 95 % at +3/4), an explosion two decades on."""
    loss = level + (bottom - level) / (1 + np.exp(-(log_lr - middle) * 4))
    return np.where(
        log_lr > middle + 1.5,
        loss + np.exp(np.minimum(8 * (log_lr - middle - 1.5), 50.0)) - 1,
        loss,
    )


def ramp(loss: np.ndarray, seed: int = 0, lr: np.ndarray = LR) -> Trace:
    steps = len(loss)
    return Trace(lr[:steps].tolist(), loss.tolist(), [0.5] * steps, [64] * steps, 1.0, seed)


def noisy(seed: int, deviation: float = 0.1, **curve: float) -> Trace:
    noise = np.random.default_rng(seed).normal(0, deviation, STEPS)
    return ramp(fall_and_explode(np.log10(LR), **curve) + noise, seed)


def assert_range(found: LrRange, middle: float, tolerance: float = 0.3) -> None:
    """5 % of an S curve of slope 4 lies 0.74 decades before its middle; it explodes 1.5 decades after."""
    assert found.found
    assert log10(found.lr_min or nan) == pytest.approx(middle - 0.74, abs=tolerance)
    assert middle + 0.74 - tolerance <= log10(found.lr_max or nan) <= middle + 1.8
    assert (found.lr_min or nan) < (found.suggestion or nan) <= (found.lr_max or nan)


@pytest.mark.parametrize("middle", [-6.0, -4.0, -2.0])
def test_a_clean_curve_gives_the_range_that_it_was_drawn_with(middle: float) -> None:
    assert_range(
        find_lr_range([ramp(fall_and_explode(np.log10(LR), middle=middle))]), middle, 0.2
    )


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    middle=st.floats(-6, -1),
    level=st.sampled_from([2.3, 0.0, -1.0, 1000.0]),
    deviation=st.floats(0, 0.1),
)
def test_noise_and_level_do_not_move_the_range(
    seed: int, middle: float, level: float, deviation: float
) -> None:
    traces = [
        noisy(seed + k, deviation, middle=middle, level=level, bottom=level - 1.9)
        for k in range(3)
    ]
    assert_range(find_lr_range(traces), middle, 0.5)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_suggests_the_same_wherever_the_curve_lies(rule: str) -> None:
    suggestions = [
        log10(find_lr_range([noisy(3, middle=middle)], rule=rule).suggestion or nan) - middle
        for middle in (-5, -2)
    ]
    assert suggestions[0] == pytest.approx(suggestions[1], abs=0.4)


@pytest.mark.parametrize(
    ("rule", "decades"),
    [("half_fall", 0.0), ("steepest", 0.0), ("valley", 0.6)],
)
def test_a_rule_gives_the_known_answer(rule: str, decades: float) -> None:
    found = find_lr_range([ramp(fall_and_explode(np.log10(LR)))], rule=rule)
    assert log10(found.suggestion or nan) == pytest.approx(-2 + decades, abs=0.15)


def test_a_tenth_of_the_minimum_is_a_tenth_of_the_minimum() -> None:
    lowest, tenth = (
        find_lr_range([noisy(0)], rule=rule).suggestion
        for rule in ("minimum", "minimum_over_ten")
    )
    assert tenth == pytest.approx((lowest or nan) / 10)


def test_spikes_do_not_move_the_range() -> None:
    calm = noisy(1)
    wild = np.array(calm.loss)
    wild[[40, 41, 150, 260, 261, 350]] = [900, 50, 1e6, 70, 80, 30]
    one, other = (find_lr_range([trace]) for trace in (calm, replace(calm, loss=wild.tolist())))
    for end in ("lr_min", "lr_max", "suggestion"):
        assert log10(getattr(other, end)) == pytest.approx(log10(getattr(one, end)), abs=0.1)


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_the_curve_ends_where_the_loss_is_no_number(bad: float) -> None:
    trace = noisy(2)
    loss = [*trace.loss[:420], bad, *trace.loss[421:]]
    found = find_lr_range([replace(trace, loss=loss)])
    assert_range(found, -2.0)
    assert len(found.curve.lr) <= 420
    assert np.isfinite(found.curve.smoothed_loss).all()


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (np.full(STEPS, 2.3), "never falls"),
        (
            np.full(STEPS, 2.3),
            "more steps, or a start and an end nearer to where the loss moves",
        ),
        (np.full(STEPS, 2.3) + np.random.default_rng(0).normal(0, 0.1, STEPS), "never falls"),
        (np.linspace(2.3, 9.0, STEPS), "never falls"),
        (2.3 * 2.0 ** np.arange(STEPS), "never falls"),
        (
            np.full(STEPS, nan),
            "the loss is nan at the first step; no learning rate has acted there yet",
        ),
        (np.full(STEPS, inf), "the loss is inf at the first step"),
    ],
    ids=["flat", "remedy", "noise", "rises", "diverges at once", "nan", "inf"],
)
def test_no_range_is_a_finding_that_says_why_and_has_no_numbers(
    loss: np.ndarray, reason: str
) -> None:
    found = find_lr_range([ramp(loss)])
    assert (found.found, found.lr_min, found.lr_max, found.suggestion) == (
        False,
        None,
        None,
        None,
    )
    assert found.reason.startswith("no range found, because")
    assert reason in found.reason


def test_noise_alone_is_hardly_ever_taken_for_a_range() -> None:
    drawn = [ramp(np.random.default_rng(seed).normal(2.3, 0.1, STEPS)) for seed in range(200)]
    assert sum(find_lr_range([trace]).found for trace in drawn) <= 2


def test_ends_that_the_test_did_not_reach_are_told() -> None:
    falls_at_once = ramp(fall_and_explode(np.log10(LR), middle=-9.0))
    still_falls = ramp(fall_and_explode(np.log10(LR), middle=0.5))
    assert "try a smaller start" in find_lr_range([falls_at_once]).reason
    assert "try a larger end" in find_lr_range([still_falls]).reason
    assert find_lr_range([noisy(0)]).reason == ""


def test_seeds_give_a_median_and_a_spread_and_the_majority_decides() -> None:
    middles = (-2.2, -2.0, -1.9)
    found = find_lr_range([noisy(seed, middle=middle) for seed, middle in enumerate(middles)])
    assert found.spread_decades == pytest.approx(0.3, abs=0.3)
    assert found.suggestion == sorted(seed.suggestion for seed in found.seeds if seed)[1]
    assert find_lr_range([noisy(0)]).spread_decades is None
    flat = [ramp(np.full(STEPS, 2.3), seed) for seed in (1, 2)]
    assert find_lr_range([noisy(0), flat[0], noisy(2)]).found
    assert not find_lr_range([noisy(0), *flat]).found


def test_a_grid_of_trainings_is_read_like_a_curve() -> None:
    rates = np.logspace(-6, 1, 8)
    closing = [2.3, 2.3, 2.28, 1.6, 0.5, 0.4, nan, nan]
    traces = [
        Trace([lr] * 40, [loss] * 40, [], [64] * 40, 1.0, 0)
        for lr, loss in zip(rates, closing, strict=True)
    ]
    found = find_lr_range(traces[::-1], mode="grid")
    assert (found.lr_min, found.lr_max, found.suggestion) == pytest.approx((1e-4, 1e-1, 1e-1))
    assert (found.rule, found.curve.accuracy, len(found.curve.lr)) == ("minimum", [], 6)
    assert "diverges at the lowest" in find_lr_range(traces[-1:], mode="grid").reason


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(ValueError, match="did you mean 'valley'"):
        find_lr_range([noisy(0)], rule="vally")
    with pytest.raises(ValueError, match="choices: grid, ramp"):
        find_lr_range([noisy(0)], mode="both")
