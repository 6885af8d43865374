"""Range tests of a user's own network: what they find, and that all is left as it was."""

import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import chain, islice, repeat
from math import log10, nan
from typing import Any

import numpy as np
import pytest
import torch
from own_network import DATA, loader, network, plain, tensors
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import losslab
from losslab.optimizers import choose
from losslab.ranges.losses import UserLoss, cross_entropy
from losslab.ranges.lr import confirmed
from losslab.ranges.trial import train_briefly
from losslab.training.step import Part, Stepper


def groups_of(model: nn.Module) -> list[dict[str, Any]]:
    return [
        {"params": [p for p in model.parameters() if p.ndim > 1], "lr": 0.02},
        {"params": [p for p in model.parameters() if p.ndim == 1], "lr": 0.01},
    ]


OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda model: torch.optim.SGD(groups_of(model), lr=0.1, momentum=0.9),
    "adam": lambda model: torch.optim.Adam(groups_of(model), amsgrad=True),
    "adadelta": lambda model: torch.optim.Adadelta(groups_of(model)),
}


@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_is_the_same_to_the_bit_with_and_without_range_tests_before(
    optimizer: str, own_generator: bool
) -> None:
    """200 steps, in the middle of training: weights, buffers, optimizer state, draws and modes all go on."""
    ends = []
    for tested in (False, True):
        model = network()
        trained_by = OPTIMIZERS[optimizer](model)
        data = loader(generator=torch.Generator().manual_seed(5) if own_generator else None)
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)
        _train(model, trained_by, data, 40)
        if tested:
            model[1].eval()
            losslab.find_lr(model, data, trained_by, steps=40, seeds=2)
            losslab.find_lr(
                model, data, trained_by, steps=5, seeds=1, mode="grid", candidates=3
            )
            losslab.find_batch(model, data, trained_by, sizes=[16, 32], steps=10, seeds=2)
            assert [module.training for module in model] == [
                True,
                False,
                True,
                True,
                True,
                True,
            ]
            model[1].train()
        _train(model, trained_by, data, 200)
        ends.append(
            [
                *model.state_dict().values(),
                *_state(trained_by),
                torch.rand(1),
                torch.tensor(np.random.rand()),
            ]
        )
        ends[-1].append(torch.tensor(random.random()))
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


def _train(
    model: nn.Module, optimizer: torch.optim.Optimizer, data: DataLoader, steps: int
) -> None:
    for images, labels in islice(chain.from_iterable(repeat(data)), steps):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()


def _state(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    state = optimizer.state_dict()
    values = [
        value for of_parameter in state["state"].values() for value in of_parameter.values()
    ]
    return [
        torch.as_tensor(value)
        for value in (*values, *(group["lr"] for group in state["param_groups"]))
    ]


def test_gradients_and_options_are_left_even_when_the_test_fails() -> None:
    model = plain()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model[1].weight.grad = torch.ones_like(model[1].weight)
    gradient, weights = model[1].weight.grad, deepcopy(model.state_dict())

    def failing(model: nn.Module, batch: Any) -> torch.Tensor:
        if model.training and optimizer.state_dict()["param_groups"][0]["lr"] > 1e-4:
            raise RuntimeError("as intended")
        return F.cross_entropy(model(batch[0]), batch[1])

    with pytest.raises(RuntimeError, match="as intended"):
        losslab.find_lr(model, loader(), optimizer, loss_fn=failing, steps=40)
    assert model[1].weight.grad is gradient
    assert torch.equal(gradient, torch.ones_like(gradient))
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_parameter_groups_keep_their_ratios() -> None:
    model, seen = plain(), []
    optimizer = torch.optim.SGD(groups_of(model))

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        seen.append([group["lr"] for group in optimizer.param_groups])
        return F.cross_entropy(model(batch[0]), batch[1])

    losslab.find_lr(
        model, loader(), optimizer, loss_fn=loss_fn, start=1e-4, end=1.0, steps=30, seeds=1
    )
    first, second = zip(*seen, strict=True)
    assert first == pytest.approx(np.logspace(-4, 0, 30)[: len(first)])
    assert second == pytest.approx([lr / 2 for lr in first])


def dicts() -> list[dict[str, torch.Tensor]]:
    return [
        {"image": images, "label": labels}
        for images, labels in DataLoader(tensors(), batch_size=16)
    ]


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(216, 3)

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.cat([one.flatten(1), other.flatten(1)], 1))


