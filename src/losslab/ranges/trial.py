"""A short training of anyone's network for measuring alone: a rate for each step, and batches made of batches."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from losslab.optimizers.modes import switch
from losslab.ranges.curves import steps_before_divergence
from losslab.ranges.trace import GradientSquares, Trace

LossFn = Callable[[nn.Module, Any], "torch.Tensor | tuple[torch.Tensor, torch.Tensor]"]
"""(model, batch) -> loss, or (loss, accuracy)."""

FLUSH_STEPS = 10
STOP_BETA = 0.9
"""Of the average by which a running test is stopped."""
NOISE_BATCHES = 16
"""Batches of a measurement of the gradient's noise."""


@dataclass
class Measured:
    """What a trial has measured so far; values stay on the device until they are flushed."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    train_seconds: float = 0.0

    def trace(self, lrs: Sequence[float], seed: int, *facts: Any) -> Trace:
        """The trace of these steps, at the learning rates that were planned for them."""
        steps = len(self.loss)
        return Trace(lrs[:steps], self.loss, self.accuracy, self.samples, self.train_seconds, seed, *facts)


def cross_entropy(model: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and accuracy of a classifier on a pair of inputs and labels.

    Raises:
        TypeError: when the batch is no such pair.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise TypeError(f"a batch is a {type(batch).__name__}, not (inputs, labels); give `loss_fn(model, batch)`")
    device = next(model.parameters()).device
    inputs, labels = (part.to(device) for part in batch)
    logits = model(inputs)
    return F.cross_entropy(logits, labels), (logits.detach().argmax(1) == labels).float().mean()


def train_briefly(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Sequence[Any]],
    lrs: Sequence[float],
    loss_fn: LossFn,
) -> Measured:
    """Train a step for each learning rate, or until the loss diverges.

    Args:
        model: is trained in place.
        optimizer: of the model; its groups keep the ratios of their learning rates to that of the first.
        batches: for each step the batches that it accumulates.
        lrs: learning rate of the first group at each step.
        loss_fn: as :data:`LossFn`.
    """
    ratios = lr_ratios(optimizer)
    measured, pending = Measured(), []
    model.train()
    switch(optimizer, "train")
    began = perf_counter()
    for lr, parts in zip(lrs, batches, strict=False):
        for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
            group["lr"] = lr * ratio
        pending.append(_step(model, optimizer, parts, loss_fn))
        measured.samples.append(sum(map(count_samples, parts)))
        if len(pending) == FLUSH_STEPS:
            _flush(pending, measured)
            if steps_before_divergence(measured.loss, STOP_BETA) < len(measured.loss):
                break
    _flush(pending, measured)
    measured.train_seconds = perf_counter() - began
    return measured


def lr_ratios(optimizer: torch.optim.Optimizer) -> list[float]:
    """The learning rate of each parameter group in units of the first one's."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    if not rates[0] > 0:
        raise ValueError(
            f"the lr of the first parameter group (={rates[0]}) must be positive: groups keep their ratios"
        )
    return [rate / rates[0] for rate in rates]


def in_groups(data: Iterable[Any], count: int) -> Iterator[list[Any]]:
    """So many batches a step, epoch after epoch; an epoch's last step takes what is left."""
    while True:
        groups = _grouped(iter(data), count)
        first = next(groups, [])
        if len(first) < count:
            raise ValueError(f"a step takes {count} batches, but `data` has {len(first)} in an epoch")
        yield first
        yield from groups


def _grouped(batches: Iterator[Any], count: int) -> Iterator[list[Any]]:
    while group := list(islice(batches, count)):
        yield group


def count_samples(batch: Any) -> int:
    """The length of the first tensor in a batch; 1 where there is none."""
    if isinstance(batch, torch.Tensor):
        return len(batch)
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple | list) else ()
    return next((count_samples(part) for part in parts), 1)


def measure_gradients(model: nn.Module, batches: Sequence[Any], loss_fn: LossFn) -> GradientSquares:
    """Mean squared norm of the gradient over each batch, and that of the gradient over all of them.

    Args:
        model: its weights stay as they are.
        batches: of equal size, two or more.
        loss_fn: as :data:`LossFn`.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    gradients = []
    for batch in batches:
        given = loss_fn(model, batch)
        loss = given[0] if isinstance(given, tuple) else given
        parts = torch.autograd.grad(loss, weights, allow_unused=True)
        gradients.append(torch.cat([part.flatten() for part in parts if part is not None]))
    stacked = torch.stack(gradients).double()
    size = count_samples(batches[0])
    small, big = stacked.square().sum(1).mean(), stacked.mean(0).square().sum()
    return GradientSquares(size, size * len(batches), float(small), float(big))


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, parts: Sequence[Any], loss_fn: LossFn) -> torch.Tensor:
    """One optimizer step; loss and, where there is one, accuracy of all parts, weighted by their samples."""
    optimizer.zero_grad()
    counts = [count_samples(part) for part in parts] if len(parts) > 1 else [1]
    measured = []
    for part, count in zip(parts, counts, strict=True):
        given = loss_fn(model, part)
        values = given if isinstance(given, tuple) else (given,)
        share = count / sum(counts)
        (values[0] if share == 1 else values[0] * share).backward()  # type: ignore[no-untyped-call]
        measured.append(torch.stack([value.detach() for value in values]) * share)
    optimizer.step()
    return measured[0] if len(measured) == 1 else torch.stack(measured).sum(0)


def _flush(pending: list[torch.Tensor], measured: Measured) -> None:
    """Read the pending values from the device; under DistributedDataParallel their means over all ranks."""
    if not pending:
        return
    values = torch.stack(pending)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(values)
        values = values / torch.distributed.get_world_size()
    columns = values.T.tolist()
    measured.loss += columns[0]
    measured.accuracy += columns[1] if len(columns) > 1 else []
    pending.clear()
