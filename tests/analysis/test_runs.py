"""Runs selected and grouped by the fields of their specs, and those that failed."""

from dataclasses import replace

import pytest
from fake_study import part_one

from losslab.analysis.runs import failed_runs, group_runs, varying_fields
from losslab.spec import make_run
from losslab.study.results import RunResult, StudyResults, read_results

METHODS = {"adagrad": "AdaGrad", "adam": "Adam"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    return read_results(part_one(tmp_path_factory.mktemp("study"), epochs=4, seeds=3))


def test_groups_are_labelled_by_their_fields_and_names(results: StudyResults) -> None:
    groups = group_runs(
        results.stages["compare"], ["optimizer.name", "model.hidden_dropout"], METHODS
    )
    assert list(groups)[:2] == ["AdaGrad, hidden_dropout 0.0", "rmsprop, hidden_dropout 0.0"]
    assert {len(runs) for runs in groups.values()} == {3}


def test_varying_fields_leave_out_what_follows_from_a_name(results: StudyResults) -> None:
    fields = varying_fields(results.stages["compare"])
    assert {"optimizer.name", "model.hidden_dropout", "seed"} <= set(fields)
    assert "optimizer.eps" not in fields


def test_runs_with_a_number_and_with_a_policy_are_told_apart() -> None:
    fields = {
        "data": "fashion-mnist-sample",
        "model": "lenet5",
        "optimizer": "adam",
        "batch": 64,
        "epochs": 1,
    }
    runs = [
        make_run({**fields, "lr": lr})
        for lr in (0.01, "triangular(base_lr=0.001, max_lr=0.02)")
    ]
    results = [RunResult(run, "done", "", {}, ()) for run in runs]
    assert varying_fields(results) == ["lr"]
    assert list(group_runs(results, ["lr"])) == [
        "lr 0.01",
        "triangular(base_lr=0.001, max_lr=0.02)",
    ]


@pytest.mark.parametrize(
    ("rates", "labels"),
    [
        ((0.008837078743614602, 0.03806597103038618), ["lr 0.008837", "lr 0.03807"]),
        ((0.1234567, 0.1234568), ["lr 0.1234567", "lr 0.1234568"]),
    ],
    ids=["far", "near"],
)
def test_labels_have_the_digits_that_tell_groups_apart(
    results: StudyResults, rates: tuple[float, float], labels: list[str]
) -> None:
    first = results.stages["compare"][0]
    runs = [replace(first, run=first.run.model_copy(update={"lr": lr})) for lr in rates]
    assert list(group_runs(runs, ["lr"])) == labels


def test_runs_that_never_began_are_named(results: StudyResults) -> None:
    missing = failed_runs(StudyResults(results.plan, {"search": results.stages["search"]}))
    assert {(each.stage, each.status, each.run) for each in missing} == {
        ("compare", "not begun", None)
    }
