"""PatchNet: first filters read from the training images, and groups of parameters."""

from dataclasses import replace
from itertools import chain

import pytest
import torch
from torch import nn

from losslab import data
from losslab.data import Dataset
from losslab.models.patchnet import BIAS_LR_SCALE, EPS, PatchNet, parameter_groups
from losslab.spec import make_run
from losslab.training.loop import train
from losslab.training.state import new_state

TINY = data.load("samples:tiny_data")


def state_of(dataset: Dataset) -> PatchNet:
    spec = {"data": "samples:tiny_data", "model": "patchnet", "optimizer": "sgd", "lr": 0.1}
    model = new_state(make_run({**spec, "batch": 8, "steps": 1}), dataset).model
    assert isinstance(model, PatchNet)
    return model


def test_the_first_filters_whiten_the_patches_of_the_training_images() -> None:
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(48, 2, 9, 9, generator=generator)
    images = torch.stack([mixed[:, 0], 0.9 * mixed[:, 0] + mixed[:, 1], mixed[:, 1]], 1)
    model = PatchNet(input_shape=(3, 9, 9), classes=4, widths=(8,))
    model.initialize_from(images)
    weights = model.patches.weight
    half = len(weights) // 2
    assert torch.equal(weights[half:], -weights[:half])
    windows = [
        images[:, :, row : row + 2, column : column + 2].reshape(len(images), -1)
        for row in range(8)
        for column in range(8)
    ]
    found = torch.cat(windows).double() @ weights[:half].reshape(half, -1).double().T
    covariance = torch.cov(found.T, correction=0)
    # Each direction has variance v / (v + EPS), which is next to 1 where there is any.
    variances = torch.linalg.eigvalsh(torch.cov(torch.cat(windows).double().T, correction=0))
    expected = torch.diag(variances / (variances + EPS))
    torch.testing.assert_close(covariance, expected, rtol=1e-4, atol=1e-4)


def test_the_first_filters_depend_on_training_images_alone() -> None:
    assert isinstance(TINY, Dataset)
    weights = state_of(TINY).patches.weight
    other_tests = replace(TINY, test_images=255 - TINY.test_images)
    assert torch.equal(state_of(other_tests).patches.weight, weights)
    darker = replace(TINY, train_images=TINY.train_images // 2)
    assert not torch.equal(state_of(darker).patches.weight, weights)


def test_biases_learn_faster_and_the_first_filters_not_at_all() -> None:
    assert isinstance(TINY, Dataset)
    model = state_of(TINY)
    groups = parameter_groups(model)
    inside = [id(parameter) for parameter in chain.from_iterable(g["params"] for g in groups)]
    trained = [id(parameter) for parameter in model.parameters() if parameter.requires_grad]
    assert sorted(inside) == sorted(trained)
    assert groups[1]["lr_scale"] == BIAS_LR_SCALE
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {id(norm.bias) for norm in norms} == {id(bias) for bias in groups[1]["params"]}
    moved = {name: _moved(name) for name in ("", "losslab.models.patchnet:parameter_groups")}
    (plain, _), (scaled, kept) = moved.values()
    assert kept
    for name, distance in plain.items():
        factor = BIAS_LR_SCALE if name in _norm_biases(model) else 1
        torch.testing.assert_close(scaled[name], factor * distance, rtol=1e-3, atol=1e-7)


def _norm_biases(model: nn.Module) -> set[str]:
    return {
        f"{name}.bias"
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    }


def _moved(groups: str) -> tuple[dict[str, torch.Tensor], bool]:
    """How far a step of SGD without decay moves each parameter, and whether the first filters stay."""
    subset = {"name": "fashion-mnist-sample", "train_images": 16}
    spec = {"data": subset, "model": "patchnet", "optimizer": "sgd", "lr": 1e-3, "test": False}
    groups_of = {"parameter_groups": groups or None}
    run = make_run({**spec, "batch": 8, "steps": 1, **groups_of})
    dataset = data.load("fashion-mnist-sample")
    state = new_state(run, dataset)
    before = {name: value.detach().clone() for name, value in state.model.named_parameters()}
    list(train(run, dataset=dataset, state=state))
    after = dict(state.model.named_parameters())
    distances = {name: after[name].detach() - value for name, value in before.items()}
    assert any(distance.abs().max() > 0 for distance in distances.values())
    return distances, bool((distances["patches.weight"] == 0).all())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_it_takes_images_of_any_size(shape: tuple[int, int, int]) -> None:
    assert PatchNet(input_shape=shape, classes=7)(torch.zeros(2, *shape)).shape == (2, 7)
