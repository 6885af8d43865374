"""The batch-size range of trainings whose losses are known, and the noise scale of known gradients."""

import re
from collections.abc import Callable
from dataclasses import replace
from math import exp, log10, nan
from pathlib import Path

import numpy as np
import pytest

from losslab.ranges import ALGORITHM, GradientSquares, Trace, find_batch_range
from losslab.ranges.batch import noise_scale

SIZES = [64, 128, 256, 512, 1024, 2048, 4096, 8192]


def trainer(
    curve: Callable[[int], float], deviation: float = 0.02
) -> Callable[[int], list[Trace]]:
    """Trainings at a size whose losses come down to the curve's value at it, for three seeds."""

    def train(size: int) -> list[Trace]:
        traces = []
        for seed in range(3):
            random = np.random.default_rng([seed, size])
            course = (
                curve(size)
                + 2 * np.exp(-np.arange(200) / 15)
                + random.normal(0, deviation, 200)
            )
            course += random.normal(0, deviation / 2)
            traces.append(
                Trace(
                    [0.01] * 200,
                    course.tolist(),
                    [],
                    [size] * 200,
                    size / 100,
                    seed,
                    f"weights{seed}",
                )
            )
        return traces

    return train


def test_falling_then_flat_gives_where_it_begins_and_where_it_is_done() -> None:
    found = find_batch_range(SIZES, trainer(lambda size: 0.5 + exp(-size / 300)))
    assert (found.found, found.b_min, found.b_max) == (True, 64, 1024)
    assert found.weights_sha256 == ["weights0", "weights1", "weights2"]
    assert found.curve.loss_low[0] < found.curve.loss[0] < found.curve.loss_high[0]  # type: ignore[operator]


def test_seeds_that_are_one_training_again_tell_no_error() -> None:
    """Losses that differ by noise alone: from one seed no range is found, and from three equal ones neither."""

    def train(size: int) -> list[Trace]:
        noisy = np.random.default_rng(size).normal(0.5, 0.2, 200).tolist()
        (first, *_) = trainer(lambda size: 0.5)(size)
        return [replace(first, loss=noisy, seed=seed) for seed in range(3)]

    found = find_batch_range(SIZES, train)
    assert found.found is find_batch_range(SIZES, lambda size: train(size)[:1]).found is False


def test_a_plateau_before_the_fall_moves_b_min() -> None:
    found = find_batch_range(SIZES, trainer(lambda size: 1.5 if size <= 256 else 0.5))
    assert (found.b_min, found.b_max) == (256, 512)
    assert "where the test started" not in found.reason


def test_a_u_shape_ends_at_its_bottom() -> None:
    found = find_batch_range(SIZES, trainer(lambda size: 0.5 + abs(log10(size / 512))))
    assert (found.b_min, found.b_max) == (64, 512)
    assert found.reason == (
        "the loss falls from the smallest size on: b_min is where the test started"
    )


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
def test_no_batch_range_is_a_finding_that_says_why(
    curve: Callable[[int], float], reason: str
) -> None:
    found = find_batch_range(SIZES, trainer(curve))
    assert (found.found, found.b_min, found.b_max) == (False, None, None)
    assert reason in found.reason


def test_a_size_that_diverges_has_no_loss_and_does_not_hide_the_others() -> None:
    found = find_batch_range(
        SIZES, trainer(lambda size: nan if size == 8192 else 0.5 + exp(-size / 300))
    )
    assert (found.b_max, found.curve.loss[-1]) == (1024, None)
    assert found.to_dict()["curve"]["seconds_to_target"][-1] is None


def one_seed(loss: list[float], size: int = 64) -> Trace:
    steps = len(loss)
    return Trace([0.01] * steps, loss, [], [size] * steps, 1.0, 0, "weights0")


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_training_that_was_stopped_as_it_diverged_is_no_end(seeds: int) -> None:
    # Stopped by a fast average; one over a tenth of 490 steps has hardly moved by then.
    stopped = one_seed([1.0] * 482 + [8.0] * 8)
    assert stopped.closing_loss() == (float("inf"), 0.0)
    whole = one_seed([1.0] * 500)
    traces = {16: [whole] * seeds, 32: [stopped, whole][:seeds], 64: [whole] * seeds}
    assert find_batch_range(list(traces), traces.__getitem__).curve.loss[1] is None


def test_sizes_that_diverge_do_not_make_noise_a_range() -> None:
    random = np.random.default_rng(0)
    courses = [one_seed((1 + random.normal(0, 0.1, 200)).tolist()) for _ in range(2)]
    # The second happens to end lower.
    first, second = sorted(courses, key=lambda trace: -trace.closing_loss()[0])
    noise = {16: [first], 32: [second]}
    found = find_batch_range(list(noise), noise.__getitem__)
    diverged = {size: [one_seed([1.0] * 5 + [nan], size)] for size in (64, 128, 256)}
    together = noise | diverged
    assert find_batch_range(list(together), together.__getitem__).found is found.found is False


def test_costs_refer_to_a_loss_that_every_size_reached() -> None:
    found = find_batch_range(SIZES, trainer(lambda size: 0.5 + exp(-size / 300)))
    rows = found.to_dict()["curve"]
    assert found.target_loss == pytest.approx(found.curve.loss[0], abs=0.05)
    assert rows["steps_to_target"][0] > rows["steps_to_target"][1] > rows["steps_to_target"][-1]
    assert rows["samples_to_target"][1] == 128 * rows["steps_to_target"][1]
    assert rows["samples_per_second"] == pytest.approx([200 * 100] * len(SIZES))


def test_sizes_that_started_from_other_weights_are_refused() -> None:
    def train(size: int) -> list[Trace]:
        return [
            replace(trace, weights_sha256=str(size))
            for trace in trainer(lambda size: 1 / size)(size)
        ]

    with pytest.raises(ValueError, match="same weights"):
        find_batch_range(SIZES, train)


@pytest.mark.parametrize("sizes", [[64], [128, 64], [64, 64]])
def test_sizes_must_increase(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="two or more increasing"):
        find_batch_range(sizes, trainer(lambda size: 1.0))


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


def test_the_page_lists_the_steps_that_are_drawn() -> None:
    page = (Path(__file__).parents[2] / "docs" / "range-tests.md").read_text()
    assert re.findall(r"^\d\. `(\w+)`:", page, re.MULTILINE) == [
        step.name for step in ALGORITHM
    ]
    assert all(step.does.endswith(".") for step in ALGORITHM)
