"""Sparse matrices: their twins are dense, and know what the matrix keeps."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from losslab.accounting.call import Call, words
from losslab.accounting.formulas import times
from losslab.accounting.operations import Work

_FACTORS = {
    "mm": ("self", "mat2"),
    "addmm": ("mat1", "mat2"),
    "_sparse_addmm": ("mat1", "mat2"),
    "mv": ("self", "vec"),
    "addmv": ("mat", "vec"),
}
"""Product -> its factors."""
_SAME = words("t transpose permute detach alias clone _to_copy")
"""Operations whose result is the same matrix, as it was or turned."""


class Kept(NamedTuple):
    """What a sparse tensor keeps: so many numbers, with their positions so many bytes."""

    numbers: int
    bytes: int


def is_sparse(tensor: Tensor) -> bool:
    """Whether a tensor keeps some of its numbers alone, by coordinates, or by rows, columns or blocks."""
    return tensor.is_sparse or "sparse" in str(tensor.layout)


def note_kept(twin: Any, source: Tensor) -> None:
    """Have the dense twin of a sparse tensor know what that keeps."""
    if source.layout is torch.sparse_coo:
        parts = [source._values(), source._indices()]
    elif source.layout in (torch.sparse_csr, torch.sparse_bsr):
        parts = [source.values(), source.crow_indices(), source.col_indices()]
    else:
        parts = [source.values(), source.ccol_indices(), source.row_indices()]
    twin.kept_of_sparse = Kept(parts[0].numel(), sum(part.nbytes for part in parts))


def kept(twin: Tensor) -> Kept | None:
    """What the sparse matrix of a twin keeps; None where it stands for a dense one."""
    return getattr(twin, "kept_of_sparse", None)


def bytes_of(tensor: Tensor) -> int:
    """Of a tensor's storage, or of what the sparse matrix keeps that it stands for."""
    sparse = kept(tensor)
    return tensor.untyped_storage().nbytes() if sparse is None else sparse.bytes


def sparse_work(call: Call, work: Work) -> Work:
    """The work of an operation, given as of dense matrices, where one of its matrices is sparse.

    Each number that is kept meets every column of a factor on its right, every row of one on its left. What else is
    done with a sparse matrix is not counted.
    """
    sparse = next((kept(tensor) for tensor in call.tensors if kept(tensor)), None)
    if sparse is None:
        return work
    if call.name in _SAME:
        result: Any = call.outputs[0]
        result.kept_of_sparse = sparse
        return work
    factors = [call[name] for name in _FACTORS.get(call.name, ())]
    dense = [factor for factor in factors if kept(factor) is None]
    if len(dense) != 1:
        return Work(call.name, counted=False)
    shape = dense[0].shape
    others = shape[:1] if dense[0] is factors[0] else shape[1:]
    sizes = " by ".join("x".join(map(str, factor.shape)) for factor in factors)
    macs = times(*others, sparse.numbers)
    return Work("matmul", macs, detail=f"{sizes}, {sparse.numbers} non-zeros")


def as_of_sparse(function: Any, args: tuple[Any, ...]) -> Tensor | None:
    """What a function that only sparse matrices have gives for a twin of one; None for all others."""
    if function not in (Tensor.to_dense, Tensor.coalesce) or kept(args[0]) is None:
        return None
    twin: Tensor = args[0]
    if function is Tensor.coalesce:
        return twin
    return torch.empty(twin.shape, dtype=twin.dtype, device="meta")
