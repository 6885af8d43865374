"""Which tensors of a weightless run have values, and how operations run on a mixture of those with and without.

Large floats are on the meta device: shapes and no data. Masks, token ids, positions and constants that a forward makes
are small; they are real, so that a question about them (``mask.all()``, ``pad in ids``) has its answer. What is
computed from real tensors alone is real; what meets a tensor without data has none.
"""

from collections.abc import Iterable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from losslab.accounting.call import bind, tensors_in, words

MOST_ELEMENTS = 2**22
"""Elements of the largest tensor that a forward or an input makes with values."""
_MOST_COMPUTED = 2**26
"""Elements of the largest tensor that is computed with values."""

_WITHOUT_VALUES = words(
    "empty empty_like new_empty empty_strided new_empty_strided rand rand_like randn randn_like uniform normal "
    "bernoulli random exponential geometric cauchy log_normal native_dropout multinomial randint randint_like "
    "randperm"
)
"""Operations whose results have no values to rely on."""
_INDICES = words("topk sort argsort argmax argmin max min kthvalue mode median cummax cummin")
"""Operations that give positions of elements; these positions are assumed."""
_GROWS = words("aten::new_zeros aten::new_ones aten::new_full aten::repeat")
_NEVER_GROWS = frozenset(
    {torch.ops.aten.lift_fresh.default, torch.ops.aten.lift.default, torch.ops.aten._local_scalar_dense.default}
)
_READS_LENGTHS = frozenset({"_pack_padded_sequence", "_pad_packed_sequence"})
"""Operations that need real lengths beside data without values."""


class DependsOnData(Exception):  # noqa: N818
    """The model asks for a value that only real data has."""


class Values(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs operations on tensors with and without values.

    Attributes:
        assumed: operations whose positions were assumed to be spread evenly, such as ``topk``.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.assumed: dict[str, None] = {}
        self._overwritten: dict[int, torch.UntypedStorage] = {}

    def has_value(self, tensor: Tensor) -> bool:
        """Whether the tensor is real, and nothing without values was written into it."""
        return not tensor.is_meta and tensor.untyped_storage()._cdata not in self._overwritten

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func._schema.name.partition("::")[2].removesuffix("_")
        tensors = tensors_in(args, kwargs)
        known = all(self.has_value(tensor) for tensor in tensors)
        if not known and reads_values(func, args):
            raise DependsOnData(f"aten.{name}")
        if name in _READS_LENGTHS:
            return func(*args, **kwargs)
        if known and name not in _WITHOUT_VALUES and self._fits(func, args, kwargs, tensors):
            return func(*args, **_on(func, kwargs, "cpu"))
        if func.is_view and not any(tensor.is_meta for tensor in tensors):
            return func(*args, **kwargs)  # a view of a real tensor whose values are lost shares its storage
        return self._without_values(func, name, args, kwargs)

    def _fits(self, func: Any, args: Any, kwargs: dict[str, Any], tensors: list[Tensor]) -> bool:
        """Whether the result is small enough to have values; tried on the meta device where it may not be."""
        if func.is_view or torch.Tag.dynamic_output_shape in func.tags or func in _NEVER_GROWS:
            return True
        grows = not tensors or func._schema.name in _GROWS
        most = MOST_ELEMENTS if grows else _MOST_COMPUTED
        if not grows and prod(max(1, tensor.numel()) for tensor in tensors) <= most:
            return True  # no broadcast makes more than the product of the sizes
        result = func(*_as_meta(args), **_on(func, _as_meta(kwargs), "meta"))
        return all(tensor.numel() <= most for tensor in tensors_in(result))

    def _without_values(self, func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        originals: dict[int, Tensor] = {}

        def replaced(value: Any) -> Any:
            if not isinstance(value, Tensor) or value.is_meta:
                return value
            twin = _meta(value)
            originals[id(twin)] = value
            return twin

        meta_args, meta_kwargs = tree_map(replaced, args), tree_map(replaced, kwargs)
        twins = tensors_in(meta_args, meta_kwargs)  # kept, so that their ids stay their own
        result = func(*meta_args, **_on(func, meta_kwargs, "meta"))
        bound = bind(func, meta_args, meta_kwargs)
        for argument in func._schema.arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._forget(originals[id(twin)] for twin in tensors_in(bound[argument.name]) if id(twin) in originals)
        if originals:
            result = tree_map(lambda value: originals.get(id(value), value), result)
        del twins
        return self._with_positions(name, bound, result) if name in _INDICES else result

    def _forget(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            storage = tensor.untyped_storage()
            self._overwritten[storage._cdata] = storage

    def _with_positions(self, name: str, bound: dict[str, Any], result: Any) -> Any:
        """The result with real positions in place of unknown ones, spread evenly over the dimension."""
        positions = next((tensor for tensor in tensors_in(result) if tensor.dtype is torch.int64), None)
        source = bound["self"]
        if positions is None or bound.get("dim") is None or source.dim() == 0 or positions.numel() > MOST_ELEMENTS:
            return result
        dim = bound["dim"] % source.dim()
        self.assumed[name] = None
        spread = _spread(positions.shape, dim, source.shape[dim], keeps=positions.dim() == source.dim())
        return tree_map(lambda value: spread if value is positions else value, result)


def reads_values(func: Any, args: Any) -> bool:
    """Whether an operation needs the values of its tensors to give its result or the result's shape."""
    if func is torch.ops.aten.index.Tensor:
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags


def _spread(shape: torch.Size, dim: int, size: int, *, keeps: bool) -> Tensor:
    """Positions 0 .. size - 1 in turn, row after row, so that each is taken about as often as the others."""
    if not keeps:
        return (torch.arange(prod(shape), device="cpu") % size).reshape(shape)
    last = [*shape[:dim], *shape[dim + 1 :], shape[dim]]
    return (torch.arange(prod(shape), device="cpu") % size).reshape(last).movedim(-1, dim)


def without_values(arguments: Any) -> Any:
    """The arguments with real tensors of floats replaced by such as have no data."""

    def replaced(value: Any) -> Any:
        return _meta(value) if isinstance(value, Tensor) and value.is_floating_point() and not value.is_meta else value

    return tree_map(replaced, arguments)


def _meta(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _as_meta(values: Any) -> Any:
    return tree_map(lambda value: _meta(value) if isinstance(value, Tensor) else value, values)


def _on(func: Any, kwargs: dict[str, Any], device: str) -> dict[str, Any]:
    """The keywords with a device that is named replaced; a factory without one gets it."""
    factory = any(argument.name == "device" for argument in func._schema.arguments)
    if not factory:
        return kwargs
    named = kwargs.get("device") is not None or not func._schema.arguments or not _first_is_tensor(func)
    moved = kwargs | {"device": torch.device(device)} if named else dict(kwargs)
    return {key: value for key, value in moved.items() if key != "pin_memory"}


def _first_is_tensor(func: Any) -> bool:
    return str(func._schema.arguments[0].type) == "Tensor"
