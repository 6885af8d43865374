"""Clipping, averages of weights and 16-bit arithmetic: each against a plain torch loop or the rule."""

from pathlib import Path
from typing import Any

import pytest
import torch
from samples import table
from torch import nn
from torch.nn import functional as F

from losslab import data
from losslab.data.task_data import TaskData
from losslab.errors import InvalidInput
from losslab.models.mlp import mlp
from losslab.optimizers import at_iterate
from losslab.randomness import epoch_order, seeded
from losslab.records import Evaluation, Record, Steps, deterministic
from losslab.spec import Run, make_run
from losslab.tasks.samples import part_positions
from losslab.training.checkpoint import load_newest, save_checkpoint
from losslab.training.loop import train
from losslab.training.state import new_state

BATCH = 32


def run(**fields: object) -> Run:
    base = {
        "data": "samples:table",
        "model": "mlp(hidden=[16])",
        "loss": "mse",
        "optimizer": "sgd",
        "lr": 0.05,
    }
    return make_run({**base, "batch": BATCH, "steps": 12, **fields})


def trained(spec: Run) -> nn.Module:
    state = new_state(spec, data.load("samples:table"))
    list(train(spec, dataset=data.load("samples:table"), state=state))
    return state.model


def plain_loop(
    steps: int, change: Any = lambda model: None
) -> tuple[nn.Module, list[dict[str, torch.Tensor]], list[float]]:
    """The same training in a loop of torch alone: weights after each step and the gradients' norms."""
    positions, _ = part_positions(table(), validation_fraction=0.1, train_samples=None)
    inputs, targets = (
        torch.from_numpy(part)[torch.from_numpy(positions)] for part in table().train
    )
    with seeded(0, "weights"):
        model = mlp(input_shape=(8,), classes=1, hidden=[16])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    weights, norms = [], []
    for step in range(steps):
        epoch, index = divmod(step, -(-len(targets) // BATCH))
        chosen = epoch_order(len(targets), 0, epoch)[index * BATCH : (index + 1) * BATCH]
        optimizer.zero_grad()
        F.mse_loss(model(inputs[chosen])[:, 0], targets[chosen]).backward()
        norms.append(float(torch.cat([p.grad.flatten() for p in model.parameters()]).norm()))
        change(model)
        optimizer.step()
        weights.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    return model, weights, norms


def test_gradient_norms_are_recorded_at_every_flush() -> None:
    records = [record for record in train(run(), flush_steps=5) if isinstance(record, Steps)]
    _, _, norms = plain_loop(12)
    last_steps = [record.first_step + len(record.loss) - 1 for record in records]
    assert [record.gradient_norm for record in records] == pytest.approx(
        [norms[step] for step in last_steps], rel=1e-5
    )


def test_a_clipped_gradient_is_the_one_that_torch_clips() -> None:
    def clip(model: nn.Module) -> None:
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)

    expected, _, norms = plain_loop(12, clip)
    assert max(norms) > 0.5
    torch.testing.assert_close(
        trained(run(clip_norm=0.5)).state_dict(), expected.state_dict(), rtol=1e-4, atol=1e-6
    )


def looked_up(sparse: bool, optimizer: str, **fields: object) -> list[Record]:
    """The records of a table of weights that whole numbers, some of them twice, look up."""
    numbers = torch.arange(120).reshape(40, 3) * 5 % 7
    model = f"samples:Looked(sparse={sparse})"
    spec = run(model=model, loss="cross_entropy", optimizer=optimizer, **fields)
    part = (numbers, numbers[:, 0] % 3)
    return list(train(spec, dataset=TaskData(part), flush_steps=1))


@pytest.mark.parametrize(
    ("optimizer", "of_dense"),
    [("torch.optim/SparseAdam", "torch.optim/Adam"), ("torch.optim/SGD", "torch.optim/SGD")],
)
def test_sparse_gradients_have_the_norm_of_dense_ones(optimizer: str, of_dense: str) -> None:
    sparse, dense = (
        [record.gradient_norm for record in found if isinstance(record, Steps)]
        for found in (looked_up(True, optimizer), looked_up(False, of_dense))
    )
    assert len(sparse) == 12
    # The lazy Adam leaves alone what a batch does not look up, as that of the second step.
    assert sparse[:2] == pytest.approx(dense[:2], rel=1e-4)


def test_sparse_gradients_are_not_clipped() -> None:
    with pytest.raises(
        InvalidInput, match=r"`clip_norm` \(=1.0\) scales dense gradients alone"
    ):
        looked_up(True, "torch.optim/SparseAdam", clip_norm=1.0)


@pytest.mark.parametrize(
    ("average", "first", "decay"),
    [("equal(start=0.5)", 6, 1.0), ("ema(decay=0.5)", 0, 0.5), ("ema(decay=0.99)", 0, 0.99)],
)
def test_an_average_is_the_weighted_mean_of_the_weights(
    average: str, first: int, decay: float
) -> None:
    spec = run(average=average)
    state = new_state(spec, data.load("samples:table"))
    list(train(spec, dataset=data.load("samples:table"), state=state))
    _, weights, _ = plain_loop(12)
    expected = {name: tensor.clone() for name, tensor in weights[first].items()}
    for count, newest in enumerate(weights[first + 1 :], 1):
        share = 1 / (count + 1) if decay == 1 else max(1 - decay, 1 / (count + 1))
        expected = {
            name: (1 - share) * tensor + share * newest[name]
            for name, tensor in expected.items()
        }
    assert state.average is not None
    torch.testing.assert_close(state.average.tensors, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["rmsprop-nesterov", "optimizer_samples:ScheduleFree"])
def test_an_average_is_of_the_weights_that_are_evaluated(optimizer: str) -> None:
    spec = run(average="equal(start=0.0)", optimizer=optimizer, lr=0.01)
    dataset = data.load("samples:table")
    state = new_state(spec, dataset)
    evaluated = []
    for record in train(spec, dataset=dataset, state=state, flush_steps=1):
        if isinstance(record, Steps):
            with at_iterate(state.optimizer):
                evaluated.append(nn.utils.parameters_to_vector(state.model.parameters()))
    expected = torch.stack(evaluated).mean(0)
    assert state.average is not None
    averages = state.average.tensors
    found = torch.cat([averages[name].flatten() for name, _ in state.model.named_parameters()])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_average_is_evaluated_beside_the_weights_and_leaves_them() -> None:
    plain = [record for record in train(run()) if isinstance(record, Evaluation)]
    averaged = [
        record
        for record in train(run(average="ema(decay=0.9)"))
        if isinstance(record, Evaluation)
    ]
    assert [record.validation_loss for record in plain] == [
        record.validation_loss for record in averaged
    ]
    assert averaged[-1].metrics["averaged_validation_loss"] != averaged[-1].validation_loss
    assert averaged[-1].metrics.keys() >= {
        "averaged_validation_loss",
        "averaged_validation_mae",
    }


@pytest.mark.parametrize(
    ("average", "message"),
    [
        ("mean", "unknown average 'mean'"),
        ("ema(decay=1.0)", "below 1"),
        ("equal(decay=0.5)", "unknown option"),
    ],
)
def test_a_wrong_average_is_refused(average: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        run(average=average)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("stop_at", [2, 4])
def test_a_run_in_16_bits_goes_on_from_disk_to_the_bit(
    tmp_path: Path, precision: str, stop_at: int
) -> None:
    spec = run(precision=precision, optimizer="adam", lr=0.01)
    dataset = data.load("samples:table")
    whole = [deterministic(record) for record in train(spec, dataset=dataset, flush_steps=3)]
    state = new_state(spec, dataset)
    begun = train(spec, dataset=dataset, state=state, flush_steps=3)
    first = [deterministic(next(begun)) for _ in range(stop_at)]
    save_checkpoint(tmp_path, state, rows=stop_at)
    begun.close()
    fresh = new_state(spec, dataset)
    load_newest(tmp_path, fresh)
    if precision == "fp16":
        assert state.scaler is not None
        assert fresh.scaler is not None
        assert fresh.scaler.state_dict() == state.scaler.state_dict()
    assert (
        first
        + [
            deterministic(record)
            for record in train(spec, dataset=dataset, state=fresh, flush_steps=3)
        ]
        == whole
    )


def test_16_bits_are_another_run_and_other_numbers() -> None:
    assert run().id != run(precision="bf16").id
    losses = []
    for precision in ("fp32", "bf16"):
        losses.append(
            next(
                record.loss
                for record in train(run(precision=precision))
                if isinstance(record, Steps)
            )
        )
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_weights_stay_float32() -> None:
    assert {
        tensor.dtype for tensor in trained(run(precision="bf16")).state_dict().values()
    } == {torch.float32}


def test_the_identity_of_a_run_does_not_know_the_new_fields() -> None:
    spec = {
        "data": "fashion-mnist-sample",
        "model": "lenet5",
        "optimizer": "adam",
        "lr": 1e-3,
        "batch": 64,
        "epochs": 0.5,
    }
    assert (
        make_run(spec).id == "a551ab94e5c8"
    )  # what it was before losses, metrics and precision could be named
