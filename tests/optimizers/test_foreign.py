"""Optimizers of torch and of users: names and options refused early, built as they are, trained and counted with."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from samples import tiny_data

from losslab.errors import InvalidInput
from losslab.optimizers import choose
from losslab.optimizers.groups import build_optimizer
from losslab.ranges.find_lr import find_lr
from losslab.records import Final
from losslab.spec import make_run
from losslab.training.loop import train

DATA = tiny_data()
FIELDS: dict[str, Any] = {
    "data": "fashion-mnist-sample",
    "model": "samples:conv_net",
    "lr": 0.01,
    "batch": 32,
}


def built(text: str) -> torch.optim.Optimizer:
    return choose(text).build(
        [{"params": [torch.nn.Parameter(torch.ones(2))], "weight_decay": 0.0}], 0.1
    )


def final_hash(**changes: Any) -> str:
    spec = make_run({**FIELDS, "steps": 5, "weight_decay": 0.1, **changes})
    final = [record for record in train(spec, dataset=DATA) if isinstance(record, Final)]
    return final[0].weights_sha256


def test_torchs_optimizer_has_the_options_that_are_given_and_torchs_defaults() -> None:
    optimizer = built("torch.optim/RAdam(betas=[0.9, 0.99])")
    assert type(optimizer) is torch.optim.RAdam
    assert list(optimizer.defaults["betas"]) == [0.9, 0.99]
    assert optimizer.defaults["eps"] == 1e-8


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        ("adam", "torch.optim/Adam(fused=True)"),
        ("rmsprop(momentum=0.5)", "torch.optim/RMSprop(momentum=0.5)"),
        ("nadam", "torch.optim/NAdam"),
        ("adadelta", "torch.optim/Adadelta"),
    ],
)
def test_a_run_with_torchs_optimizer_has_the_bits_of_ours(ours: str, torchs: str) -> None:
    assert final_hash(optimizer=ours) == final_hash(optimizer=torchs)


def test_a_users_optimizer_in_fifteen_lines_trains() -> None:
    assert final_hash(optimizer="optimizer_samples:Lion(betas=(0.95, 0.98))") != final_hash(
        optimizer="adam"
    )


def test_a_range_test_of_a_users_module_takes_it() -> None:
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Linear(4, 3)
    data = [
        (torch.randn(8, 4, generator=generator), torch.randint(3, (8,), generator=generator))
        for _ in range(5)
    ]
    before = model.weight.detach().clone()
    found = find_lr(model, data, "torch.optim/RAdam(betas=[0.9, 0.99])", steps=20, seeds=1)
    assert len(found.curve.lr) == 20
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("torch.optim/", "unknown optimizer 'torch.optim/'"),
        ("torch.optim/a.b", "unknown optimizer"),
        ("a.b:c(lr=0.1)", "`lr` is no option here: the run's `lr` is what counts"),
        (
            "torch.optim/Adam(weight_decay=0.1)",
            "`weight_decay` is no option here: the run's `weight_decay`",
        ),
        ("torch.optim/Adam(betas={1, 2})", "valid JSON"),
    ],
)
def test_what_the_text_alone_shows_is_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace("(", r"\(")):
        choose(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("torch.optim/RAdm", "torch.optim has no 'RAdm'"),
        ("no_such_module:Lion", "cannot import no_such_module"),
        (
            "torch.optim/RAdam(bets=[0.9, 0.99])",
            "unknown option .* 'bets'; did you mean 'betas'",
        ),
        ("torch.optim/RAdam(betas=3)", "TypeError: 'int' object is not subscriptable"),
        ("torch.optim/RAdam(betas=[0.9, 2.0])", "Invalid beta parameter at index 1: 2.0"),
        ("torch.optim/LBFGS", "evaluates the loss within a step"),
        ("torch.optim/Muon", "only supports 2D"),
        ("optimizer_samples:no_optimizer", "gave object, not a torch.optim.Optimizer"),
        ("optimizer_samples:Lion(beta=0.9)", "unknown option .* 'beta'; did you mean 'betas'"),
    ],
)
def test_what_only_its_code_shows_is_one_line_when_it_is_built(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        built(text)
    assert "\n" not in str(caught.value)


def test_l2_that_the_optimizer_would_not_read_is_refused() -> None:
    model = torch.nn.Linear(2, 2)
    with pytest.raises(
        InvalidInput, match=r"`weight_decay` \(=0.1\): torch.optim/Rprop has none; leave it out"
    ):
        build_optimizer(choose("torch.optim/Rprop"), model, weight_decay=0.1)
    assert build_optimizer(choose("torch.optim/Rprop"), model).param_groups


def test_a_default_of_its_own_gives_way_to_the_runs_weight_decay() -> None:
    optimizer = build_optimizer(
        choose("torch.optim/AdamW"), torch.nn.Linear(2, 2), weight_decay=0.3
    )
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]


def test_a_spec_with_such_an_optimizer_is_checked_without_torch() -> None:
    code = (
        "import sys; from losslab.spec import make_run; "
        f"make_run({FIELDS} | {{'optimizer': 'torch.optim/RAdam(betas=[0.9, 0.99])', 'steps': 2}}); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
