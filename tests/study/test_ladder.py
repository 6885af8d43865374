"""Ladders: the smaller questions of a study, and studies begun before there were any."""

from typing import Any

import pytest
from pydantic import ValidationError

from losslab.errors import InvalidInput
from losslab.spec import Study
from losslab.study.facts import study_of
from losslab.study.ladder import at_rung, rung_names, rungs
from losslab.study.stages import Scale, expand

BASE = {
    "data": "fashion-mnist-sample",
    "model": "lenet5",
    "optimizer": "sgd",
    "lr": 0.1,
    "batch": 64,
    "epochs": 20,
}
SMALLER = {
    "name": "smaller",
    "base": {"model": "mlp(hidden=[8])", "data.validation_fraction": 0.2},
    "floor": {"epochs": 3},
}
FEW = {"name": "few", "base": {"model": "mlp(hidden=[4])"}, "grid": [{"lr": [0.3]}]}
STAGES: list[dict[str, Any]] = [
    {"name": "whole", "base": BASE, "full_only": True},
    {"name": "search", "base": BASE, "ladder": [SMALLER]},
    {"name": "compare", "base": BASE, "grid": [{"lr": [0.1, 0.2]}], "ladder": [SMALLER, FEW]},
]


def study(**changes: Any) -> Study:
    return Study.model_validate({"name": "mine", "title": "Mine", "stages": STAGES} | changes)


def test_a_study_that_study_json_gives_back_has_the_rungs_that_were_written() -> None:
    base = {**BASE, "optimizer": "adam(betas=(0.9, 0.95))"}
    whole = study(stages=[{"name": "compare", "base": base, "ladder": [SMALLER]}])
    for version in rungs(whole):
        assert study_of({"spec": version.model_dump(mode="json")}) == version


def test_a_floor_has_no_more_seeds_than_the_study() -> None:
    (stage,) = study(stages=[{"name": "one", "base": BASE, "floor": {"seeds": 3}}]).stages
    assert len(expand(stage)) == 1


def test_rungs_are_those_of_all_stages_the_largest_first() -> None:
    assert rung_names(study()) == ["smaller", "few"]
    assert [version.rung for version in rungs(study())] == [None, "smaller", "few"]


def test_a_rung_changes_the_stages_that_have_it_and_leaves_out_those_for_the_full_scale() -> (
    None
):
    search, compare = at_rung(study(), "few").stages
    assert [run.model.name for run in expand(search)] == ["lenet5"]
    assert [(str(run.model), run.lr) for run in expand(compare)] == [("mlp(hidden=[4])", 0.3)]
    assert expand(at_rung(study(), "smaller").stages[0])[0].data.validation_fraction == 0.2


def test_a_rung_has_the_floor_that_it_gives() -> None:
    (_, compare) = at_rung(study(), "smaller").stages
    assert {run.epochs for run in expand(compare, scale=Scale(length=0.01))} == {3}


@pytest.mark.parametrize(
    ("name", "stages", "message"),
    [
        ("smallest", STAGES, "unknown rung 'smallest'; did you mean 'smaller'"),
        ("few", STAGES[:1], "--rung (=few): mine has no ladder; leave it out"),
    ],
)
def test_an_unknown_rung_is_refused(name: str, stages: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        at_rung(study(stages=stages), name)
    assert message in str(refused.value)


@pytest.mark.parametrize("shrink", [["grid"], ["grid", "grid", "images"]])
def test_each_kind_of_shrinking_is_listed_once(shrink: list[str]) -> None:
    with pytest.raises(ValidationError, match="each once"):
        study(shrink=shrink)


def test_values_that_must_stay_outlast_the_others_which_leave_in_order() -> None:
    grid = [{"repeats": [16, 8, 4, 2]}]
    (stage,) = study(
        stages=[
            {"name": "one", "base": BASE, "grid": grid, "floor": {"grid": {"repeats": [2]}}}
        ]
    ).stages
    kept = [
        [run.repeats for run in expand(stage, scale=Scale(grid=fraction))]
        for fraction in (1, 0.75, 0.5, 0.001)
    ]
    assert kept == [[16, 8, 4, 2], [8, 4, 2], [4, 2], [2]]


@pytest.mark.parametrize(("length", "network"), [(1.0, "lenet5"), (0.1, "mlp")])
def test_a_study_begun_with_a_floors_model_is_read_as_it_was_trained(
    length: float, network: str
) -> None:
    spec = study(stages=STAGES[1:2]).model_dump(mode="json")
    spec["stages"][0]["floor"]["model"] = "mlp"
    for key in ("shrink", "rung"):
        del spec[key]
    del spec["stages"][0]["ladder"]
    facts = {"spec": spec, "scale": {"length": length, "images": None, "grid": 1.0}}
    earlier = study_of(facts)
    assert earlier is not None
    assert [run.model.name for run in expand(earlier.stages[0])] == [network]


def test_a_study_of_an_unknown_kind_is_none() -> None:
    assert study_of({}) is None
    assert study_of({"spec": {"name": "mine", "stages": []}}) is None
