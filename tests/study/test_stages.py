"""Stages: their runs, references to earlier findings, how they shrink, and faults of a study's file."""

from pathlib import Path
from typing import Any

import pytest

from losslab.errors import InvalidInput, StoreError
from losslab.spec import Stage, make_run
from losslab.study.load import load_study, study_names
from losslab.study.stages import Scale, expand

BASE = {
    "data": "fashion-mnist-sample",
    "model": "mlp",
    "optimizer": "sgd",
    "lr": 0.1,
    "batch": 64,
    "epochs": 10,
}


def stage(**changes: Any) -> Stage:
    return Stage.model_validate({"name": "only", "base": BASE, **changes})


def test_a_stage_is_the_union_of_its_grids_each_crossed() -> None:
    runs = expand(stage(grid=[{"lr": [0.1, 0.2], "batch": [32, 64]}, {"lr": 0.5}]))
    assert [(run.lr, run.batch) for run in runs] == [
        (0.1, 32),
        (0.1, 64),
        (0.2, 32),
        (0.2, 64),
        (0.5, 64),
    ]


def test_the_same_run_in_two_grids_is_run_once() -> None:
    assert len(expand(stage(grid=[{"lr": [0.1, 0.2]}, {"lr": [0.2, 0.3]}]))) == 3


def test_seeds_count_up_from_the_base_seed() -> None:
    assert [run.seed for run in expand(stage(base={**BASE, "seed": 5}, seeds=3))] == [5, 6, 7]


def test_a_dotted_field_changes_one_option() -> None:
    (run,) = expand(stage(grid=[{"model.hidden": [[10, 20]], "data.validation_fraction": 0.2}]))
    assert run.model.options == {"hidden": [10, 20]}
    assert run.data.validation_fraction == 0.2


def test_identity_depends_on_every_field() -> None:
    runs = expand(
        stage(
            grid=[
                {"lr": [0.1, 0.2]},
                {"batch": 32},
                {"model.hidden": [[5]]},
                {"seed": 3},
                {"epochs": 11},
            ]
        )
    )
    runs += expand(stage(grid=[{"optimizer": ["adam", "rmsprop", "adam(eps=1e-7)"]}]))
    assert len({run.id for run in runs}) == 9
    assert expand(stage())[0].id == expand(stage())[0].id


def test_a_reference_takes_the_finding_of_its_own_group() -> None:
    search = stage(name="search", finding="best", group=["optimizer.name"])
    later = stage(base={**BASE, "lr": "@search.lr~0.5"}, grid=[{"optimizer": ["sgd", "adam"]}])
    findings = {
        "search": [
            {"optimizer": {"name": "adam"}, "lr": 0.002},
            {"optimizer": {"name": "sgd"}, "lr": 0.2},
        ]
    }
    assert [run.lr for run in expand(later, findings, earlier=[search])] == [0.2, 0.002]
    assert [run.lr for run in expand(later)] == [0.5, 0.5]


@pytest.mark.parametrize("field", ["weight_decay", "augment", "loss", "data", "model.name"])
def test_a_group_may_be_any_field_of_a_run_however_a_stage_writes_it(field: str) -> None:
    base = {**BASE, "augment": ["flip"]}
    search = stage(name="search", base=base, finding="best", group=[field])
    (run,) = expand(search)
    found = {"search": [run.model_copy(update={"lr": 0.25}).model_dump(mode="json")]}
    later = stage(base={**base, "lr": "@search.lr~0.5"})
    assert [run.lr for run in expand(later, found, earlier=[search])] == [0.25]


def test_a_missing_finding_is_named() -> None:
    search = stage(name="search", finding="best", group=["optimizer.name"])
    later = stage(base={**BASE, "lr": "@search.lr~0.5"})
    with pytest.raises(StoreError, match=r"stage 'search' found no lr for optimizer.name=sgd"):
        expand(later, {"search": []}, earlier=[search])


def test_scale_shrinks_length_then_images_then_grid_down_to_the_floors() -> None:
    wide = stage(
        grid=[{"lr": [1, 2, 3, 4, 5]}],
        seeds=4,
        floor={"epochs": 2, "train_images": 500, "seeds": 2, "grid": {"lr": 3}},
    )
    assert {run.epochs for run in expand(wide, scale=Scale(length=0.5))} == {5}
    smallest = expand(wide, scale=Scale(length=0.001, images=10, grid=0.001))
    assert {run.epochs for run in smallest} == {2}
    assert {run.data.train_images for run in smallest} == {500}
    assert [run.lr for run in smallest if run.seed == 0] == [1, 3, 5]
    assert {run.seed for run in smallest} == {0, 1}


def test_a_floor_never_enlarges() -> None:
    (run,) = expand(
        stage(base={**BASE, "epochs": 0.5}, floor={"epochs": 2}), scale=Scale(length=0.1)
    )
    assert run.epochs == 0.5


