"""Curves, rankings and searches."""

from dataclasses import replace

import pytest
from fake_groups import ended, plain
from fake_study import MIDDLE, part_one, with_loss

from losslab.analysis.curves import Ranking, curves, equal_budget, rank, searches
from losslab.analysis.estimates import Estimate
from losslab.analysis.measures import estimates, lowest
from losslab.analysis.runs import group_runs, where
from losslab.spec import make_run
from losslab.study.findings import best_runs
from losslab.study.results import StudyResults, read_results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    return read_results(part_one(tmp_path_factory.mktemp("study"), epochs=4, seeds=3))


def test_ranking_keeps_ties_with_the_first() -> None:
    ranking = rank({"c": Estimate((2.0,)), "a": Estimate((1.0,)), "b": Estimate((1.00001,))})
    assert ranking == Ranking(("a", "b", "c"), ("a", "b"))


def test_ranking_of_nothing_is_empty() -> None:
    assert rank({}) == Ranking((), ())


def test_curves_have_a_band_over_seeds_and_none_with_one(results: StudyResults) -> None:
    band = curves(plain(results), "train_loss")["adam"]
    alone = curves({"adam": plain(results)["adam"][:1]}, "train_loss")["adam"]
    assert band.epochs == (1.0, 2.0, 3.0, 4.0)
    assert band.low is not None
    assert band.high is not None
    assert all(
        low < mean < high
        for low, mean, high in zip(band.low, band.mean, band.high, strict=True)
    )
    assert (alone.low, alone.high) == (None, None)


def test_search_agrees_with_the_finding_that_the_engine_used(results: StudyResults) -> None:
    stage = results.stages["search"]
    found = searches(group_runs(stage, ["optimizer.name"]), "lr")
    used = {run["optimizer"]["name"]: run["lr"] for run in best_runs(stage, ["optimizer.name"])}
    assert {label: search.best for label, search in found.items()} == used
    assert found["adam"].edge is None
    assert list(found["adam"].tried) == sorted(found["adam"].tried)


def test_search_warns_at_its_edge_and_not_where_the_neighbour_diverged(
    results: StudyResults,
) -> None:
    runs = where(results.stages["search"], "optimizer.name", "adam")
    low = [result for result in runs if result.run.lr <= MIDDLE["adam"]]
    assert searches({"adam": low}, "lr")["adam"].edge == "highest"
    with_diverged = [
        *low,
        *(ended(result, "diverged", "") for result in runs if result.run.lr > MIDDLE["adam"]),
    ]
    assert searches({"adam": with_diverged}, "lr")["adam"].edge is None


def test_unequal_search_budgets_are_noticed(results: StudyResults) -> None:
    groups = dict(group_runs(results.stages["search"], ["optimizer.name"]))
    assert equal_budget(searches(groups, "lr"))
    groups["adam"] = groups["adam"][:-1]
    assert not equal_budget(searches(groups, "lr"))


def test_altered_records_change_the_winner(tmp_path_factory: pytest.TempPathFactory) -> None:
    def adagrad_wins(run, records):  # type: ignore[no-untyped-def]
        return with_loss(0.001)(run, records) if run.optimizer.name == "adagrad" else records

    changed = read_results(
        part_one(tmp_path_factory.mktemp("changed"), epochs=3, change=adagrad_wins)
    )
    assert rank(estimates(plain(changed), lowest("train_loss"))).leaders == ("adagrad",)


def test_a_policy_is_no_number_to_search_along(results: StudyResults) -> None:
    runs = where(results.stages["search"], "optimizer.name", "adam")
    rest = [result for result in runs if result.run.lr != MIDDLE["adam"]]
    policy = make_run(runs[0].run.model_dump(mode="json") | {"lr": "cosine(0.1)"})
    best = [result for result in runs if result.run.lr == MIDDLE["adam"]]
    found = searches({"adam": [*rest, *(replace(result, run=policy) for result in best)]}, "lr")
    assert MIDDLE["adam"] not in found["adam"].tried
    assert found["adam"].best in found["adam"].tried
