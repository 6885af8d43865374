"""How a run begins: layers that take their shapes from the data, and what there is nothing to train in."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from edge_samples import sized
from samples import tiny_data

from losslab.data.loading import load
from losslab.errors import Diverged, InvalidInput
from losslab.randomness import seeded
from losslab.records import Final
from losslab.spec import Run, make_run
from losslab.training.loop import train
from losslab.training.state import new_state

DATA = tiny_data()


def run(model: str, data: str = "samples:tiny_data", **changes: Any) -> Run:
    fields = {"optimizer": "adam", "lr": 0.01, "batch": 30, "epochs": 1, **changes}
    return make_run({"data": data, "model": model, **fields})


def test_lazy_layers_take_their_shapes_from_the_data_before_the_optimizer_is_built() -> None:
    state = new_state(run("edge_samples:lazy"), DATA)
    shapes = [tuple(p.shape) for p in state.model.parameters()]
    assert shapes == [tuple(p.shape) for p in sized().parameters()]
    trained = [p for group in state.optimizer.param_groups for p in group["params"]]
    assert set(map(id, trained)) == set(map(id, state.model.parameters()))
    # The pass that gives the shapes leaves no trace in what batch norm has seen.
    assert torch.equal(state.model[2].running_mean, torch.zeros(8))  # type: ignore[index]
    assert int(state.model[2].num_batches_tracked) == 0  # type: ignore[index]


def test_a_network_of_lazy_layers_trains_to_the_same_bits_each_time() -> None:
    first, again = (list(train(run("edge_samples:lazy"), dataset=DATA)) for _ in range(2))
    assert isinstance(first[-1], Final)
    assert first[-1].weights_sha256 == again[-1].weights_sha256  # type: ignore[union-attr]


@pytest.mark.parametrize("model", ["no_parameters", "frozen"])
def test_a_network_with_nothing_to_train_is_refused(model: str) -> None:
    with pytest.raises(InvalidInput, match=r"has nothing to train: .* set requires_grad=True"):
        new_state(run(f"edge_samples:{model}"), DATA)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("empty", "`train` of the data has no samples"),
        ("empty_test", "`test` of the data has no samples"),
        ("uneven", r"different numbers of samples: \(40, 4\), \(30,\)"),
    ],
)
def test_data_whose_samples_do_not_match_or_are_none_is_refused(
    data: str, message: str
) -> None:
    name = f"edge_samples:{data}"
    with pytest.raises(InvalidInput, match=message):
        list(train(run("mlp(hidden=[4])", name, batch=10), dataset=load(name)))


def test_lazy_layers_without_a_tensor_to_take_shapes_from_are_refused() -> None:
    name = "edge_samples:mapping"
    with pytest.raises(InvalidInput, match=r"has lazy layers, .* give the layers their sizes"):
        new_state(run("edge_samples:lazy_embedding", name, batch=10), load(name))


def test_a_loss_that_is_nan_before_anything_is_trained_is_not_laid_on_the_learning_rate() -> (
    None
):
    name = "edge_samples:of_nans"
    with pytest.raises(
        Diverged, match="at step 0; nothing was trained yet, so look at the inputs"
    ):
        list(train(run("mlp(hidden=[4])", name, batch=10), dataset=load(name)))


def test_a_gpu_that_is_not_the_current_one_is_seeded_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a GPU that stands for one: what is called, and within which device."""
    calls: list[str] = []

    @contextmanager
    def device(which: torch.device) -> Iterator[None]:
        calls.append(f"begin {which}")
        yield
        calls.append("end")

    monkeypatch.setattr(torch.random, "fork_rng", lambda **_: nullcontext())
    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda _: calls.append("seed"))
    with seeded(0, "dropout", device=torch.device("cuda:1")):
        assert calls == ["begin cuda:1", "seed", "end"]


def test_momentum_after_a_first_step_that_overflows_is_none_that_was_never_written() -> None:
    fields = {"data": "samples:tiny_data", "model": "mlp(hidden=[8])", "lr": 0.1, "batch": 23}
    run = make_run(
        {**fields, "optimizer": "sgd(momentum=0.9)", "steps": 2, "precision": "fp16"}
    )
    state = new_state(run, tiny_data())
    assert state.scaler is not None
    weights = next(iter(state.model.parameters()))
    state.scaler.scale(weights.sum() * float("inf")).backward()
    state.scaler.step(state.optimizer)
    assert state.optimizer.state[weights].get("momentum_buffer") is None
