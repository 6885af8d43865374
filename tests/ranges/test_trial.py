"""A trial trains as the user trains: whole batches whatever their parts, modes, rates, clipping, gradients."""

from typing import Any

import numpy as np
import pytest
import torch
from own_network import loader, network, plain, tensors
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from losslab import find_batch, find_lr
from losslab.ranges.losses import UserLoss, cross_entropy
from losslab.ranges.trial import measure_gradients, train_briefly
from losslab.training.step import Part, Stepper


def test_an_accumulated_step_is_that_of_the_large_batch() -> None:
    batches = list(DataLoader(tensors(), batch_size=50))  # the last one is short
    ends = []
    for step in (batches, [[torch.cat(column) for column in zip(*batches, strict=True)]]):
        model = plain().double()
        parts = [Part((images.double(), labels), len(labels)) for images, labels in step]
        stepper = Stepper(
            model, torch.optim.SGD(model.parameters(), lr=0.1), UserLoss(cross_entropy)
        )
        measured = train_briefly(stepper, [parts], [0.1])
        ends.append(torch.cat([p.flatten() for p in model.parameters()]))
        assert measured.samples == [len(tensors())]
    assert torch.allclose(*ends, rtol=0, atol=1e-12)


def test_modules_in_evaluation_mode_inside_a_training_network_stay_so() -> None:
    model = network()
    model[1].eval()
    modes = set()

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        modes.add((model.training, model[1].training, model[4].training))
        return F.cross_entropy(model(batch[0]), batch[1])

    find_lr(model, loader(), "adam", loss_fn=loss_fn, steps=12, seeds=1)
    find_batch(
        model, loader(), "adam", loss_fn=loss_fn, sizes=[16, 32], lr=0.1, steps=4, seeds=1
    )
    assert modes == {(True, False, True)}
    modes.clear()
    find_lr(model.eval(), loader(), "adam", loss_fn=loss_fn, steps=12, seeds=1)
    assert modes == {(True, True, True)}
    assert not any(module.training for module in model.modules())


def test_a_network_that_keeps_parts_in_evaluation_mode_itself_is_obeyed() -> None:
    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> "Frozen":
            super().train(mode)
            self[1].eval()
            return self

    model = Frozen(*network()).eval()
    modes = set()

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        modes.add((model.training, model[1].training))
        return F.cross_entropy(model(batch[0]), batch[1])

    find_lr(model, loader(), "adam", loss_fn=loss_fn, steps=5, seeds=1)
    assert modes == {(True, False)}


def rates_seen(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[list[float]]:
    seen = []

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        seen.append([float(group["lr"]) for group in optimizer.param_groups])
        return F.cross_entropy(model(batch[0]), batch[1])

    find_lr(model, loader(), optimizer, loss_fn=loss_fn, start=1e-4, end=1e-2, steps=5, seeds=1)
    return seen


def halves(model: nn.Module, first: float, second: float) -> list[dict[str, Any]]:
    return [
        {"params": model[1].parameters(), "lr": first},
        {"params": model[3].parameters(), "lr": second},
    ]


def test_rates_of_before_a_warm_up_count_where_it_has_set_them_to_zero() -> None:
    model = plain()
    optimizer = torch.optim.SGD(halves(model, 0.2, 0.05))
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 100)
    seen = rates_seen(optimizer, model)
    assert [first for first, _ in seen] == pytest.approx(np.geomspace(1e-4, 1e-2, 5))
    assert [second / first for first, second in seen] == pytest.approx([0.25] * 5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.0]
    found = find_batch(model, loader(), optimizer, sizes=[16, 32], steps=4, seeds=1)
    assert found.setting is not None
    assert found.setting.lrs == [0.2]


def test_a_lone_group_needs_no_rate_of_its_own() -> None:
    model = plain()
    seen = rates_seen(torch.optim.SGD(model.parameters(), lr=0.0), model)
    assert [lr for (lr,) in seen] == pytest.approx(np.geomspace(1e-4, 1e-2, 5))


def test_a_rate_that_is_a_tensor_stays_that_tensor() -> None:
    model = plain()
    rate = torch.tensor(0.5)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, foreach=False)
    kept = optimizer.param_groups[0]["lr"]
    assert [lr for (lr,) in rates_seen(optimizer, model)] == pytest.approx(
        np.geomspace(1e-4, 1e-2, 5)
    )
    assert optimizer.param_groups[0]["lr"] is kept
    assert float(kept) == 0.5


def test_accumulation_and_clipping_are_those_of_a_plain_loop() -> None:
    data = list(DataLoader(tensors(), batch_size=25))  # the last one is short
    found = find_lr(
        plain(),
        data,
        "sgd",
        accumulate=3,
        clip_norm=0.05,
        start=1e-3,
        end=1.0,
        steps=12,
        seeds=1,
    )
    model = plain()
    groups = [data[start : start + 3] for start in range(0, len(data), 3)]
    losses = []
    for lr, group in zip(np.geomspace(1e-3, 1.0, 12), groups * 8, strict=False):
        images, labels = (torch.cat(column) for column in zip(*group, strict=True))
        optimizer = torch.optim.SGD(model.parameters(), lr=float(lr))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.05)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert found.curve.loss == pytest.approx(losses, rel=1e-4)


def test_a_scaler_changes_nothing_but_the_scale() -> None:
    plain_curve, scaled = (
        find_lr(plain(), list(loader()), "adam", scaler=scaler, steps=30, seeds=1).curve.loss
        for scaler in (None, torch.amp.GradScaler("cpu", init_scale=64.0))
    )
    assert scaled == pytest.approx(plain_curve, rel=1e-4)


class Branch(nn.Module):
    """Uses one of two branches, and never the third."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.never = nn.Linear(20, 5), nn.Linear(20, 5), nn.Linear(20, 7)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.a(inputs) if inputs[0, 0] > 0 else self.b(inputs)


def gradient_rows(model: nn.Module, batches: list[Any]) -> torch.Tensor:
    """(batch, weight), zeros where a batch does not use a weight."""
    rows = []
    for batch in batches:
        model.zero_grad()
        cross_entropy(model, batch)[0].backward()
        dense = [
            torch.zeros_like(p) if p.grad is None else p.grad.to_dense()
            for p in model.parameters()
        ]
        rows.append(torch.cat([gradient.flatten() for gradient in dense]).double())
    return torch.stack(rows)


@pytest.mark.parametrize("kind", ["unused weights", "sparse"])
def test_gradients_of_unused_weights_are_zeros_and_sparse_ones_dense(kind: str) -> None:
    torch.manual_seed(1)
    if kind == "sparse":
        model: nn.Module = nn.EmbeddingBag(50, 5, sparse=True)
        inputs = [torch.randint(50, (8, 4)) for _ in range(6)]
    else:
        model = Branch()
        inputs = [torch.randn(8, 20) for _ in range(6)]
    batches = [(part, torch.randint(5, (8,))) for part in inputs]
    rows = gradient_rows(model, batches)
    squares = measure_gradients(model, batches, cross_entropy)
    assert (squares.b_small, squares.b_big) == (8, 48)
    assert squares.small == pytest.approx(float(rows.square().sum(1).mean()))
    assert squares.big == pytest.approx(float(rows.mean(0).square().sum()))
