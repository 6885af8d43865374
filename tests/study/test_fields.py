"""Fields of runs: which of them differ, and the short names of runs made of those."""

from typing import Any

import pytest

from losslab.spec import Run, make_run
from losslab.study.fields import get_field, labels, varying_fields

BASE: dict[str, Any] = {
    "data": "fashion-mnist-sample",
    "model": "lenet5",
    "batch": 64,
    "epochs": 1,
}


def runs(*changes: dict[str, Any]) -> list[Run]:
    return [make_run({**BASE, "optimizer": "adam", "lr": 0.1, **change}) for change in changes]


def names(*changes: dict[str, Any]) -> list[str]:
    return list(labels(runs(*changes)).values())


def varying(*changes: dict[str, Any]) -> list[str]:
    return varying_fields([run.model_dump(mode="json") for run in runs(*changes)])


def test_labels_name_what_differs() -> None:
    grid = [
        {"optimizer": optimizer, "lr": lr} for optimizer in ("adam", "sgd") for lr in (0.1, 0.2)
    ]
    assert names(*grid) == ["adam lr=0.1", "adam lr=0.2", "sgd lr=0.1", "sgd lr=0.2"]


def test_defaults_of_a_method_are_implied_by_its_name_and_its_options_are_not() -> None:
    assert varying({"optimizer": "adam"}, {"optimizer": "sgd"}) == ["optimizer.name"]
    options = ({"optimizer": "adam"}, {"optimizer": "adam(eps=1e-6)"}, {"optimizer": "sgd"})
    assert varying(*options) == ["optimizer.name", "optimizer.eps"]
    assert names(*options) == ["adam eps=1e-08", "adam eps=1e-06", "sgd"]


def test_a_policy_beside_a_number_is_one_field() -> None:
    policy = "triangular(base_lr=0.001, max_lr=0.02)"
    assert varying({"lr": 0.01}, {"lr": policy}) == ["lr"]
    assert names({"lr": 0.01}, {"lr": policy}) == ["lr=0.01", policy]


def test_long_numbers_are_rounded() -> None:
    policy = "triangular(base_lr=0.000512724250, max_lr=0.0376057972)"
    assert names({"lr": 0.0159287}, {"lr": policy}) == [
        "lr=0.0159",
        "triangular(base_lr=0.000513, max_lr=0.0376)",
    ]


def test_policies_beside_each_other_differ_in_their_options() -> None:
    low, high = (
        "triangular(base_lr=0.001, max_lr=0.02)",
        "triangular(base_lr=0.001, max_lr=0.04)",
    )
    assert varying({"lr": low}, {"lr": high}) == ["lr.max_lr"]


def test_runs_that_differ_in_nothing_are_called_run() -> None:
    assert names({}) == ["run"]


@pytest.mark.parametrize(
    ("path", "value"),
    [("a", {"b": 1}), ("a.b", 1), ("a.b.c", None), ("x", None)],
    ids=["table", "value", "below", "no"],
)
def test_a_dotted_path_leads_to_a_value_or_nowhere(path: str, value: Any) -> None:
    assert get_field({"a": {"b": 1}}, path) == value


def test_a_choice_that_some_runs_have_tells_them_apart() -> None:
    changes = ({}, {"average": "ema(decay=0.99)"}, {"average": "ema(decay=0.9)"})
    assert varying(*changes) == ["average"]
    assert names(*changes) == ["run", "ema(decay=0.99)", "ema(decay=0.9)"]
