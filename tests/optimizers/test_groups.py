"""Parameter groups: the usual two, those of a user's function, and what is refused."""

from typing import Any

import pytest
import torch
from samples import tiny_data
from torch import nn

from losslab.errors import InvalidInput
from losslab.models.mlp import mlp
from losslab.optimizers import choose
from losslab.optimizers.groups import build_optimizer, default_groups
from losslab.records import Final
from losslab.spec import make_run
from losslab.training.loop import train

DATA = tiny_data()


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


def optimizer_of(path: str, method: str = "adam") -> torch.optim.Optimizer:
    return build_optimizer(
        choose(method),
        network(),
        weight_decay=0.1,
        parameter_groups=f"optimizer_samples:{path}",
    )


def final_hash(**changes: Any) -> str:
    fields = {
        "data": "fashion-mnist-sample",
        "model": "samples:conv_net",
        "optimizer": "sgd",
        "lr": 0.05,
        "batch": 32,
    }
    spec = make_run({**fields, "steps": 4, "weight_decay": 0.01, **changes})
    final = [record for record in train(spec, dataset=DATA) if isinstance(record, Final)]
    return final[0].weights_sha256


def test_biases_do_not_decay() -> None:
    groups = default_groups(mlp(hidden=(4,)), 0.1)
    assert [(group["weight_decay"], [p.ndim for p in group["params"]]) for group in groups] == [
        (0.1, [2, 2]),
        (0.0, [1, 1]),
    ]


@pytest.mark.parametrize("method", ["adam", "rmsprop", "rmsprop-nesterov", "torch.optim/RAdam"])
def test_each_layer_decays_as_its_group_says(method: str) -> None:
    optimizer = optimizer_of("layerwise", method)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 0.1]


def test_a_group_may_name_options_of_the_optimizer() -> None:
    assert optimizer_of("with_betas").param_groups[0]["betas"] == (0.5, 0.9)


def test_a_run_trains_in_its_groups() -> None:
    assert final_hash(parameter_groups="optimizer_samples:layerwise") != final_hash()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "with_unknown_option",
            "unknown option of a group of adam 'beta'; did you mean 'betas'",
        ),
        ("with_wrong_lr", "group 0: `lr`: unknown lr policy 'cosin'; did you mean 'cosine'"),
        ("with_lr_and_scale", "give `lr`, its own, or `lr_scale`"),
        ("with_negative_scale", r"`lr_scale` \(=-1.0\) must be a number of at least 0"),
        ("one_forgotten", "'0.weight' in no group"),
        ("one_twice", "'0.weight' is in the groups twice"),
        ("a_stranger", r"a tensor of shape \(2,\), which is no parameter of the model"),
        ("no_groups", "must give a list of groups like torch's, each with `params`: TypeError"),
        ("nothing", "optimizer_samples has no 'nothing'"),
    ],
)
def test_groups_that_do_not_fit_are_one_line(path: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        optimizer_of(path)
    assert "\n" not in str(caught.value)


def test_a_field_of_another_form_is_refused_with_the_spec() -> None:
    with pytest.raises(
        InvalidInput, match=r"`parameter_groups` \(='layerwise'\): must be of the form"
    ):
        final_hash(parameter_groups="layerwise")
