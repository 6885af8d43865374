"""A single sample at the end of an epoch, on which batch norm cannot train, is refused before a step is taken."""

from typing import Any

import pytest
from samples import tiny_data

from losslab.errors import InvalidInput
from losslab.records import Final, Steps
from losslab.spec import Run, make_run
from losslab.study.calibrate import calibrate
from losslab.training.loop import train
from losslab.training.state import new_state

DATA = tiny_data()
"""207 of its 230 images train: 206 = 2 x 103, so that batches of 103 leave one."""


def run(model: str, **changes: Any) -> Run:
    fields: dict[str, Any] = {
        "data": "fashion-mnist-sample",
        "model": f"norm_samples:{model}",
        "optimizer": "adam",
        "lr": 0.01,
        "batch": 103,
        "epochs": 2,
        **changes,
    }
    return make_run(fields)


def steps_until_refused(spec: Run) -> tuple[int, str]:
    """The steps that are taken before the run is refused, and the reason."""
    state = new_state(spec, DATA)
    with pytest.raises(InvalidInput) as refusal:
        list(train(spec, dataset=DATA, state=state))
    return state.step, str(refusal.value)


@pytest.mark.parametrize("model", ["vector_norm", "pooled_norm"])
@pytest.mark.parametrize(
    ("changes", "fields", "remedies"),
    [
        ({}, "`batch` (=103)", {"batch": 104, "train_images": 206}),
        ({"batch": 1}, "`batch` (=1)", {"batch": 3}),
        (
            {"batch": 100, "max_micro_batch": 11},
            "`batch` (=100) with `max_micro_batch` (=11)",
            {"max_micro_batch": 12, "batch": 101},
        ),
        (
            {"batch": "piecewise(values=[103, 104], epochs=[1])"},
            "`batch` (=piecewise(",
            {"train_images": 206},
        ),
    ],
    ids=["last batch", "every batch", "part of a batch", "policy"],
)
def test_a_run_that_comes_to_a_single_sample_is_refused_before_its_first_step(
    model: str, changes: dict[str, Any], fields: str, remedies: dict[str, int]
) -> None:
    step, reason = steps_until_refused(run(model, **changes))
    assert step == 0
    assert fields in reason
    assert "a single one of 207 training samples" in reason
    for field, value in remedies.items():
        assert f"`{field}` = {value}" in reason


@pytest.mark.parametrize(
    "changes", [{"batch": 104}, {"data": {"name": "fashion-mnist-sample", "train_images": 206}}]
)
def test_each_remedy_trains(changes: dict[str, Any]) -> None:
    assert isinstance(list(train(run("vector_norm", **changes), dataset=DATA))[-1], Final)


@pytest.mark.parametrize("model", ["map_norm", "no_norm", "Frozen"])
def test_what_can_train_on_a_single_sample_does(model: str) -> None:
    records = list(train(run(model), dataset=DATA))
    sizes = [
        size for record in records if isinstance(record, Steps) for size in record.batch_size
    ]
    assert sizes == [103, 103, 1] * 2


def test_copies_of_an_image_are_no_single_sample() -> None:
    records = list(train(run("vector_norm", repeats=2), dataset=DATA))
    assert isinstance(records[-1], Final)


def test_a_run_that_ends_before_the_single_sample_trains() -> None:
    records = list(train(run("vector_norm", epochs=None, steps=2), dataset=DATA))
    assert isinstance(records[-1], Final)


def test_a_run_that_goes_on_is_refused_at_once() -> None:
    spec = run("vector_norm")
    state = new_state(spec, DATA)
    short = spec.model_copy(update={"epochs": None, "steps": 1})
    list(train(short, dataset=DATA, state=state))
    assert state.step == 1
    with pytest.raises(InvalidInput, match="single one of 207"):
        list(train(spec, dataset=DATA, state=state))
    assert state.step == 1


def test_a_normalisation_of_its_own_is_refused_where_torch_refuses_it() -> None:
    step, reason = steps_until_refused(run("Functional"))
    assert step == 2
    assert (
        "a single one of 207 training samples to a step, on which batch norm cannot train"
        in reason
    )


def test_nothing_is_left_on_the_network() -> None:
    spec = run("map_norm")
    state = new_state(spec, DATA)
    list(train(spec, dataset=DATA, state=state))
    assert not any(module._forward_pre_hooks for module in state.model.modules())


def test_a_plan_is_refused_with_the_batch_size_of_the_run() -> None:
    spec = run("vector_norm", data="samples:tiny_data")
    with pytest.raises(InvalidInput, match=r"`batch` \(=103\) leaves a single one"):
        next(calibrate(spec, None, compare=False))
