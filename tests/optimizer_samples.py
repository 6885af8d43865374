"""Optimizers and parameter groups of users, which tests name by import path, in this process and in workers."""

import shutil
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import nn

Groups = list[dict[str, Any]]
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch.compile needs a C++ compiler"
)

SHAPES = [(900, 701), (33,), (64, 32, 3, 3), (513, 700), (7, 5), (1,), (), (2, 2**18 + 3)]
"""Of parameters: large and small, one in channels-last layout, one larger than a block in each row."""


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, arXiv:2302.06675, Algorithm 2, as a user writes it."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay=0.0,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                direction = average.lerp(p.grad, 1 - group["betas"][0]).sign_()
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(
                    direction, alpha=group["lr"]
                )
                average.lerp_(p.grad, 1 - group["betas"][1])


class ScheduleFree(torch.optim.Optimizer):
    """Defazio et al. 2024, arXiv:2405.15682, equations 1 to 3 for SGD; counts in its groups and refuses the wrong mode.

    Parameters hold y in training and x in evaluation; state holds z and, unlike the authors' code, x.
    """

    def __init__(self, params: Iterable[Any], lr: float, beta: float = 0.9) -> None:
        super().__init__(
            params, {"lr": lr, "beta": beta, "steps": 0, "training": False, "weight_decay": 0.0}
        )

    def _switch(self, training: bool) -> None:
        for group in self.param_groups:
            for p in (
                p for p in group["params"] if group["training"] != training and p in self.state
            ):
                state = self.state[p]
                p.data.copy_(
                    state["x"].lerp(state["z"], 1 - group["beta"]) if training else state["x"]
                )
            group["training"] = training

    def train(self) -> None:
        self._switch(True)

    def eval(self) -> None:
        self._switch(False)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            if not group["training"]:
                raise RuntimeError("not in train mode")
            group["steps"] += 1
            for p in (p for p in group["params"] if p.grad is not None):
                state = self.state[p]
                if not state:
                    state["x"], state["z"] = p.detach().clone(), p.detach().clone()
                state["z"].sub_(p.grad, alpha=group["lr"])
                state["x"].lerp_(state["z"], 1 / group["steps"])
                p.copy_(state["x"].lerp(state["z"], 1 - group["beta"]))


class Exact(torch.optim.Optimizer):
    """Keeps state of other types than the weights': a float64 sum, an integer, a mask, a number, a text."""

    def __init__(self, params: Iterable[Any], lr: float) -> None:
        super().__init__(params, {"lr": lr, "total": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            group["total"] += group["lr"] / 3
            for p in (p for p in group["params"] if p.grad is not None):
                state = self.state[p]
                if not state:
                    state |= {
                        "sum": torch.zeros_like(p, dtype=torch.float64),
                        "count": torch.tensor(2**40 + 1),
                    }
                    state |= {
                        "half": 0.0,
                        "phase": "odd",
                        "mask": torch.zeros_like(p, dtype=torch.bool),
                    }
                state["sum"] += p.grad.double() / 3
                state["count"] += 1
                state["half"] += float(p.grad.double().sum()) / 7
                state["phase"] = "even" if state["phase"] == "odd" else "odd"
                state["mask"] ^= p.grad > 0
                factor = 1.0 if state["phase"] == "odd" else 0.5
                p.sub_(
                    (state["sum"] * factor * group["lr"] * (1 + int(state["count"]) % 2)).to(
                        p.dtype
                    )
                )
                p.sub_(
                    state["mask"].to(p.dtype),
                    alpha=1e-4 * (1 + state["half"] * 1e-3 + group["total"]),
                )


class Nested(torch.optim.SGD):
    """Keeps a list for each parameter, as LBFGS and Shampoo do."""

    def step(self, closure: Any = None) -> Any:
        result = super().step(closure)
        for p in self.param_groups[0]["params"]:
            self.state[p]["history"] = [p.detach().clone()]
        return result


class TensorInGroup(torch.optim.SGD):
    """Counts in a tensor of its group."""

    def step(self, closure: Any = None) -> Any:
        self.param_groups[0]["count"] = torch.ones(())
        return super().step(closure)


def no_optimizer(params: Iterable[Any], lr: float) -> object:
    return object()


def layerwise(model: nn.Module) -> list[dict[str, Any]]:
    """Half the rate for each layer further from the output; the last one does not decay."""
    layers = [list(module.parameters(recurse=False)) for module in model.modules()]
    layers = [parameters for parameters in layers if parameters]
    groups = [
        {"params": layer, "lr_scale": 0.5**depth}
        for depth, layer in enumerate(reversed(layers))
    ]
    groups[0]["weight_decay"] = 0.0
    return groups


def with_betas(model: nn.Module) -> list[dict[str, Any]]:
    return [{"params": model.parameters(), "betas": (0.5, 0.9)}]


def with_unknown_option(model: nn.Module) -> list[dict[str, Any]]:
    return [{"params": model.parameters(), "beta": (0.5, 0.9)}]


def own_rates(model: nn.Module) -> list[dict[str, Any]]:
    """One cycle for the first weights, a rate that stays for the second, the run's for all others."""
    first, second, *others = model.parameters()
    return [
        {"params": first, "lr": "one_cycle(0.05)", "weight_decay": 0.0},
        {"params": second, "lr": 0.02},
        {"params": others, "lr_scale": 0.5},
    ]


def with_wrong_lr(model: nn.Module) -> list[dict[str, Any]]:
    return [{"params": model.parameters(), "lr": "cosin(0.1)"}]


def with_lr_and_scale(model: nn.Module) -> list[dict[str, Any]]:
    return [{"params": model.parameters(), "lr": 0.1, "lr_scale": 0.5}]


def with_negative_scale(model: nn.Module) -> list[dict[str, Any]]:
    return [{"params": model.parameters(), "lr_scale": -1.0}]


def one_forgotten(model: nn.Module) -> list[dict[str, Any]]:
    return [{"params": list(model.parameters())[1:]}]


def one_twice(model: nn.Module) -> list[dict[str, Any]]:
    return [{"params": model.parameters()}, {"params": next(model.parameters())}]


def a_stranger(model: nn.Module) -> list[dict[str, Any]]:
    return [{"params": [*model.parameters(), nn.Parameter(torch.ones(2))]}]


def no_groups(model: nn.Module) -> int:
    return 3


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(shape, generator=generator) for shape in SHAPES]
    drawn[2] = drawn[2].to(memory_format=torch.channels_last)
    return [torch.nn.Parameter(tensor) for tensor in drawn]


def in_groups(weights: list[torch.nn.Parameter]) -> Groups:
    return [{"params": weights[:4], "weight_decay": 0.1}, {"params": weights[4:], "lr": 0.003}]


def give_gradients(weights: list[torch.nn.Parameter], step: int) -> None:
    for index, weight in enumerate(weights):
        weight.grad = (weight.detach() + index).sin() * 10.0 ** (index - step)
    if step == 2:
        weights[1].grad = None  # one parameter has then stepped less often than the others
