import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from math import exp, inf, log10, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.ranges import ALGORITHM, RULES, GradientSquares, LrRange, Trace, find_batch_range, find_lr_range
from losslab.ranges.batch_evidence import noise_scale
from losslab.ranges.curves import NoRange, find_fall, smooth, steps_before_divergence, without_spikes

STEPS = 500
LR = np.logspace(-9, 1, STEPS)


def fall_and_explode(log_lr: np.ndarray, level: float = 2.3, middle: float = -2.0, bottom: float = 0.4) -> np.ndarray:
    """A plateau, an S-shaped fall about `middle` (5 % at -3 decades/4, 95 % at +3/4), an explosion two decades on."""
    loss = level + (bottom - level) / (1 + np.exp(-(log_lr - middle) * 4))
    return np.where(log_lr > middle + 1.5, loss + np.exp(np.minimum(8 * (log_lr - middle - 1.5), 50.0)) - 1, loss)


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
    assert_range(find_lr_range([ramp(fall_and_explode(np.log10(LR), middle=middle))]), middle, 0.2)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    middle=st.floats(-6, -1),
    level=st.sampled_from([2.3, 0.0, -1.0, 1000.0]),
    deviation=st.floats(0, 0.1),
)
def test_noise_and_level_do_not_move_the_range(seed: int, middle: float, level: float, deviation: float) -> None:
    traces = [noisy(seed + k, deviation, middle=middle, level=level, bottom=level - 1.9) for k in range(3)]
    assert_range(find_lr_range(traces), middle, 0.5)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_suggests_the_same_wherever_the_curve_lies(rule: str) -> None:
    suggestions = [
        log10(find_lr_range([noisy(3, middle=middle)], rule=rule).suggestion or nan) - middle for middle in (-5, -2)
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
    lowest, tenth = (find_lr_range([noisy(0)], rule=rule).suggestion for rule in ("minimum", "minimum_over_ten"))
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
        (np.full(STEPS, 2.3) + np.random.default_rng(0).normal(0, 0.1, STEPS), "never falls"),
        (np.linspace(2.3, 9.0, STEPS), "never falls"),
        (2.3 * 2.0 ** np.arange(STEPS), "never falls"),
        (np.full(STEPS, nan), "the loss is nan at the first step"),
        (np.full(STEPS, inf), "the loss is inf at the first step"),
    ],
    ids=["flat", "noise", "rises", "diverges at once", "nan", "inf"],
)
def test_no_range_is_a_finding_that_says_why_and_has_no_numbers(loss: np.ndarray, reason: str) -> None:
    found = find_lr_range([ramp(loss)])
    assert (found.found, found.lr_min, found.lr_max, found.suggestion) == (False, None, None, None)
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
    traces = [Trace([lr] * 40, [loss] * 40, [], [64] * 40, 1.0, 0) for lr, loss in zip(rates, closing, strict=True)]
    found = find_lr_range(traces[::-1], mode="grid")
    assert (found.lr_min, found.lr_max, found.suggestion) == pytest.approx((1e-4, 1e-1, 1e-1))
    assert (found.rule, found.curve.accuracy, len(found.curve.lr)) == ("minimum", [], 6)
    assert "diverges at the lowest" in find_lr_range(traces[-1:], mode="grid").reason


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(ValueError, match="did you mean 'valley'"):
        find_lr_range([noisy(0)], rule="vally")
    with pytest.raises(ValueError, match="choices: grid, ramp"):
        find_lr_range([noisy(0)], mode="both")


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), st.floats(0, 0.99))
def test_smoothing_equals_its_formula(losses: list[float], beta: float) -> None:
    places = range(len(losses))
    weights = [[beta ** abs(i - j) for j in places] for i in places]
    expected = [np.dot(row, losses) / sum(row) for row in weights]
    assert smooth(losses, beta) == pytest.approx(expected, abs=1e-6)


@given(st.floats(-5, 5), st.floats(0, 0.99), st.integers(1, 60))
def test_smoothing_a_constant_is_the_constant_from_the_first_step(value: float, beta: float, steps: int) -> None:
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


SIZES = [64, 128, 256, 512, 1024, 2048, 4096, 8192]


def trainer(curve: Callable[[int], float], deviation: float = 0.02) -> Callable[[int], list[Trace]]:
    """Trainings at a size whose losses come down to the curve's value at it, for three seeds."""

    def train(size: int) -> list[Trace]:
        traces = []
        for seed in range(3):
            random = np.random.default_rng([seed, size])
            course = curve(size) + 2 * np.exp(-np.arange(200) / 15) + random.normal(0, deviation, 200)
            course += random.normal(0, deviation / 2)
            traces.append(Trace([0.01] * 200, course.tolist(), [], [size] * 200, size / 100, seed, f"weights{seed}"))
        return traces

    return train


def test_falling_then_flat_gives_where_it_begins_and_where_it_is_done() -> None:
    found = find_batch_range(SIZES, trainer(lambda size: 0.5 + exp(-size / 300)))
    assert (found.found, found.b_min, found.b_max) == (True, 64, 1024)
    assert found.weights_sha256 == ["weights0", "weights1", "weights2"]
    assert found.curve.loss_low[0] < found.curve.loss[0] < found.curve.loss_high[0]  # type: ignore[operator]


