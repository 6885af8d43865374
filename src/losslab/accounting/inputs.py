"""What a model is fed: shapes (and dtypes) without the batch, for one input, several, or a dictionary of them."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from losslab.errors import InvalidInput

InputShape = str | Sequence[int] | Sequence[Any] | Mapping[str, Any]
"""``(3, 224, 224)``, ``"3x224x224"``, ``"128:int64"``; a list or a dictionary of these for several inputs."""


@dataclass(frozen=True)
class Input:
    """One input: its name in the ledger, the shape of one sample, its dtype; None stands for float32."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype | None = None

    def tensor(self, batch_size: int, dtype: torch.dtype) -> Tensor:
        """A batch of it on the meta device; ``dtype`` where it has none of its own."""
        return torch.empty((batch_size, *self.shape), dtype=self.dtype or dtype, device="meta")


@dataclass(frozen=True)
class Inputs:
    """All inputs in order; ``named`` when they came as a dictionary."""

    each: tuple[Input, ...]
    named: bool = False

    def as_integers(self, names: frozenset[str]) -> "Inputs":
        """The same with these inputs as int64."""
        entries = [replace(entry, dtype=torch.int64) if entry.name in names else entry for entry in self.each]
        return replace(self, each=tuple(entries))

    def arguments(self, model: nn.Module, tensors: list[Tensor]) -> tuple[tuple[Any, ...], dict[str, Tensor]]:
        """How ``forward`` takes them: a dictionary as keywords where it has them all, else as one dictionary."""
        if not self.named:
            return tuple(tensors), {}
        by_name = {entry.name: tensor for entry, tensor in zip(self.each, tensors, strict=True)}
        parameters = inspect.signature(model.forward).parameters
        return ((), by_name) if by_name.keys() <= parameters.keys() else ((by_name,), {})


def parse_inputs(shape: InputShape) -> Inputs:
    """The inputs that a shape stands for.

    Raises:
        InvalidInput: when it has another form or a size below 1.
    """
    if isinstance(shape, Mapping):
        return Inputs(tuple(_parse(name, entry) for name, entry in shape.items()), named=True)
    if not isinstance(shape, str) and shape and not all(isinstance(size, int) for size in shape):
        return Inputs(tuple(_parse(f"input{i}", entry) for i, entry in enumerate(shape, start=1)))
    return Inputs((_parse("input", shape),))


def _parse(name: str, shape: Any) -> Input:
    text, _, dtype = shape.partition(":") if isinstance(shape, str) else ("", "", "")
    try:
        sizes = tuple(int(size) for size in (text.split("x") if text else shape))
    except (TypeError, ValueError):
        sizes = ()
    kind = getattr(torch, dtype, None) if dtype else None
    if not sizes or min(sizes) < 1 or (dtype and not isinstance(kind, torch.dtype)):
        rule = "must be sizes of at least 1 such as 3x224x224, with a dtype after a colon where it is not a float"
        raise InvalidInput(f"`input` (={shape}) {rule}: 128:int64")
    return Input(name, sizes, kind)
