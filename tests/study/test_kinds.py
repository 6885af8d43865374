"""Kinds of runs: what costs the same, and what earlier versions wrote of them."""

import json
from pathlib import Path

import pytest

from losslab.spec import Run, make_run
from losslab.study.costs import Cost, kind_of_run, read_kind
from losslab.study.facts import _read_costs, planned_before
from losslab.study.load import load_study
from losslab.study.plan import plan_at
from losslab.study.stages import FULL
from losslab.study.store import StudyFolder

OLD = (
    '["fashion-mnist-sample", {"augment": [], "batch": 16, "max_micro_batch": null, '
    '"model": {"hidden": [100], "name": "mlp"}, '
    '"optimizer": {"betas": [0.9, 0.999], "eps": 1e-08, "name": "adam"}}, false, false]'
)
"""As version 0.1 wrote the kind of the run below, before Adam had `amsgrad` and a run a loss."""


def run(**fields: object) -> Run:
    base = {
        "data": "fashion-mnist-sample",
        "model": "mlp(hidden=[100])",
        "optimizer": "adam",
        "lr": 1e-3,
    }
    return make_run({**base, "batch": 16, "epochs": 6, **fields})


def test_a_kind_of_an_earlier_version_is_read_as_todays() -> None:
    assert read_kind(OLD) == kind_of_run(run())
    for today in (run(), run(metrics=[]), run(augment=["flip"]), run(average="ema")):
        assert read_kind(kind_of_run(today)) == kind_of_run(today)


@pytest.mark.parametrize("fields", [{"lr": 0.1}, {"seed": 3}, {"epochs": 1}], ids=str)
def test_what_changes_no_step_is_the_same_kind(fields: dict) -> None:
    assert kind_of_run(run(**fields)) == kind_of_run(run())


@pytest.mark.parametrize(
    "fields",
    [
        {"precision": "bf16"},
        {"loss": "bce"},
        {"clip_norm": 1.0},
        {"average": "ema"},
        {"optimizer": "adam(amsgrad=True)"},
    ],
    ids=str,
)
def test_what_changes_a_step_is_another_kind(fields: dict) -> None:
    assert kind_of_run(run(**fields)) != kind_of_run(run())


def test_a_study_that_an_earlier_version_began_can_be_resumed(tmp_path: Path) -> None:
    text = 'name = "old"\ntitle = "Old"\n[[stages]]\nname = "only"\n[stages.base]\ndata = "fashion-mnist-sample"\n'
    text += (
        'model = "mlp(hidden=[100])"\noptimizer = "adam"\nlr = 0.001\nbatch = 16\nepochs = 6\n'
    )
    (tmp_path / "old.toml").write_text(text)
    study = load_study(str(tmp_path / "old.toml"))
    cost = {
        "step_seconds": [[16, 0.001]],
        "image_seconds": 1e-5,
        "start_seconds": 0.1,
        "memory_bytes": 10**8,
    }
    facts = {
        "spec": study.model_dump(mode="json"),
        "scale": {"length": 1.0, "images": None, "grid": 1.0},
        "costs": {OLD: {**cost, "image_bytes": 0.0}},
        "workers": 1,
        "threads": 1,
        "layouts": {},
    }
    folder = StudyFolder(tmp_path / "study")
    folder.prepare()
    folder.write_plan(json.loads(json.dumps(facts)))
    plan = planned_before(folder)
    (run,) = plan.runs
    assert plan.costs[kind_of_run(run)] == Cost(((16, 0.001),), 1e-5, 0.1, 10**8, 0.0)
    assert plan.seconds == plan_at(study, FULL, plan.costs, 1, 1).seconds > 0


def test_the_copies_that_an_earlier_version_told_apart_are_read_by_the_kind_that_has_them() -> (
    None
):
    without, with_copies = OLD, OLD.replace("false]", "true]")
    cost = {"image_seconds": 1e-5, "start_seconds": 0.1, "memory_bytes": 10**8}
    points = {with_copies: [[16, 0.1], [32, 0.2]], without: [[12, 0.08], [16, 0.1]]}
    costs = _read_costs({kind: cost | {"step_seconds": points[kind]} for kind in points})
    assert {key: cost.step_seconds for key, cost in costs.items()} == {
        kind_of_run(run()): ((16, 0.1), (32, 0.2))
    }