def test_a_plateau_before_the_fall_moves_b_min() -> None:
    found = find_batch_range(SIZES, trainer(lambda size: 1.5 if size <= 256 else 0.5))
    assert (found.b_min, found.b_max) == (256, 512)


def test_a_u_shape_ends_at_its_bottom() -> None:
    found = find_batch_range(SIZES, trainer(lambda size: 0.5 + abs(log10(size / 512))))
    assert (found.b_min, found.b_max, found.reason) == (64, 512, "")


def test_a_fall_to_the_last_size_says_that_larger_ones_may_buy_more() -> None:
    found = find_batch_range(SIZES, trainer(lambda size: 2 - log10(size) / 3))
    assert (found.b_min, found.b_max) == (64, 8192)
    assert "larger ones may buy more" in found.reason


@pytest.mark.parametrize(
    ("curve", "reason"),
    [
        (lambda size: 1.0, "never falls"),
        (lambda size: log10(size), "never falls"),
        (lambda size: nan, "diverges at every batch size"),
        (lambda size: nan if size == 64 else 1.0, "diverges at the smallest batch size"),
    ],
    ids=["flat", "rising", "nan", "nan at the smallest"],
)
def test_no_batch_range_is_a_finding_that_says_why(curve: Callable[[int], float], reason: str) -> None:
    found = find_batch_range(SIZES, trainer(curve))
    assert (found.found, found.b_min, found.b_max) == (False, None, None)
    assert reason in found.reason


def test_a_size_that_diverges_has_no_loss_and_does_not_hide_the_others() -> None:
    found = find_batch_range(SIZES, trainer(lambda size: nan if size == 8192 else 0.5 + exp(-size / 300)))
    assert (found.b_max, found.curve.loss[-1]) == (1024, None)
    assert found.to_dict()["curve"]["seconds_to_target"][-1] is None


def test_costs_refer_to_a_loss_that_every_size_reached() -> None:
    found = find_batch_range(SIZES, trainer(lambda size: 0.5 + exp(-size / 300)))
    rows = found.to_dict()["curve"]
    assert found.target_loss == pytest.approx(found.curve.loss[0], abs=0.05)
    assert rows["steps_to_target"][0] > rows["steps_to_target"][1] > rows["steps_to_target"][-1]
    assert rows["samples_to_target"][1] == 128 * rows["steps_to_target"][1]
    assert rows["samples_per_second"] == pytest.approx([200 * 100] * len(SIZES))


def test_sizes_that_started_from_other_weights_are_refused() -> None:
    def train(size: int) -> list[Trace]:
        return [replace(trace, weights_sha256=str(size)) for trace in trainer(lambda size: 1 / size)(size)]

    with pytest.raises(ValueError, match="same weights"):
        find_batch_range(SIZES, train)


@pytest.mark.parametrize("sizes", [[64], [128, 64], [64, 64]])
def test_sizes_must_increase(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="two or more increasing"):
        find_batch_range(sizes, trainer(lambda size: 1.0))


def test_the_algorithm_runs_the_steps_that_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def traced(step: object) -> object:
        return replace(step, find=lambda facts: ran.append(step.name) or step.find(facts))  # type: ignore

    monkeypatch.setattr("losslab.ranges.batch.ALGORITHM", tuple(traced(step) for step in ALGORITHM))
    find_batch_range(SIZES, trainer(lambda size: 0.5 + exp(-size / 300)))
    assert ran == [step.name for step in ALGORITHM]
    assert all(step.does.endswith(".") for step in ALGORITHM)


def test_noise_scale_averages_its_terms_before_dividing() -> None:
    """Gradients g + noise of variance s in each of d dimensions: the scale is d s / |g|^2."""
    random = np.random.default_rng(0)
    g, noise = np.full(50, 0.1), 1.0
    measured = []
    for _ in range(400):
        batches = g + random.normal(0, noise / 4**0.5, (8, 50))  # 8 batches of 4 samples
        small, big = (batches**2).sum(1).mean(), (batches.mean(0) ** 2).sum()
        measured.append(GradientSquares(4, 32, float(small), float(big)))
    assert noise_scale(measured) == pytest.approx(50 * noise / (g @ g), rel=0.1)
    assert noise_scale([None]) is None
    assert noise_scale([GradientSquares(1, 10, 5.0, 0.1)]) is None


def test_a_fall_that_wavers_keeps_its_order() -> None:
    fall = find_fall(np.array([2.0, 0.1, 2.0, 1.0, 0.0]), error=0.0)
    assert fall.begin < fall.end <= fall.lowest
    with pytest.raises(NoRange):
        find_fall(np.array([1.0]), error=0.0)


def test_findings_show_themselves() -> None:
    lr = find_lr_range([noisy(seed) for seed in range(2)])
    batch = find_batch_range(SIZES, trainer(lambda size: 0.5 + exp(-size / 300)))
    assert "suggestion" in lr._repr_html_()
    assert "b_max" in batch._repr_html_()
    for found in (lr, batch, find_lr_range([ramp(np.full(STEPS, 2.3))])):
        assert found.plot().axes[0].get_xscale() == "log"


@pytest.mark.parametrize("module", ["losslab", "losslab.ranges", "losslab.analysis.measures", "losslab.cli.find"])
def test_reading_ranges_does_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
