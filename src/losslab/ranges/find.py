"""Range tests of anyone's network, optimizer and data; all three are left as they were, bit for bit."""

from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import nn

from losslab.optimizers import Method, choose
from losslab.randomness import derive_seed, seeded
from losslab.ranges.batch import BatchRange, find_batch_range
from losslab.ranges.lr import LrRange, check_ramp, check_rule, find_lr_range
from losslab.ranges.restored import generators, restored
from losslab.ranges.trace import Trace
from losslab.ranges.trial import (
    NOISE_BATCHES,
    LossFn,
    count_samples,
    cross_entropy,
    in_groups,
    measure_gradients,
    train_briefly,
)
from losslab.schedules import exponential_ramp
from losslab.training.evaluation import weights_sha256


def find_lr(
    model: nn.Module,
    data: Iterable[Any],
    optimizer: torch.optim.Optimizer | Method | str,
    *,
    loss_fn: LossFn = cross_entropy,
    start: float = 1e-9,
    end: float = 10.0,
    steps: int = 300,
    seeds: int = 3,
    mode: str = "ramp",
    candidates: int = 10,
    rule: str | None = None,
) -> LrRange:
    """The learning rates between which the loss of a network falls, and one to train with.

    Model, optimizer, data and all random state are afterwards what they were before. Every seed starts from the
    weights that the model has; what differs is the order of the data, as far as torch draws it, and dropout.

    Args:
        model: any module.
        data: an iterable of batches that can be iterated anew, such as a DataLoader.
        optimizer: of the model, or a method of losslab such as ``"adam"``. The groups of an optimizer keep the ratios
            of their learning rates; results are those of the first group.
        loss_fn: ``(model, batch) -> loss`` or ``(loss, accuracy)``; cross-entropy of (inputs, labels) when absent.
        start: lowest learning rate.
        end: highest learning rate; a ramp stops before it when the loss diverges.
        steps: optimizer steps of a ramp, or of each candidate of a grid.
        seeds: how often the test is repeated.
        mode: ``ramp``, one training whose lr rises exponentially, or ``grid``, one training for each candidate.
        candidates: learning rates of a grid.
        rule: of the suggestion, a name in ``losslab.ranges.RULES``.
    Raises:
        ValueError: impossible arguments, or data that cannot be iterated anew.
        TypeError: when the batches need a ``loss_fn``.
    Example:
        >>> model = nn.Linear(4, 3)
        >>> data = [(torch.randn(8, 4), torch.randint(3, (8,))) for _ in range(5)]
        >>> find_lr(model, data, "adam", steps=50, seeds=1).mode
        'ramp'

    Reference:
        Smith 2015, arXiv:1506.01186, section 3.3.
    """
    check_ramp(start, end, steps, seeds, candidates)
    check_rule(mode, rule)
    optimizer = _bound(optimizer, model)
    count = steps if mode == "ramp" else candidates
    rates = [exponential_ramp(start, end, count)(place) for place in range(count)]
    plans = [rates] if mode == "ramp" else [[lr] * steps for lr in rates]

    def train(lrs: Sequence[float], seed: int) -> Trace:
        with _trial(model, data, optimizer, seed):
            return train_briefly(model, optimizer, in_groups(data, 1), lrs, loss_fn).trace(lrs, seed)

    traces = [train(lrs, seed) for seed in range(seeds) for lrs in plans]
    return find_lr_range(traces, mode=mode, rule=rule)


def find_batch(
    model: nn.Module,
    data: Iterable[Any],
    optimizer: torch.optim.Optimizer | Method | str,
    *,
    sizes: Sequence[int],
    lr: float | None = None,
    loss_fn: LossFn = cross_entropy,
    steps: int = 500,
    seeds: int = 3,
) -> BatchRange:
    """The batch sizes between which the loss of a network falls, at equal optimizer steps and one learning rate.

    Every size starts from the weights that the model has. A size is accumulated from the batches that the data yields,
    so that a size trains where one of those fits. All is put back afterwards, as :func:`find_lr` does.

    Args:
        model: any module.
        data: an iterable of batches that can be iterated anew.
        optimizer: of the model, or a method of losslab.
        sizes: increasing multiples of the size of the data's batches; an epoch must hold the largest.
        lr: learning rate; that of the optimizer's first group when None.
        loss_fn: as in :func:`find_lr`; a mean over the batch.
        steps: optimizer steps at every size.
        seeds: how often the test is repeated.
    Raises:
        ValueError: impossible arguments, or data that cannot be iterated anew.
        TypeError: when the batches need a ``loss_fn``.
    """
    if steps < 2 or seeds < 1:
        raise ValueError(f"`steps` (={steps}) must be at least 2 and `seeds` (={seeds}) at least 1")
    optimizer = _bound(optimizer, model)
    lr = float(optimizer.param_groups[0]["lr"]) if lr is None else lr
    weights = weights_sha256(model)
    with _trial(model, data, optimizer, seed=0):
        micro_batch = _check_sizes(data, sizes)

    def train(size: int, seed: int) -> Trace:
        with _trial(model, data, optimizer, seed):
            parts = in_groups(data, size // micro_batch)
            measured = train_briefly(model, optimizer, parts, [lr] * steps, loss_fn)
            batches = [batch for batch in islice(data, NOISE_BATCHES) if count_samples(batch) == micro_batch]
            squares = measure_gradients(model, batches, loss_fn) if len(batches) > 1 else None
        return measured.trace([lr] * steps, seed, weights, micro_batch, squares)

    return find_batch_range(sizes, lambda size: [train(size, seed) for seed in range(seeds)])


@contextmanager
def _trial(model: nn.Module, data: Iterable[Any], optimizer: torch.optim.Optimizer, seed: int) -> Iterator[None]:
    """All random draws are those of a seed, and all is put back at the end."""
    if isinstance(data, Iterator):
        raise ValueError("`data` is an iterator, which a test would use up; give what it iterates over")
    device = next(model.parameters()).device
    with restored(model, optimizer, data), seeded(seed, "range test", device=device):
        for place, generator in enumerate(generators(data)):
            generator.manual_seed(derive_seed(seed, "range test order", place))
        yield


def _bound(optimizer: torch.optim.Optimizer | Method | str, model: nn.Module) -> torch.optim.Optimizer:
    if isinstance(optimizer, torch.optim.Optimizer):
        trained = {id(weights) for group in optimizer.param_groups for weights in group["params"]}
        if trained.isdisjoint(map(id, model.parameters())):
            raise ValueError("`optimizer` trains no parameter of `model`; make it from this model's parameters()")
        return optimizer
    return choose(optimizer).build([{"params": [p for p in model.parameters() if p.requires_grad]}], lr=1.0)


def _check_sizes(data: Iterable[Any], sizes: Sequence[int]) -> int:
    """The size of the data's batches, once all sizes are known to be multiples of it that an epoch can hold."""
    size_of_first = [count_samples(batch) for batch in islice(data, 1)]
    if not size_of_first:
        raise ValueError("`data` has no batch")
    micro_batch = size_of_first[0]
    if any(size % micro_batch or size < micro_batch for size in sizes):
        raise ValueError(f"`sizes` (={list(sizes)}) must be multiples of the data's batches of {micro_batch} samples")
    if isinstance(data, Sized) and max(sizes) > micro_batch * len(data):
        raise ValueError(f"`sizes` (={list(sizes)}) exceed the data: an epoch has {len(data)} batches of {micro_batch}")
    return micro_batch
