"""Range tests judged by held-out batches: the losses of a plain loop, and training as without them."""

from itertools import cycle, islice
from typing import Any

import numpy as np
import pytest
import torch
from own_network import loader, network, plain, tensors
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset

from losslab import find_lr

RAMP = {"start": 1e-3, "end": 1.0, "steps": 12, "seeds": 1}


def held_out(**options: Any) -> DataLoader:
    # The last batch is short.
    return DataLoader(Subset(tensors(), range(100, 141)), batch_size=16, **options)


def test_the_curve_is_the_loss_of_all_held_out_samples_before_each_step() -> None:
    data = list(DataLoader(Subset(tensors(), range(96)), batch_size=16))
    found = find_lr(plain(), data, "sgd", validation=held_out(), **RAMP)
    model = plain()
    images, labels = (torch.cat(column) for column in zip(*held_out(), strict=True))
    losses, accuracies = [], []
    for lr, batch in zip(np.geomspace(1e-3, 1.0, 12), islice(cycle(data), 12), strict=True):
        with torch.no_grad():
            outputs = model(images)
            losses.append(float(F.cross_entropy(outputs, labels)))
            accuracies.append(float((outputs.argmax(1) == labels).float().mean()))
        optimizer = torch.optim.SGD(model.parameters(), lr=float(lr))
        optimizer.zero_grad()
        F.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()
    assert found.curve.loss == pytest.approx(losses, rel=1e-5)
    assert found.curve.accuracy == pytest.approx(accuracies, rel=1e-5)
    assert found.setting.loss == "cross_entropy of validation"


@pytest.mark.parametrize("mode", ["ramp", "grid"])
def test_training_is_the_same_to_the_bit_and_modes_are_kept(mode: str) -> None:
    """Dropout, batch norm in both modes and shuffled batches: nothing of theirs moves."""
    courses = []
    for validation in (None, held_out(shuffle=True)):
        model = network()
        model[1].eval()
        course = []

        def loss(model: nn.Module, batch: Any, course: list[float] = course) -> torch.Tensor:
            value = F.cross_entropy(model(batch[0]), batch[1])
            if model.training:
                assert not model[1].training
                course.append(float(value.detach()))
            return value

        options = {**RAMP, "mode": mode, "candidates": 2, "end": 0.01}
        find_lr(model, loader(), "adam", loss_fn=loss, validation=validation, **options)
        courses.append(course)
    assert len(courses[0]) >= RAMP["steps"]
    assert courses[0] == courses[1]


def test_held_out_batches_judge_with_every_option_of_a_step() -> None:
    options = {"accumulate": 2, "clip_norm": 0.1, "scaler": torch.amp.GradScaler("cpu")}
    found = find_lr(plain(), loader(), "adam", validation=held_out(), **options, **RAMP)
    assert len(found.curve.loss) == RAMP["steps"]
    assert found.curve.loss[-1] < found.curve.loss[0]
