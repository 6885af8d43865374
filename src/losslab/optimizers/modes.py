"""Optimizers whose parameters hold other weights while training than those to evaluate."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


def at_iterate(optimizer: "torch.optim.Optimizer") -> AbstractContextManager[None]:
    """Have the parameters hold the weights to evaluate within the context; after it they are as before, bit for bit.

    `rmsprop-nesterov` moves them from its look-ahead point to theta. An optimizer with ``train()`` and ``eval()``, such
    as a schedule-free one, is switched. With any other optimizer nothing happens.
    """
    if has_modes(optimizer):
        return _evaluating(optimizer)
    own: AbstractContextManager[None] = getattr(optimizer, "at_iterate", nullcontext)()
    return own


def has_modes(optimizer: "torch.optim.Optimizer") -> bool:
    """Whether the optimizer has ``train()`` and ``eval()``."""
    return callable(getattr(optimizer, "train", None)) and callable(
        getattr(optimizer, "eval", None)
    )


def switch(optimizer: "torch.optim.Optimizer", mode: Literal["train", "eval"]) -> None:
    """Put an optimizer that has modes into one of them."""
    if has_modes(optimizer):
        getattr(optimizer, mode)()


@contextmanager
def _evaluating(optimizer: "torch.optim.Optimizer") -> Iterator[None]:
    """Switch to evaluation and back; weights are restored from a copy, since computing them again would round."""
    import torch

    weights = list(chain.from_iterable(group["params"] for group in optimizer.param_groups))
    kept = [parameter.detach().clone() for parameter in weights]
    try:
        switch(optimizer, "eval")
        yield
    finally:
        switch(optimizer, "train")
        with torch.no_grad():
            for parameter, value in zip(weights, kept, strict=True):
                parameter.copy_(value)