def test_dict_batches_and_several_inputs_go_through_a_loss_fn() -> None:
    def of_dict(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return F.cross_entropy(model(batch["image"], -batch["image"]), batch["label"])

    found = losslab.find_lr(TwoInputs(), dicts(), "adam", loss_fn=of_dict, steps=200, seeds=2)
    assert found.found
    assert found.curve.accuracy == []
    with pytest.raises(
        TypeError, match=r"a batch is a dict, not \(inputs, labels\); give `loss_fn"
    ):
        losslab.find_lr(TwoInputs(), dicts(), "adam", steps=20)


def test_a_negative_loss_has_its_range_too() -> None:
    def shifted(model: nn.Module, batch: Any) -> torch.Tensor:
        return F.cross_entropy(model(batch[0]), batch[1]) - 5

    plain_loss, negative = (
        losslab.find_lr(plain(), list(loader()), "sgd", loss_fn=loss_fn, steps=200, seeds=1)
        for loss_fn in (cross_entropy, shifted)
    )
    assert negative.found
    assert log10(negative.suggestion or 0) == pytest.approx(
        log10(plain_loss.suggestion or 0), abs=0.3
    )


def test_a_network_that_gives_nan_at_once_has_no_range() -> None:
    def bad(model: nn.Module, batch: Any) -> torch.Tensor:
        return F.cross_entropy(model(batch[0]), batch[1]) * float("nan")

    found = losslab.find_lr(plain(), loader(), "sgd", loss_fn=bad, steps=20)
    assert not found.found
    assert found.reason.startswith(
        "no range found, because the loss is nan at the first step; "
    )
    assert found.reason.endswith("look at the data and the loss")
    assert (
        "diverges at every batch size"
        in losslab.find_batch(
            plain(), loader(), "sgd", sizes=[16, 32], lr=0.1, loss_fn=bad, steps=20
        ).reason
    )


def test_the_test_stops_when_the_loss_diverges() -> None:
    steps = 0

    def counted(model: nn.Module, batch: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        return F.cross_entropy(model(batch[0]) * 30, batch[1])

    losslab.find_lr(plain(), loader(), "sgd", loss_fn=counted, steps=200, seeds=1)
    assert steps < 190


@pytest.mark.parametrize(
    "optimizer", ["sgd(momentum=0.9)", "adam", "rmsprop", "adagrad", "rmsprop-nesterov"]
)
def test_the_suggestion_trains_and_lies_in_the_range(optimizer: str) -> None:
    found = losslab.find_lr(plain(), loader(), optimizer, steps=200, seeds=3)
    assert found.found
    low, suggestion, high = found.lr_min or 0, found.suggestion or 0, found.lr_max or 0
    assert low < suggestion <= high
    assert found.curve.accuracy[0] < max(found.curve.accuracy)
    model = plain()
    groups = [{"params": list(model.parameters())}]
    stepper = Stepper(model, choose(optimizer).build(groups, lr=1.0), UserLoss(cross_entropy))
    measured = train_briefly(
        stepper, ([Part(batch, 16)] for batch in list(loader()) * 10), [suggestion] * 100
    )
    assert np.mean(measured.loss[-10:]) < 0.5 * measured.loss[0]


def test_grid_and_ramp_agree_roughly() -> None:
    """On labels of which a third is wrong, so that large rates do harm."""
    wrong = (
        torch.rand(len(DATA.train_labels), generator=torch.Generator().manual_seed(0)) < 0.33
    )
    images, labels = tensors().tensors
    data = DataLoader(TensorDataset(images, torch.where(wrong, 0, labels)), batch_size=16)
    ramp, grid = (
        losslab.find_lr(
            plain(), data, "sgd", start=1e-5, end=10.0, steps=steps, seeds=1, mode=mode
        )
        for mode, steps in (("ramp", 240), ("grid", 60))
    )
    assert abs(log10((ramp.suggestion or nan) / (grid.suggestion or nan))) < 1
    assert (ramp.lr_min or nan) < (grid.suggestion or nan) <= (ramp.lr_max or nan) * 3
    assert grid.rule == "minimum"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": 1.0, "end": 0.1}, "swap them"),
        ({"start": 0.0}, "must be positive"),
        ({"steps": 1}, r"`steps` \(=1\)"),
        ({"candidates": 1}, r"`candidates` \(=1\)"),
        ({"seeds": 0}, r"`seeds` \(=0\)"),
        ({"rule": "best"}, "unknown rule"),
        ({"mode": "both"}, "unknown mode"),
        ({"data": iter([])}, "is an iterator"),
        ({"data": []}, "`data` has no batch"),
    ],
)
def test_impossible_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losslab.find_lr(**{"model": plain(), "data": loader(), "optimizer": "sgd", **change})


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([16, 40], "multiples"),
        ([16, 4096], "an epoch has 14 batches of 16"),
        ([16], "two or more"),
    ],
)
def test_impossible_sizes_are_refused(sizes: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losslab.find_batch(plain(), loader(), "sgd", sizes=sizes, lr=0.1, steps=5)


def test_data_of_unknown_length_that_is_too_short_is_refused() -> None:
    class Endless:
        def __iter__(self) -> Iterator[Any]:
            return iter(list(loader())[:3])

    with pytest.raises(ValueError, match="exceed the data: an epoch has 3 batches of 16"):
        losslab.find_batch(plain(), Endless(), "sgd", sizes=[16, 64], lr=0.1, steps=5)


def test_find_batch_trains_each_size_from_the_same_weights() -> None:
    found = losslab.find_batch(
        plain(), loader(), "adam", sizes=[16, 32, 64], lr=0.003, steps=60, seeds=3
    )
    assert len(set(found.weights_sha256)) == 1
    assert found.curve.batch_size == [16, 32, 64]
    rows = found.to_dict()["curve"]
    assert rows["micro_batch"] == [16, 16, 16]
    assert all(value is None or value > 0 for value in rows["noise_scale"])


def test_an_optimizer_of_another_model_is_refused() -> None:
    model, other = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)
    with pytest.raises(ValueError, match="`optimizer` trains no parameter of `model`"):
        losslab.find_lr(model, [], torch.optim.SGD(other.parameters(), lr=0.1))


def test_a_rule_of_the_suggestion_and_a_race_are_refused_together() -> None:
    with pytest.raises(ValueError, match=r"`rule` \(='steepest'\) is no rule of a race"):
        losslab.find_lr(plain(), loader(), "adam", confirm=True, rule="steepest")


def test_a_race_without_a_winner_leaves_the_suggestion_and_says_so() -> None:
    found = losslab.find_lr(plain(), loader(), "adam", steps=60, seeds=1)
    again = confirmed(found, None)
    assert (again.suggestion, again.race) == (found.suggestion, None)
    assert "the suggestion is not confirmed: every rate of the race diverged" in again.reason


def test_sizes_are_compared_with_gradients_clipped_as_in_training() -> None:
    options = {"sizes": [16, 32], "steps": 6, "seeds": 1, "lr": 0.5}
    losses = [
        losslab.find_batch(plain(), loader(), "sgd", clip_norm=norm, **options).curve.loss
        for norm in (None, 1e-6)
    ]
    assert losses[0] != losses[1]
