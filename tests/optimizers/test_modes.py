"""Optimizers that evaluate other weights than they train: switched around evaluation, and back without a change."""

import copy
from typing import Any

import pytest
import torch
from optimizer_samples import ScheduleFree
from samples import tiny_data

from losslab.optimizers import at_iterate, choose
from losslab.optimizers.modes import has_modes
from losslab.ranges.find_lr import find_lr
from losslab.records import Evaluation, Final
from losslab.spec import make_run
from losslab.training.loop import train

DATA = tiny_data()
NAME = "optimizer_samples:ScheduleFree"


def stepped(steps: int = 3) -> tuple[torch.optim.Optimizer, torch.nn.Parameter]:
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = choose(NAME).build([{"params": [p]}], 0.1)
    for _ in range(steps):
        p.grad = p.detach().sin()
        optimizer.step()
    return optimizer, p


def records(**changes: Any) -> list[Any]:
    fields = {
        "data": "fashion-mnist-sample",
        "model": "samples:conv_net",
        "optimizer": NAME,
        "lr": 0.1,
        "batch": 32,
    }
    return list(train(make_run({**fields, "epochs": 2, **changes}), dataset=DATA))


def test_it_is_built_in_training_mode() -> None:
    optimizer, _ = stepped(0)
    assert has_modes(optimizer)
    assert optimizer.param_groups[0]["training"]


def test_inside_the_parameters_hold_the_average_and_after_the_bits_of_before() -> None:
    optimizer, p = stepped()
    before = p.detach().clone()
    with at_iterate(optimizer):
        assert torch.equal(p, optimizer.state[p]["x"])
        assert not torch.equal(p, before)
    assert torch.equal(p, before)
    p.grad = torch.ones(2)
    optimizer.step()  # would raise in evaluation mode


def test_weights_come_back_after_an_error() -> None:
    optimizer, p = stepped()
    before = p.detach().clone()

    def evaluate() -> None:
        with at_iterate(optimizer):
            raise RuntimeError("evaluation failed")

    with pytest.raises(RuntimeError, match="evaluation failed"):
        evaluate()
    assert torch.equal(p, before)
    assert optimizer.param_groups[0]["training"]


def test_evaluating_more_often_changes_nothing_of_the_training() -> None:
    often, once = records(), records(evaluate="end")
    assert len([r for r in often if isinstance(r, Evaluation)]) == 2
    assert len([r for r in once if isinstance(r, Evaluation)]) == 1
    finals = [
        next(r for r in run if isinstance(r, Final)).weights_sha256 for run in (often, once)
    ]
    assert finals[0] == finals[1]


def test_a_range_test_leaves_a_users_schedule_free_optimizer_as_it_was() -> None:
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Linear(4, 3)
    data = [
        (torch.randn(8, 4, generator=generator), torch.randint(3, (8,), generator=generator))
        for _ in range(5)
    ]
    optimizer = ScheduleFree(model.parameters(), lr=0.1)
    before = copy.deepcopy((optimizer.state_dict(), model.state_dict()))
    find_lr(model, data, optimizer, steps=10, seeds=1)
    after = optimizer.state_dict(), model.state_dict()
    assert before[0] == after[0]
    assert all(torch.equal(before[1][key], after[1][key]) for key in before[1])
