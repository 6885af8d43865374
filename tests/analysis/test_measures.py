"""Measures of runs: estimates over seeds, ratios, and the time to a target accuracy."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest
from fake_groups import dropped, ended, plain
from fake_study import part_one
from hypothesis import given
from hypothesis import strategies as st

from losslab.analysis.clocks import WALL
from losslab.analysis.measures import (
    TimeToTarget,
    epoch_of_lowest,
    estimates,
    final,
    lowest,
    ratios,
    time_to_target,
    value_of,
)
from losslab.analysis.runs import failed_runs
from losslab.errors import Diverged
from losslab.records import Evaluation
from losslab.study.results import StudyResults, read_results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    return read_results(part_one(tmp_path_factory.mktemp("study"), epochs=4, seeds=3))


def test_estimates_read_every_seed(results: StudyResults) -> None:
    found = estimates(plain(results), final("train_loss"))
    by_hand = [result.evaluations[-1].train_loss for result in plain(results)["adam"]]
    assert found["adam"].values == tuple(by_hand)
    assert found["adam"].n == 3


def test_lowest_loss_is_found_where_it_lies(results: StudyResults) -> None:
    adam = plain(results)["adam"][0]
    first, *rest = adam.evaluations
    dipped = replace(adam, records=(replace(first, train_loss=0.001), *rest))
    groups = {"adam": [dipped]}
    assert estimates(groups, lowest("train_loss"))["adam"].mean == 0.001
    assert estimates(groups, epoch_of_lowest("train_loss"))["adam"].mean == first.epoch
    assert estimates(groups, final("train_loss"))["adam"].mean == rest[-1].train_loss


def test_regularised_loss_adds_the_penalty(results: StudyResults) -> None:
    last = plain(results)["adam"][0].evaluations[-1]
    assert value_of(last, "regularised_loss") == last.train_loss + last.penalty


def test_time_ratios_pair_equal_seeds(results: StudyResults) -> None:
    ratio = ratios(dropped(results), plain(results), WALL.seconds)["adam"]
    assert ratio.values == pytest.approx((12.24 / 10.24,) * 3)


def test_a_ratio_needs_both_sides(results: StudyResults) -> None:
    assert ratios(dropped(results), {}, WALL.seconds) == {}


@pytest.mark.row(10)
def test_diverged_runs_count_nowhere_and_are_named(results: StudyResults) -> None:
    runs = [
        ended(result, "diverged", str(Diverged(7, float("inf"))))
        for result in plain(results)["adam"]
    ]
    changed = StudyResults(results.plan, {**results.stages, "compare": tuple(runs)})
    assert estimates({"adam": runs}, final("train_loss")) == {}
    named = [each for each in failed_runs(changed) if each.status == "diverged"]
    assert len(named) == 3
    assert "step 7" in named[0].message


def evaluations(accuracies: Sequence[float | None]) -> list[Evaluation]:
    """An epoch of 10 steps, 640 images and 2.5 seconds between each."""
    return [
        Evaluation(
            step=10 * epoch,
            epoch=float(epoch),
            samples=640 * epoch,
            train_loss=1.0,
            train_accuracy=0.5,
            penalty=0.0,
            fit_loss=1.0,
            fit_accuracy=0.5,
            validation_loss=1.0,
            validation_accuracy=accuracy,
            train_seconds=2.5 * epoch,
            eval_seconds=100.0 * epoch,
        )
        for epoch, accuracy in enumerate(accuracies, start=1)
    ]


def test_the_first_evaluation_at_the_target_counts_and_the_best_may_come_later() -> None:
    found = time_to_target(evaluations([0.5, 0.94, 0.93, 0.95, 0.95]), accuracy=0.94)
    assert found == TimeToTarget(0.94, True, 2.0, 20, 1280, 5.0, 0.95, 4.0, 10.0)


def test_a_miss_is_a_miss_with_the_best_and_its_time() -> None:
    found = time_to_target(evaluations([0.5, 0.9, 0.8]), accuracy=0.94)
    assert found == TimeToTarget(0.94, False, None, None, None, None, 0.9, 2.0, 5.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.01, 1))
def test_it_is_reached_exactly_when_the_best_is_at_the_target(
    accuracies: list[float], target: float
) -> None:
    found = time_to_target(evaluations(accuracies), accuracy=target)
    assert found.best_accuracy == max(accuracies)
    assert found.reached == (found.best_accuracy >= target)
    if found.reached:
        assert found.epoch is not None
        assert found.epoch <= found.best_epoch
        assert all(accuracy < target for accuracy in accuracies[: int(found.epoch) - 1])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (94, r"`accuracy` \(=94\) must be a fraction above 0 and at most 1; 94 % is 0\.94"),
        (0, r"`accuracy` \(=0\) must be a fraction"),
        (-0.1, r"`accuracy` \(=-0\.1\) must be a fraction"),
        (float("nan"), r"`accuracy` \(=nan\) must be a fraction"),
    ],
)
def test_a_target_that_is_no_fraction_is_refused(target: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        time_to_target(evaluations([0.5]), accuracy=target)


def test_without_evaluations_or_validation_there_is_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="at least one; has the run been evaluated"):
        time_to_target([], accuracy=0.94)
    with pytest.raises(ValueError, match=r"\(step 10\) must have a validation accuracy"):
        time_to_target(evaluations([None]), accuracy=0.94)


def test_it_needs_no_torch() -> None:
    code = "import sys, losslab.analysis.measures, losslab.analysis.sentences; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
