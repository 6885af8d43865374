"""Targets of a run's cross-entropy: what is none is refused before training, and what is ignored weighs nothing."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from losslab.data.task_data import TaskData
from losslab.errors import InvalidInput
from losslab.records import Evaluation, Final, Record, Steps
from losslab.spec import Run, make_run
from losslab.training.loop import train
from losslab.training.state import new_state

SAMPLES = 96
INPUTS = np.random.default_rng(0).standard_normal((SAMPLES, 4)).astype("float32")
LABELS = np.arange(SAMPLES) % 3


def run(**fields: object) -> Run:
    base = {"data": "samples:table", "model": "mlp(hidden=[8])", "optimizer": "sgd", "lr": 0.1}
    return make_run({**base, "batch": 32, "epochs": 1, **fields})


def records(targets: Any, **fields: object) -> list[Record]:
    return list(train(run(**fields), dataset=TaskData((INPUTS, targets))))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (INPUTS[:, :1], "neither class indices nor probabilities.*give `loss` mse"),
        (INPUTS[:, 0], "neither class indices nor probabilities.*give `loss` mse"),
        (INPUTS[:, :3], "neither class indices nor probabilities.*give `loss` mse"),
        (np.ones((SAMPLES, 3), "float32"), "neither class indices nor probabilities"),
        (np.ones((SAMPLES, 1), "float32"), r"\(32, 1\) are of a single class.*give `loss` mse"),
        (np.zeros(SAMPLES, "int64"), r"\(32, 1\) are of a single class.*two classes or more"),
        (LABELS - 1, "a class index -1; classes are counted from 0"),
        (np.where(LABELS, LABELS - 2, -100), "a class index -1; classes are counted from 0"),
    ],
    ids=["column", "numbers", "columns", "flags", "ones", "one class", "negative", "both"],
)
def test_what_is_no_class_is_refused_before_anything_trains(targets: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        records(targets)


def test_numbers_that_are_read_are_refused_alike() -> None:
    with pytest.raises(InvalidInput, match="neither class indices nor probabilities"):
        list(train(run(data="samples:rows")))


@pytest.mark.parametrize("labels", [np.full(9, -1), np.full(9, 7)], ids=["none", "unknown"])
def test_a_test_set_that_is_not_read_may_hold_anything(labels: Any) -> None:
    data = TaskData((INPUTS, LABELS), test=(INPUTS[:9], labels))
    assert isinstance(list(train(run(test=False), dataset=data))[-1], Final)
    with pytest.raises(InvalidInput, match="a class index"):
        list(train(run(), dataset=data))


def test_samples_that_are_read_weigh_the_classes_that_count() -> None:
    labels = np.where(np.arange(SAMPLES) % 8 < 5, -100, LABELS)
    dataset = TensorDataset(torch.tensor(INPUTS), torch.tensor(labels))
    losses = []
    for samples in ((INPUTS, labels), dataset):
        data = TaskData(samples, validation=(INPUTS, LABELS), classes=("a", "b", "c"))
        evaluations = train(run(batch=8), dataset=data)
        losses.append([r.train_loss for r in evaluations if isinstance(r, Evaluation)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_probabilities_train() -> None:
    shares = np.random.default_rng(1).dirichlet(np.ones(3), SAMPLES).astype("float32")
    assert isinstance(records(shares)[-2], Evaluation)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_class_that_training_lacks_is_refused_before_anything_trains(part: str) -> None:
    later = (INPUTS, (LABELS + 1).astype("uint8"))
    found = train(run(epochs=50), dataset=TaskData((INPUTS, LABELS), **{part: later}))
    assert next(found).kind == "start"
    with pytest.raises(InvalidInput, match=f"of `{part}` is 3, but the network has 3 outputs"):
        next(found)


def masked(kind: str) -> Any:
    """Labels of which the first 12 of 32, or every second one, count nowhere."""
    labels = LABELS[:32].copy()
    labels[slice(0, 12) if kind == "first" else slice(0, None, 2)] = -100
    return labels


def update(labels: Any, *, is_read: bool, **fields: object) -> tuple[torch.Tensor, float]:
    """What one step of all 32 samples subtracts from the weights, and its loss."""
    spec = run(epochs=None, steps=1, lr=1.0, **fields)
    pair = INPUTS[:32], labels
    part = TensorDataset(*map(torch.from_numpy, pair)) if is_read else pair
    data = TaskData(part, validation=pair, classes=("a", "b", "c"))
    state = new_state(spec, data)
    before = nn.utils.parameters_to_vector(state.model.parameters()).detach().clone()
    (steps,) = (
        record for record in train(spec, dataset=data, state=state) if isinstance(record, Steps)
    )
    after = nn.utils.parameters_to_vector(state.model.parameters()).detach()
    return before - after, steps.loss[0]


@pytest.mark.parametrize("kind", ["first", "every second"])
@pytest.mark.parametrize("size", [1, 5, 16])
@pytest.mark.parametrize("is_read", [False, True], ids=["tensors", "read"])
def test_a_batch_in_parts_weighs_the_classes_that_count(
    kind: str, size: int, is_read: bool
) -> None:
    whole, whole_loss = update(masked(kind), is_read=False)
    parts, loss = update(masked(kind), is_read=is_read, max_micro_batch=size)
    assert loss == pytest.approx(whole_loss, rel=1e-6)
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-7)


def test_the_training_loss_of_an_epoch_is_over_the_classes_that_count() -> None:
    labels = LABELS.copy()
    labels[:40] = -100
    data = TaskData((INPUTS, labels), validation=(INPUTS, LABELS))
    found = list(train(run(lr=1e-9, batch=16), dataset=data))
    (evaluation,) = (record for record in found if isinstance(record, Evaluation))
    assert evaluation.train_loss == pytest.approx(evaluation.fit_loss, rel=1e-6)


@pytest.mark.parametrize("stop_at", [1, 2])
def test_an_epoch_goes_on_from_steps_that_were_weighed_by_samples(stop_at: int) -> None:
    """As an earlier version left them, or several processes that one takes over from."""
    labels = LABELS.copy()
    labels[:40] = -100
    data = TaskData((INPUTS, labels), validation=(INPUTS, LABELS))
    state = new_state(run(batch=16), data)
    losses, weights = [], []
    for record in train(run(batch=16), dataset=data, state=state, flush_steps=1):
        if isinstance(record, Steps):
            losses += record.loss
            weights = state.window.weight[:]
            if len(losses) == stop_at:
                state.window.weight.clear()
        elif isinstance(record, Evaluation):
            assert weights[:stop_at] == [16.0] * stop_at
            assert len(weights) == len(losses) == 6
            assert record.train_loss == pytest.approx(np.average(losses, weights=weights))
