"""An element-wise update on blocks of parameters that stay in cache: pieces of large tensors, small ones together."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf

import torch

BLOCK = 2**18
"""Elements updated at a time on a CPU: a rule reads a tensor several times, and all but the first come from cache."""

Tensors = list[torch.Tensor]
Slots = dict[str, Tensors]
"""Name of a state -> one tensor for each of the weights, of its shape."""
Numbers = dict[str, float]
"""The scalars of a rule by name; ``weight_decay`` is one of them only where there is L2."""
Rule = Callable[[Tensors, Tensors, Slots, Numbers], None]
"""(weights, gradients, slots, numbers): updates weights and slots in place, each element by itself."""


@dataclass
class Operands:
    """Operands of a step; entry i of every list belongs to parameter i."""

    weights: Tensors
    gradients: Tensors
    slots: Slots
    numbers: list[Numbers]
    """Parameters of the same numbers have the same object."""


def update(
    rule: Rule, weights: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers
) -> None:
    """Do one step in place; coupled L2 is added to the gradient before the rule sees it."""
    if "weight_decay" in numbers:
        gradients = list(torch._foreach_add(gradients, weights, alpha=numbers["weight_decay"]))
    rule(weights, gradients, slots, numbers)


def update_in_blocks(rule: Rule, operands: Operands) -> None:
    """Do one step of all parameters, block by block; the bits are those of updating whole tensors in turn."""
    for weights, gradients, slots, numbers in blocks(operands):
        update(rule, weights, gradients, slots, numbers)


def blocks(operands: Operands) -> Iterator[tuple[Tensors, Tensors, Slots, Numbers]]:
    """Yield operands for a call of the rule: about BLOCK elements of the same numbers, or all of them off the CPU."""
    pieces: list[tuple[torch.Tensor, ...]] = []
    elements, numbers = 0, Numbers()
    for *tensors, numbers_here in zip(
        operands.weights,
        operands.gradients,
        *operands.slots.values(),
        operands.numbers,
        strict=True,
    ):
        limit = block_size(tensors[0].device)
        # Weights, gradients and slots have one shape, and are cut at the same rows.
        for piece in zip(*(split(tensor, limit) for tensor in tensors), strict=True):
            size = piece[0].numel()
            if pieces and (elements + size > limit or numbers_here is not numbers):
                yield _gathered(pieces, operands.slots, numbers)
                pieces, elements = [], 0
            pieces.append(piece)
            elements, numbers = elements + size, numbers_here
    if pieces:
        yield _gathered(pieces, operands.slots, numbers)


def lerp_(tensors: Tensors, ends: Tensors, weight: float) -> None:
    """Move tensors towards others by a fraction of the way, in place."""
    # Torch's own picks a formula by the weight, which a compiled function cannot.
    if torch.compiler.is_compiling():
        torch._foreach_mul_(tensors, 1 - weight)
        torch._foreach_add_(tensors, ends, alpha=weight)
    else:
        torch._foreach_lerp_(tensors, ends, weight)


def block_size(device: torch.device) -> float:
    """Elements of a block; the meta device counts what a CPU does, and others want few, large operations."""
    return BLOCK if device.type in ("cpu", "meta") else inf


def split(tensor: torch.Tensor, limit: float) -> tuple[torch.Tensor, ...]:
    """Views of about ``limit`` elements along the first dimension."""
    if tensor.numel() <= limit:
        return (tensor,)
    # Rows, because a view of them has the strides of the whole in either memory format.
    rows = max(1, int(limit * len(tensor) / tensor.numel()))
    return torch.split(tensor, rows)


def _gathered(
    pieces: list[tuple[torch.Tensor, ...]], names: Slots, numbers: Numbers
) -> tuple[Tensors, Tensors, Slots, Numbers]:
    """Transpose pieces, each of one parameter, to a list of weights, one of gradients and one for each slot."""
    weights, gradients, *states = (list(column) for column in zip(*pieces, strict=True))
    return weights, gradients, dict(zip(names, states, strict=True)), numbers
