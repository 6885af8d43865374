"""Findings: estimates, their intervals, ranking, ratios, searches."""

from dataclasses import replace
from math import sqrt

import pytest
from fake_study import MIDDLE, part_one, with_loss

from losslab.analysis import measures as analysis
from losslab.analysis import runs as selection
from losslab.analysis.estimates import Estimate, differ, wilson
from losslab.errors import Diverged
from losslab.records import Evaluation
from losslab.spec import make_run
from losslab.study.findings import best_runs
from losslab.study.results import RunResult, StudyResults, read_results

METHODS = {"adagrad": "AdaGrad", "adam": "Adam"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    return read_results(part_one(tmp_path_factory.mktemp("study"), epochs=4, seeds=3))


def plain(results: StudyResults) -> selection.Groups:
    return selection.group_runs(
        selection.where(results.stages["compare"], "model.hidden_dropout", 0.0), ["optimizer.name"]
    )


def dropped(results: StudyResults) -> selection.Groups:
    return selection.group_runs(
        selection.where(results.stages["compare"], "model.hidden_dropout", 0.5), ["optimizer.name"]
    )


def test_mean_spread_and_interval_of_three_seeds_are_those_of_the_textbook() -> None:
    estimate = Estimate((1.0, 2.0, 3.0))
    assert (estimate.n, estimate.mean, estimate.spread) == (3, 2.0, 1.0)
    assert estimate.interval == pytest.approx((2 - 4.303 / sqrt(3), 2 + 4.303 / sqrt(3)))


def test_one_seed_has_no_spread_and_no_interval() -> None:
    assert (Estimate((1.0,)).spread, Estimate((1.0,)).interval) == (None, None)


@pytest.mark.parametrize(
    ("fraction", "count", "expected"),
    [(0.5, 10_000, (0.4902, 0.5098)), (0.0, 10, (0.0, 0.2775)), (1.0, 10, (0.7225, 1.0)), (0.1, 50, (0.0435, 0.2136))],
    ids=["half", "none", "all", "few"],
)
def test_wilson_interval_agrees_with_published_values(
    fraction: float, count: int, expected: tuple[float, float]
) -> None:
    assert wilson(fraction, count) == pytest.approx(expected, abs=2e-4)


def test_the_wider_of_the_seeds_and_the_images_interval_counts() -> None:
    few_images, many_seeds = Estimate((0.5, 0.5), images=100), Estimate((0.4, 0.6), images=100_000)
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
    ids=["same digits", "one seed", "seeds overlap", "seeds apart", "few images", "enough images"],
)
def test_estimates_differ_only_beyond_what_chance_explains(one: Estimate, other: Estimate, expected: bool) -> None:
    assert differ(one, other) is expected
    assert differ(other, one) is expected


def test_ranking_keeps_ties_with_the_first() -> None:
    ranking = analysis.rank({"c": Estimate((2.0,)), "a": Estimate((1.0,)), "b": Estimate((1.00001,))})
    assert ranking == analysis.Ranking(("a", "b", "c"), ("a", "b"))


def test_ranking_of_nothing_is_empty() -> None:
    assert analysis.rank({}) == analysis.Ranking((), ())


def test_groups_are_labelled_by_their_fields_and_names(results: StudyResults) -> None:
    groups = selection.group_runs(results.stages["compare"], ["optimizer.name", "model.hidden_dropout"], METHODS)
    assert list(groups)[:2] == ["AdaGrad, hidden_dropout 0.0", "rmsprop, hidden_dropout 0.0"]
    assert {len(runs) for runs in groups.values()} == {3}


def test_varying_fields_leave_out_what_follows_from_a_name(results: StudyResults) -> None:
    fields = selection.varying_fields(results.stages["compare"])
    assert {"optimizer.name", "model.hidden_dropout", "seed"} <= set(fields)
    assert "optimizer.eps" not in fields


def test_runs_with_a_number_and_with_a_policy_are_told_apart() -> None:
    fields = {"data": "fashion-mnist-sample", "model": "lenet5", "optimizer": "adam", "batch": 64, "epochs": 1}
    runs = [make_run({**fields, "lr": lr}) for lr in (0.01, "triangular(base_lr=0.001, max_lr=0.02)")]
    results = [RunResult(run, "done", "", {}, ()) for run in runs]
    assert selection.varying_fields(results) == ["lr"]
    assert list(selection.group_runs(results, ["lr"])) == ["lr 0.01", "triangular(base_lr=0.001, max_lr=0.02)"]


def test_estimates_read_every_seed(results: StudyResults) -> None:
    found = analysis.estimates(plain(results), analysis.final("train_loss"))
    by_hand = [result.evaluations[-1].train_loss for result in plain(results)["adam"]]
    assert found["adam"].values == tuple(by_hand)
    assert found["adam"].n == 3