@pytest.mark.parametrize("epochs", [2.5, 0.004])
@pytest.mark.parametrize("scale", [Scale(grid=0.5), Scale(length=0.5), Scale(length=0.001)])
def test_rounding_never_goes_below_the_floor(epochs: float, scale: Scale) -> None:
    own = stage(base={**BASE, "epochs": epochs}, floor={"epochs": epochs})
    (run,) = expand(own, scale=scale)
    assert run.epochs == epochs
    assert make_run(run.model_dump(mode="json")) == run


@pytest.mark.parametrize("name", study_names())
def test_every_study_that_ships_is_valid(name: str) -> None:
    assert load_study(name).name == name


def write(path: Path, text: str) -> str:
    (path / "study.toml").write_text(text)
    return str(path / "study.toml")


GOOD = """
name = "mine"
title = "Mine"
[[stages]]
name = "one"
[stages.base]
data = "fashion-mnist-sample"
model = "mlp"
optimizer = "adam"
lr = 0.001
batch = 64
epochs = 2
"""


def test_a_study_of_ones_own_loads(tmp_path: Path) -> None:
    assert load_study(write(tmp_path, GOOD)).title == "Mine"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr = 0.001", "lr = -1", r"`lr` \(=-1\): must be a number greater than 0"),
        ("batch = 64", "batch = 0", r"`batch` \(=0\)"),
        ('"adam"', '"adm"', "did you mean 'adam'"),
        ('"mlp"', '"mpl"', "did you mean 'mlp'"),
        ('"fashion-mnist-sample"', '"cifar"', "did you mean 'cifar10'"),
        ("epochs = 2", "epochs = 2\nsteps = 3", "exactly one of `epochs` and `steps`"),
        ("epochs = 2", "epochs = 2\nepoch = 3", "epoch"),
        ("epochs = 2", "epochs = nan", "epochs"),
        ("lr = 0.001", 'lr = "@one.lr~1"', "unknown earlier stage"),
        ("lr = 0.001", 'lr = "@one"', "not of the form @STAGE.FIELD"),
        ('name = "one"', 'name = "One!"', "stages"),
        ("title", "titel", "titel"),
        ("[[stages]]", "[[stages]", "not valid TOML"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_path(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        load_study(write(tmp_path, GOOD.replace(old, new, 1)))


TWO = f"""{GOOD}
[[stages]]
name = "two"
[stages.base]
data = "fashion-mnist-sample"
model = "mlp"
optimizer = "adam"
lr = "@one.lr~1e-3"
batch = 64
epochs = 2
"""


@pytest.mark.parametrize(
    ("finding", "field", "fault"),
    [
        ("best", "lr", None),
        ("best", "optimizer", None),
        ("best", "optimizer.name", None),
        ("best", "learning_rate", "unknown field that 'one' finds"),
        ("best", "lr_min", "unknown field that 'one' finds"),
        ("lr_range", "lr_min", None),
        ("lr_range", "lr_mim", "did you mean 'lr_min'"),
        ("lr_range", "b_min", "unknown field that 'one' finds"),
    ],
)
def test_a_reference_names_a_field_that_its_stage_finds(
    tmp_path: Path, finding: str, field: str, fault: str | None
) -> None:
    text = TWO.replace('name = "one"', f'name = "one"\nfinding = "{finding}"', 1)
    path = write(tmp_path, text.replace("@one.lr~", f"@one.{field}~"))
    if fault is None:
        assert load_study(path).stages[1].base["lr"] == f"@one.{field}~1e-3"
    else:
        with pytest.raises(InvalidInput, match=fault):
            load_study(path)


def test_all_faults_come_together() -> None:
    with pytest.raises(InvalidInput) as caught:
        make_run({**BASE, "lr": -1, "batch": 0, "optimizer": "adam(betas=(0.9, 2.0))"})
    assert all(part in str(caught.value) for part in ("`lr`", "`batch`", "betas"))


def test_an_unknown_study_names_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'adaptive-optimizers'"):
        load_study("adaptive-optimiser")


@pytest.mark.parametrize(
    ("losses", "group", "is_fit"),
    [
        (["cross_entropy", "mse"], [], False),
        (["cross_entropy", "mse"], ["loss.name"], True),
        (["cross_entropy", "cross_entropy(label_smoothing=0.1)"], [], True),
    ],
    ids=["two", "grouped", "smoothing"],
)
def test_the_best_run_is_of_one_loss(
    tmp_path: Path, losses: list[str], group: list[str], is_fit: bool
) -> None:
    grid = f"[[stages.grid]]\nloss = {losses}\n"
    finding = f'name = "one"\nfinding = "best"\ngroup = {group}'
    path = write(tmp_path, GOOD.replace('name = "one"', finding) + grid)
    if is_fit:
        assert load_study(path).title == "Mine"
        return
    with pytest.raises(InvalidInput, match=r"add 'loss\.name' to `group`"):
        load_study(path)
