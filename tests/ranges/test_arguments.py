"""Wrong calls of the finders: one line each that says what to write instead, and nothing is changed."""

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from own_network import loader, plain, tensors
from torch import nn
from torch.nn import functional as F

import losslab
from losslab.ranges.arguments import bound, name_of


class Sharp(torch.optim.SGD):
    """Needs two gradients a step, as sharpness-aware minimisation does."""

    def step(self, closure: Callable[[], float]) -> None:  # type: ignore[override]
        closure()


class Keras:
    def apply_gradients(self, pairs: Any) -> None: ...


def relative(model: nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    optimizer.param_groups[0]["lr"] = None  # as Adafactor's relative steps
    return optimizer


def two_groups(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    groups = [
        {"params": list(model[1].parameters()), "lr": lr},
        {"params": list(model[3].parameters())},
    ]
    return torch.optim.SGD(groups, lr=0.1)


def only_frozen(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD([model[1].bias.requires_grad_(False)], lr=0.1)


WRONG: dict[str, tuple[Callable[[nn.Module], dict[str, Any]], str]] = {
    "optimizer class": (
        lambda m: {"optimizer": torch.optim.Adam},
        r"give `Adam\(model.parameters\(\)\)`",
    ),
    "partial": (
        lambda m: {"optimizer": functools.partial(torch.optim.SGD, lr=1)},
        "is a function",
    ),
    "function": (lambda m: {"optimizer": lambda p: torch.optim.SGD(p)}, "is a function"),
    "two optimizers": (
        lambda m: {"optimizer": [torch.optim.Adam(m.parameters())] * 2},
        "is a list of 2",
    ),
    "typo": (lambda m: {"optimizer": "adamax"}, "did you mean 'adam'"),
    "unknown option": (lambda m: {"optimizer": "adam(beta=0.9)"}, "beta"),
    "bad option": (lambda m: {"optimizer": "sgd(momentum=2)"}, "momentum"),
    "no choice": (lambda m: {"optimizer": "adam("}, "optimizer"),
    "Keras optimizer": (lambda m: {"optimizer": Keras()}, "is Keras's Keras"),
    "scheduler": (lambda m: {"optimizer": SimpleNamespace()}, "is a SimpleNamespace"),
    "None": (lambda m: {"optimizer": None}, "is a NoneType"),
    "LBFGS": (lambda m: {"optimizer": torch.optim.LBFGS(m.parameters())}, "needs a closure"),
    "closure": (lambda m: {"optimizer": Sharp(m.parameters(), lr=0.1)}, "needs a closure"),
    "another model's": (
        lambda m: {"optimizer": torch.optim.SGD(plain().parameters())},
        "no parameter of `model`",
    ),
    "frozen ones": (
        lambda m: {"optimizer": only_frozen(m)},
        "all parameters of `optimizer` are frozen",
    ),
    "own rates": (lambda m: {"optimizer": relative(m)}, "sets its own learning rates"),
    "rate 0 first": (lambda m: {"optimizer": two_groups(m, 0.0)}, "must be positive"),
    "no parameters": (lambda m: {"model": nn.Identity()}, "has no parameters"),
    "all frozen": (
        lambda m: {"model": plain().requires_grad_(False)},
        "are frozen; set requires_grad=True",
    ),
    "model class": (
        lambda m: {"model": nn.Linear},
        "is the class Linear; give a torch.nn.Module",
    ),
    "no module": (lambda m: {"model": F.relu}, "is a function"),
    "dataset": (
        lambda m: {"data": tensors()},
        r"gives single samples; give batches: DataLoader\(dataset",
    ),
    "tensor": (lambda m: {"data": tensors().tensors[0]}, "is a Tensor, not batches"),
    "array": (lambda m: {"data": np.zeros((9, 4))}, "is a ndarray, not batches"),
    "text": (lambda m: {"data": "cifar10"}, "is a str, not batches"),
    "mapping": (lambda m: {"data": {"x": 1}}, "is a dict, not batches"),
    "nothing": (lambda m: {"data": None}, "is a NoneType, not batches"),
    "loader class": (lambda m: {"data": torch.utils.data.DataLoader}, "not batches"),
    "iterator": (lambda m: {"data": iter(loader())}, "is an iterator"),
    "generator": (lambda m: {"data": (batch for batch in loader())}, "is an iterator"),
    "empty": (lambda m: {"data": []}, "has no batch"),
    "count": (lambda m: {"count": 16}, r"`count` \(=16\) must be a function"),
    "steps a float": (lambda m: {"steps": 9.5}, "must be a whole number"),
    "steps a text": (lambda m: {"steps": "300"}, "must be a whole number"),
    "steps a bool": (lambda m: {"steps": True}, "must be a whole number"),
    "one step": (lambda m: {"steps": 1}, r"`steps` \(=1\) must be at least 2"),
    "no seed": (lambda m: {"seeds": 0}, r"`seeds` \(=0\) must be at least 1"),
}
OF_LR: dict[str, tuple[Callable[[nn.Module], dict[str, Any]], str]] = {
    "swapped": (lambda m: {"start": 1.0, "end": 0.1}, "swap them"),
    "start a text": (lambda m: {"start": "1e-5"}, "must be a number"),
    "start nan": (lambda m: {"start": float("nan")}, "must be positive and finite"),
    "end infinite": (lambda m: {"end": float("inf")}, "must be positive and finite"),
    "negative start": (lambda m: {"start": -1e-3}, "must be positive"),
    "mode": (lambda m: {"mode": "both"}, "unknown mode"),
    "rule": (lambda m: {"rule": "vally"}, "did you mean 'valley'"),
    "no candidates": (lambda m: {"candidates": 1}, "at least 2"),
    "accumulate": (lambda m: {"accumulate": 0}, "at least 1"),
    "accumulate too many": (lambda m: {"accumulate": 99}, "a step takes 99 batches"),
    "clip norm": (lambda m: {"clip_norm": -1.0}, "must be positive"),
    "scaler": (lambda m: {"scaler": 1024.0}, "give a torch.amp.GradScaler"),
    "validation an iterator": (
        lambda m: {"validation": iter(loader())},
        "`validation` is an iterator",
    ),
    "validation a batch": (lambda m: {"validation": torch.ones(3)}, "`validation` is a Tensor"),
    "validation empty": (lambda m: {"validation": []}, "`validation` has no batch"),
}
OF_BATCH: dict[str, tuple[Callable[[nn.Module], dict[str, Any]], str]] = {
    "sizes a text": (lambda m: {"sizes": "16,32"}, "must be batch sizes in a list"),
    "one size": (lambda m: {"sizes": 16}, "must be batch sizes in a list"),
    "a single size": (lambda m: {"sizes": [16]}, "two or more increasing"),
    "falling sizes": (lambda m: {"sizes": [32, 16]}, "two or more increasing"),
    "sizes of floats": (lambda m: {"sizes": [16.0, 32.0]}, "must be a whole number"),
    "no multiples": (
        lambda m: {"sizes": [16, 40]},
        "must be multiples of the data's batches of 16",
    ),
    "too large": (lambda m: {"sizes": [16, 4096]}, "exceed the data"),
    "no rate": (
        lambda m: {"optimizer": "adam", "lr": None},
        "is a name, which has no rate: give `lr`",
    ),
    "rate 0": (
        lambda m: {"optimizer": torch.optim.SGD(m.parameters(), lr=0.0), "lr": None},
        "must be positive",
    ),
    "negative rate": (lambda m: {"lr": -0.1}, "must be positive"),
    "rate a text": (lambda m: {"lr": "0.1"}, "must be a number"),
}


@pytest.mark.row(24)
@pytest.mark.parametrize("wrong", [*WRONG, *OF_LR])
def test_a_wrong_call_of_find_lr_is_one_line(wrong: str) -> None:
    refused(losslab.find_lr, {"steps": 5, "seeds": 1}, *({**WRONG, **OF_LR})[wrong])


@pytest.mark.row(24)
@pytest.mark.parametrize("wrong", [*WRONG, *OF_BATCH])
def test_a_wrong_call_of_find_batch_is_one_line(wrong: str) -> None:
    fields = {"steps": 5, "seeds": 1, "sizes": [16, 32], "lr": 0.1}
    refused(losslab.find_batch, fields, *({**WRONG, **OF_BATCH})[wrong])


def refused(
    find: Callable[..., Any], fields: dict[str, Any], wrong: Callable[..., Any], message: str
) -> None:
    model = plain()
    before = [p.detach().clone() for p in model.parameters()]
    call = {"model": model, "data": loader(), "optimizer": "sgd", **fields, **wrong(model)}
    generator = torch.get_rng_state()
    with pytest.raises((TypeError, ValueError), match=message) as error:
        find(**call)
    assert "\n" not in str(error.value)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(
        torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True)
    )


def test_a_method_by_name_trains_the_weights_that_are_not_frozen() -> None:
    model = plain()
    model[1].requires_grad_(False)
    (group,) = bound("adam", model).param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in model[3].parameters()}
    assert (name_of("adam"), name_of(torch.optim.SGD(model.parameters()))) == ("adam", "SGD")


def test_an_answer_states_what_was_done() -> None:
    model = plain()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for mode, lrs in (("ramp", [1e-5, 1.0]), ("grid", pytest.approx([1e-5, 10**-2.5, 1.0]))):
        found = losslab.find_lr(
            model,
            loader(),
            optimizer,
            start=1e-5,
            end=1.0,
            steps=9,
            seeds=2,
            candidates=3,
            mode=mode,
        )
        stated = found.to_dict()["setting"]
        assert stated.pop("lrs") == lrs
        expected = {
            "optimizer": "Adam",
            "loss": "cross_entropy",
            "steps": 9,
            "seeds": 2,
            "batch_sizes": [16],
        }
        assert stated == expected
        page = found._repr_mimebundle_()["text/html"]
        assert "tested with Adam, cross_entropy, batches of 16, 9 steps, 2 seeds" in page
    of_batch = losslab.find_batch(model, loader(), optimizer, sizes=[16, 32], steps=9, seeds=2)
    assert of_batch.to_dict()["setting"] == {**expected, "batch_sizes": [16, 32], "lrs": [0.02]}