def test_lowest_loss_is_found_where_it_lies(results: StudyResults) -> None:
    adam = plain(results)["adam"][0]
    first, *rest = adam.evaluations
    dipped = replace(adam, records=(replace(first, train_loss=0.001), *rest))
    groups = {"adam": [dipped]}
    assert analysis.estimates(groups, analysis.lowest("train_loss"))["adam"].mean == 0.001
    assert analysis.estimates(groups, analysis.epoch_of_lowest("train_loss"))["adam"].mean == first.epoch
    assert analysis.estimates(groups, analysis.final("train_loss"))["adam"].mean == rest[-1].train_loss


def test_regularised_loss_adds_the_penalty(results: StudyResults) -> None:
    last = plain(results)["adam"][0].evaluations[-1]
    assert analysis.loss(last, "regularised_loss") == last.train_loss + last.penalty


def test_time_ratios_pair_equal_seeds(results: StudyResults) -> None:
    ratio = analysis.ratios(dropped(results), plain(results), analysis.train_seconds)["adam"]
    assert ratio.values == pytest.approx((12.24 / 10.24,) * 3)


def test_a_ratio_needs_both_sides(results: StudyResults) -> None:
    assert analysis.ratios(dropped(results), {}, analysis.train_seconds) == {}


@pytest.mark.row(10)
def test_diverged_runs_count_nowhere_and_are_named(results: StudyResults) -> None:
    runs = [_ended(result, "diverged", str(Diverged(7, float("inf")))) for result in plain(results)["adam"]]
    changed = StudyResults(results.plan, {**results.stages, "compare": tuple(runs)})
    assert analysis.estimates({"adam": runs}, analysis.final("train_loss")) == {}
    named = [each for each in selection.unended(changed) if each.status == "diverged"]
    assert len(named) == 3
    assert "step 7" in named[0].message


def test_runs_that_never_began_are_named(results: StudyResults) -> None:
    missing = selection.unended(StudyResults(results.plan, {"search": results.stages["search"]}))
    assert {(each.stage, each.status, each.run) for each in missing} == {("compare", "not begun", None)}


def test_curves_have_a_band_over_seeds_and_none_with_one(results: StudyResults) -> None:
    band = analysis.curves(plain(results), "train_loss")["adam"]
    alone = analysis.curves({"adam": plain(results)["adam"][:1]}, "train_loss")["adam"]
    assert band.epochs == (1.0, 2.0, 3.0, 4.0)
    assert band.low is not None
    assert band.high is not None
    assert all(low < mean < high for low, mean, high in zip(band.low, band.mean, band.high, strict=True))
    assert (alone.low, alone.high) == (None, None)


def test_search_agrees_with_the_finding_that_the_engine_used(results: StudyResults) -> None:
    stage = results.stages["search"]
    found = analysis.searches(selection.group_runs(stage, ["optimizer.name"]), "lr")
    used = {run["optimizer"]["name"]: run["lr"] for run in best_runs(stage, ["optimizer.name"])}
    assert {label: search.chosen for label, search in found.items()} == used
    assert found["adam"].edge is None
    assert list(found["adam"].tried) == sorted(found["adam"].tried)


def test_search_warns_at_its_edge_and_not_where_the_neighbour_diverged(results: StudyResults) -> None:
    runs = selection.where(results.stages["search"], "optimizer.name", "adam")
    low = [result for result in runs if result.run.lr <= MIDDLE["adam"]]
    assert analysis.searches({"adam": low}, "lr")["adam"].edge == "highest"
    with_diverged = [*low, *(_ended(result, "diverged", "") for result in runs if result.run.lr > MIDDLE["adam"])]
    assert analysis.searches({"adam": with_diverged}, "lr")["adam"].edge is None


def test_unequal_search_budgets_are_noticed(results: StudyResults) -> None:
    groups = dict(selection.group_runs(results.stages["search"], ["optimizer.name"]))
    assert analysis.equal_budget(analysis.searches(groups, "lr"))
    groups["adam"] = groups["adam"][:-1]
    assert not analysis.equal_budget(analysis.searches(groups, "lr"))


def test_altered_records_change_the_winner(tmp_path_factory: pytest.TempPathFactory) -> None:
    def adagrad_wins(run, records):  # type: ignore[no-untyped-def]
        return with_loss(0.001)(run, records) if run.optimizer.name == "adagrad" else records

    changed = read_results(part_one(tmp_path_factory.mktemp("changed"), epochs=3, change=adagrad_wins))
    assert analysis.rank(analysis.estimates(plain(changed), analysis.lowest("train_loss"))).leaders == ("adagrad",)


def _ended(result: RunResult, status: str, message: str) -> RunResult:
    kept = tuple(record for record in result.records if isinstance(record, Evaluation))[:1]
    return replace(result, status=status, message=message, records=kept)
