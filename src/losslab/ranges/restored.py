"""Put back, bit for bit, all that a trial training changes; snapshots are in memory."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

Undo = Callable[[], None]


@contextmanager
def restored(model: nn.Module, optimizer: torch.optim.Optimizer, data: Iterable[object]) -> Iterator[None]:
    """Within, these may be trained with; afterwards they are as they were, so that training goes on as without it.

    Restored are parameters, buffers and gradients, the mode of every module, state and options of the optimizer, the
    random state of torch, numpy and Python, the generators of a DataLoader and its samplers, and what the data and its
    samplers say of their position by ``state_dict``.
    """
    undo = [_keep_weights(model, optimizer), _keep_modes(model), _keep_optimizer(optimizer), _keep_random_state()]
    undo += [_keep_generator(source) for source in generators(data)]
    undo += [_keep_position(source) for source in _with_position(data)]
    try:
        yield
    finally:
        for put_back in undo:
            put_back()


def _with_position(data: object) -> list[object]:
    """The data and its samplers, those of them that say where they are and can be put back there."""
    sources = [data, getattr(data, "sampler", None), getattr(data, "batch_sampler", None)]
    return [source for source in sources if hasattr(source, "state_dict") and hasattr(source, "load_state_dict")]


def generators(data: object) -> list[torch.Generator]:
    """The generators that a data loader draws its order from."""
    sampler, batch_sampler = getattr(data, "sampler", None), getattr(data, "batch_sampler", None)
    holders = (data, sampler, batch_sampler, getattr(batch_sampler, "sampler", None))
    found = {id(g): g for g in (getattr(holder, "generator", None) for holder in holders)}
    return [generator for generator in found.values() if isinstance(generator, torch.Generator)]


def _keep_weights(model: nn.Module, optimizer: torch.optim.Optimizer) -> Undo:
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    weights = list({id(p): p for p in (*model.parameters(), *weights)}.values())
    values = [p.detach().clone() for p in weights]
    gradients = [p.grad for p in weights]
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    for p in weights:
        p.grad = None  # a trial writes into gradients of its own

    @torch.no_grad()
    def put_back() -> None:
        for p, value, gradient in zip(weights, values, gradients, strict=True):
            p.copy_(value)
            p.grad = gradient
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])

    return put_back


def _keep_modes(model: nn.Module) -> Undo:
    modes = [(module, module.training) for module in model.modules()]

    def put_back() -> None:
        for module, training in modes:
            module.training = training

    return put_back


def _keep_optimizer(optimizer: torch.optim.Optimizer) -> Undo:
    state = {p: deepcopy(of_parameter) for p, of_parameter in optimizer.state.items()}
    options = [_options(group) for group in optimizer.param_groups]

    def put_back() -> None:
        optimizer.state.clear()
        optimizer.state.update(state)
        for group, kept in zip(optimizer.param_groups, options, strict=True):
            for key in group.keys() - kept.keys() - {"params"}:
                del group[key]
            group.update(kept)

    return put_back


def _options(group: dict[str, Any]) -> dict[str, Any]:
    """A copy of all that a group holds but its parameters: some optimizers count their steps there."""
    return {key: deepcopy(value) for key, value in group.items() if key != "params"}


def _keep_random_state() -> Undo:
    kept = torch.get_rng_state(), np.random.get_state(), random.getstate()
    on_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def put_back() -> None:
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])
        random.setstate(kept[2])
        if on_cuda:
            torch.cuda.set_rng_state_all(on_cuda)

    return put_back


def _keep_generator(generator: torch.Generator) -> Undo:
    state = generator.get_state()

    def put_back() -> None:
        generator.set_state(state)

    return put_back


def _keep_position(data: object) -> Undo:
    state = deepcopy(data.state_dict())  # type: ignore[attr-defined]

    def put_back() -> None:
        data.load_state_dict(state)  # type: ignore[attr-defined]

    return put_back
