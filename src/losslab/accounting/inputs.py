"""What a model is fed: shapes without the batch, example tensors, or nested lists and dictionaries of both."""

import ast
import inspect
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Number
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from losslab.accounting.sparse import is_sparse, note_kept
from losslab.accounting.values import MOST_ELEMENTS
from losslab.errors import InvalidInput

InputShape = str | Sequence[Any] | Mapping[str, Any] | Tensor | PackedSequence
"""``(3, 224, 224)``, ``"3x224x224"``, ``"128:int64"``, ``""`` or ``()`` for one number a sample, a tensor with its
batch; a list or a dictionary of these for several inputs, nested as the model takes them."""

_RULE = (
    "must be sizes of at least 1 such as 3x224x224, with a dtype after a colon where it is not a float: 128:int64; "
    "() or :int64 is one number a sample, NAME=SHAPE a keyword, none no input"
)


@dataclass(frozen=True)
class Input:
    """One tensor of the input.

    Attributes:
        name: in the ledger.
        shape: of one sample; of the whole where it came as a tensor without a batch of its own.
        dtype: None stands for that of the model.
        batch: samples in front of the shape; None for the batch size of the count, 0 for no batch.
        example: a small tensor of integers that was given, whose values are kept, or a sparse matrix.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype | None = None
    batch: int | None = None
    example: Tensor | None = None

    def tensor(self, batch_size: int, dtype: torch.dtype) -> Tensor:
        """A batch of it; ``dtype`` where it has none of its own. Integers and truth values are real where small."""
        kind = self.dtype or dtype
        batch = batch_size if self.batch is None else self.batch
        shape = (batch, *self.shape) if batch else self.shape
        empty = torch.empty(shape, dtype=kind, device="meta")
        if self.example is not None and is_sparse(self.example):
            note_kept(empty, self.example)
            return empty
        if self.example is not None:
            return self.example.detach().to("cpu", copy=True)
        if kind.is_floating_point or kind.is_complex or empty.numel() > MOST_ELEMENTS:
            return empty
        return self._values(empty, kind)

    def _values(self, empty: Tensor, kind: torch.dtype) -> Tensor:
        """Masks of ones (of zeros where True means padding), and ids 0 .. n - 1 in each sample."""
        if kind is torch.bool:
            return torch.full(empty.shape, "padding" not in self.name, device="cpu")
        if "mask" in self.name:
            return torch.ones(empty.shape, dtype=kind, device="cpu")
        last = empty.shape[-1] if empty.dim() > 1 else 1
        most = torch.iinfo(kind).max
        return (
            (torch.arange(last, device="cpu") % most).to(kind).expand(empty.shape).contiguous()
        )

    @property
    def assumption(self) -> str:
        """Which values it has, where a forward may ask for them."""
        kind = self.dtype
        if self.example is not None and not is_sparse(self.example):
            return f"{self.name} as given"
        if kind is None or kind.is_floating_point or kind.is_complex:
            return ""
        if kind is torch.bool:
            return f"{self.name} all {'padding' not in self.name}"
        return f"{self.name} all 1" if "mask" in self.name else f"{self.name} 0, 1, 2 ..."


@dataclass(frozen=True, eq=False)
class Inputs:
    """All tensors in order, and how they are nested.

    Attributes:
        each: the tensors of the input.
        structure: arguments by position (a list) or by name (a dictionary), in which the numbers of `each` stand as
            `Slot`; None for no input at all: the model does not run.
    """

    each: tuple[Input, ...]
    structure: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Inputs) and (self.each, repr(self.structure)) == (
            other.each,
            repr(other.structure),
        )

    def __hash__(self) -> int:
        return hash(tuple(entry.name for entry in self.each))

    @property
    def examples(self) -> list[Tensor]:
        """The tensors that are kept as they were given."""
        return [entry.example for entry in self.each if entry.example is not None]

    def as_integers(self, names: frozenset[str]) -> "Inputs":
        """The same with these inputs as int64."""
        entries = [
            replace(entry, dtype=torch.int64) if entry.name in names else entry
            for entry in self.each
        ]
        return replace(self, each=tuple(entries))

    def arguments(
        self, model: nn.Module, tensors: list[Tensor]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """How ``forward`` takes them: a dictionary as keywords where it has any of them, else as one dictionary.

        Raises:
            InvalidInput: when it has only some, or needs others.
        """
        filled = _filled(self.structure, tensors)
        if not isinstance(filled, dict):
            return tuple(filled), {}
        signature = inspect.signature(model.forward)
        try:
            signature.bind(**filled)
        except TypeError as error:
            if signature.parameters.keys().isdisjoint(filled):
                return (filled,), {}
            names, given = ", ".join(signature.parameters), ", ".join(filled)
            raise InvalidInput(
                f"`input` (={given}) is not what forward({names}) takes: {error}"
            ) from error
        return (), filled


@dataclass(frozen=True)
class Slot:
    """Where a tensor of the input stands; ``packed`` gives the sequence that it is the data of."""

    index: int
    packed: PackedSequence | None = None


def _filled(structure: Any, tensors: list[Tensor]) -> Any:
    if isinstance(structure, Slot):
        tensor, packed = tensors[structure.index], structure.packed
        return tensor if packed is None else PackedSequence(tensor, *packed[1:])
    if isinstance(structure, dict):
        return {name: _filled(value, tensors) for name, value in structure.items()}
    if isinstance(structure, list | tuple):
        return _like(structure, [_filled(value, tensors) for value in structure])
    return structure


def _like(sequence: Sequence[Any], parts: list[Any]) -> Any:
    """Parts as a list, a tuple or the named tuple that they came in."""
    if isinstance(sequence, tuple):
        return type(sequence)(*parts) if hasattr(sequence, "_fields") else tuple(parts)
    return parts


def parse_inputs(shape: InputShape) -> Inputs:
    """The inputs that a shape stands for.

    Raises:
        InvalidInput: when it has another form or a size below 1.
    """
    parser = _Parser()
    if isinstance(shape, Integral):
        shape = (int(shape),)
    if isinstance(shape, Mapping):
        structure: Any = {
            str(name): parser.parse(str(name), value) for name, value in shape.items()
        }
    elif isinstance(shape, str) and shape == "none":
        structure = None
    elif _is_several(shape):
        structure = [parser.parse(f"input{i}", value) for i, value in enumerate(shape, start=1)]
    else:
        structure = [parser.parse("input", shape)]
    return Inputs(tuple(parser.entries), structure)


def _is_several(shape: Any) -> bool:
    """Whether a sequence stands for several inputs and not for the sizes of one."""
    shape = _from_numpy(shape)
    if isinstance(shape, str | Tensor | PackedSequence) or not isinstance(shape, Sequence):
        return False
    return len(shape) > 0 and not all(isinstance(size, Number) for size in shape)


def _from_numpy(value: Any) -> Any:
    """A row of whole numbers as sizes, any other array as a tensor."""
    if not isinstance(value, np.ndarray):
        return value
    return (
        tuple(value.tolist())
        if value.ndim == 1 and value.dtype.kind in "iu"
        else torch.from_numpy(value)
    )


class _Parser:
    def __init__(self) -> None:
        self.entries: list[Input] = []

    def parse(self, name: str, value: Any) -> Any:
        """A slot for a shape or a tensor, the same nesting for nested ones, other values as they are."""
        value = _from_numpy(value)
        if isinstance(value, Tensor):
            return self._slot(_example(name, value))
        if isinstance(value, PackedSequence):
            return self._slot(_example(name, value.data, batched=False), value)
        if isinstance(value, Mapping):
            return {key: self.parse(f"{name}.{key}", part) for key, part in value.items()}
        if _is_several(value):
            parts = [self.parse(f"{name}.{i}", part) for i, part in enumerate(value)]
            return _like(value, parts)
        if isinstance(value, str):
            return self._text(name, value)
        if isinstance(value, torch.Size | Sequence):
            return self._slot(Input(name, _sizes(value, value)))
        if isinstance(value, torch.dtype):
            return self._slot(Input(name, (), value))
        return value

    def _slot(self, entry: Input, packed: PackedSequence | None = None) -> Slot:
        self.entries.append(entry)
        return Slot(len(self.entries) - 1, packed)

    def _text(self, name: str, text: str) -> Any:
        sizes, _, dtype = text.strip().partition(":")
        if not dtype and isinstance(getattr(torch, sizes, None), torch.dtype):
            sizes, dtype = "", sizes
        kind = getattr(torch, dtype, None) if dtype else None
        if dtype and not isinstance(kind, torch.dtype):
            raise InvalidInput(f"`input` (={text}) {_RULE}")
        if sizes in ("", "()"):
            return self._slot(Input(name, (), kind))
        parts = sizes.strip("()").replace(",", "x").split("x")
        if not dtype and not all(part.strip().isdigit() for part in parts):
            return _literal(text)
        return self._slot(Input(name, _sizes(parts, text), kind))


def _example(name: str, tensor: Tensor, *, batched: bool = True) -> Input:
    """A tensor that was given, its batch in front; small integers keep their values."""
    is_float = tensor.is_floating_point() or tensor.is_complex()
    large = is_float or tensor.is_meta or tensor.numel() > MOST_ELEMENTS
    kept = None if large and not is_sparse(tensor) else tensor
    if not batched or tensor.dim() == 0:
        return Input(name, tuple(tensor.shape), tensor.dtype, batch=0, example=kept)
    batch, *sizes = tensor.shape
    if batch < 1:
        raise InvalidInput(
            f"`input` has a tensor of shape {tuple(tensor.shape)}; its batch must have a sample"
        )
    return Input(name, tuple(sizes), tensor.dtype, batch=batch, example=kept)


def _sizes(values: Sequence[Any], given: Any) -> tuple[int, ...]:
    try:
        sizes = tuple(
            int(size) if isinstance(size, str) else operator.index(size) for size in values
        )
    except (TypeError, ValueError):
        sizes = (0,)
    if sizes and min(sizes) < 1:
        raise InvalidInput(f"`input` (={given}) {_RULE}")
    return sizes


def _literal(text: str) -> Any:
    """A value that is no tensor, such as ``False``, ``0.5`` or ``'cls'`` in quotes."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise InvalidInput(f"`input` (={text}) {_RULE}") from None
