"""Which tensors of a weightless run have values, and how operations run on a mixture of those with and without.

Large floats are on the meta device: shapes and no data. Masks, token ids, positions and constants that a forward makes
are small; they are real, so that a question about them (``mask.all()``, ``pad in ids``) has its answer. What is
computed from real tensors alone is real; what meets a tensor without data has none.
"""

from collections.abc import Callable, Hashable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from losslab.accounting.call import Schema, bind, schema_of, tensors_in, words

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
_GROWS = words("new_zeros new_ones new_full repeat")
_NEVER_GROWS = words("lift_fresh lift _local_scalar_dense")
_READS_LENGTHS = words("_pack_padded_sequence _pad_packed_sequence")
"""Operations that need real lengths beside data without values."""


_BY_MASK = frozenset({torch.ops.aten.index.Tensor, torch.ops.aten.masked_select.default})


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
        self._results: dict[
            Hashable, list[tuple[torch.Size, tuple[int, ...], torch.dtype]]
        ] = {}

    def has_value(self, tensor: Tensor) -> bool:
        """Whether the tensor is real, and nothing without values was written into it."""
        return not tensor.is_meta and tensor.untyped_storage()._cdata not in self._overwritten

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, seconds, to keep it from compiling this

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        schema = schema_of(func)
        name = schema.name
        tensors = tensors_in(args, kwargs)
        known = all(self.has_value(tensor) for tensor in tensors)
        if not known and func in _BY_MASK and self._masks_known(args):
            return _by_mask(func, args)
        if not known and reads_values(func, args):
            raise DependsOnData(f"aten.{name}")
        if name == "_grouped_mm" and not known:
            return _grouped_product(bind(func, args, kwargs))
        if name in _READS_LENGTHS:
            return func(*args, **kwargs)
        if not tensors and _is_for_gradients(kwargs):
            return func(*args, **kwargs)
        if (
            name == "empty"
            and _is_whole(kwargs.get("dtype"))
            and self._fits(func, schema, args, kwargs, tensors)
        ):
            return func(
                *args, **_on(schema, kwargs, "cpu")
            ).zero_()  # torch fills lengths in from below
        if (
            known
            and name not in _WITHOUT_VALUES
            and self._fits(func, schema, args, kwargs, tensors)
        ):
            return _computed(func, args, _on(schema, kwargs, "cpu"))
        if schema.is_view and not any(tensor.is_meta for tensor in tensors):
            # A view of a real tensor whose values are lost shares its storage.
            return func(*args, **kwargs)
        return self._without_values(func, schema, args, kwargs)

    def _masks_known(self, args: Any) -> bool:
        masks = tensors_in(args[1])
        return all(
            self.has_value(mask) for mask in masks if mask.dtype in (torch.bool, torch.uint8)
        )

    def _fits(
        self,
        func: Any,
        schema: Schema,
        args: Any,
        kwargs: dict[str, Any],
        tensors: list[Tensor],
    ) -> bool:
        """Whether the result is small enough to have values; tried on the meta device where it may not be."""
        if schema.is_view or schema.needs_values or schema.name in _NEVER_GROWS:
            return True
        grows = not tensors or schema.name in _GROWS
        most = MOST_ELEMENTS if grows else _MOST_COMPUTED
        if not grows and prod(max(1, tensor.numel()) for tensor in tensors) <= most:
            return True  # no broadcast makes more than the product of the sizes
        result = func(*_replaced(args, _meta), **_on(schema, _replaced(kwargs, _meta), "meta"))
        return all(tensor.numel() <= most for tensor in tensors_in(result))

    def _without_values(
        self, func: Any, schema: Schema, args: Any, kwargs: dict[str, Any]
    ) -> Any:
        pairs: list[tuple[Tensor, Tensor]] = []

        def twin_of(tensor: Tensor) -> Tensor:
            if tensor.is_meta:
                return tensor
            twin = _meta(tensor)
            pairs.append((twin, tensor))
            return twin

        meta_args, meta_kwargs = _replaced(args, twin_of), _replaced(kwargs, twin_of)
        result = self._shaped(func, schema, meta_args, _on(schema, meta_kwargs, "meta"))
        if pairs:
            self._forget_written(bind(func, args, kwargs), schema)
            originals = {id(twin): tensor for twin, tensor in pairs}
            result = _replaced(result, lambda tensor: originals.get(id(tensor), tensor))
        if schema.name in _INDICES:
            return self._with_positions(schema.name, bind(func, meta_args, meta_kwargs), result)
        return result

    def _shaped(self, func: Any, schema: Schema, args: Any, kwargs: dict[str, Any]) -> Any:
        """The result on the meta device; sizes that torch has worked out for such arguments before are used again.

        torch finds out the sizes of many operations in Python, slowly; the steps of a loop are all alike.
        """
        if schema.is_view or (schema.written and not schema.is_elementwise):
            return func(*args, **kwargs)
        key = _key(func, args, kwargs)
        if key in self._results:
            if schema.written:
                return bind(func, args, kwargs)[schema.written[0]]
            results = [
                torch.empty_strided(*form[:2], dtype=form[2], device="meta")
                for form in self._results[key]
            ]
            return results[0] if len(results) == 1 else tuple(results)
        result = func(*args, **kwargs)
        if key is not None and _is_plain(result, schema, args):
            self._results[key] = [
                (tensor.shape, tensor.stride(), tensor.dtype) for tensor in tensors_in(result)
            ]
        return result

    def _forget_written(self, bound: dict[str, Any], schema: Schema) -> None:
        for name in schema.written:
            for tensor in tensors_in(bound[name]):
                if not tensor.is_meta:
                    storage = tensor.untyped_storage()
                    self._overwritten[storage._cdata] = storage

    def _with_positions(self, name: str, bound: dict[str, Any], result: Any) -> Any:
        """The result with real positions in place of unknown ones, spread evenly over the dimension."""
        positions = next(
            (tensor for tensor in tensors_in(result) if tensor.dtype is torch.int64), None
        )
        source = bound["self"]
        if (
            positions is None
            or bound.get("dim") is None
            or source.dim() == 0
            or positions.numel() > MOST_ELEMENTS
        ):
            return result
        dim = bound["dim"] % source.dim()
        self.assumed[name] = None
        spread = _spread(
            positions.shape, dim, source.shape[dim], keeps=positions.dim() == source.dim()
        )
        return _replaced(result, lambda tensor: spread if tensor is positions else tensor)


def _is_for_gradients(kwargs: dict[str, Any]) -> bool:
    """Whether a backward pass makes floats to add gradients to, which stay with the gradients on the meta device."""
    # What checkpointing runs once more there has gradients of its own.
    in_backward = torch._C._current_graph_task_id() >= 0 and not torch.is_grad_enabled()
    device = kwargs.get("device")
    return in_backward and device == torch.device("meta") and not _is_whole(kwargs.get("dtype"))


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The result with values; a histogram of integers, which only accelerators have, by way of floats."""
    if func is torch.ops.aten.histc.default and not args[0].is_floating_point():
        return func(args[0].double(), *args[1:], **kwargs).to(args[0].dtype)
    return func(*args, **kwargs)


def _grouped_product(bound: dict[str, Any]) -> Tensor:
    """The result of a grouped product of any dtype; torch's own meta kernel knows bfloat16 alone."""
    a, b = bound["self"], bound["mat2"]
    shape = [*a.shape[:-1], b.shape[-1]]
    if a.dim() == b.dim() == 2:  # the dimension that is summed over is cut into groups
        shape = [bound["offs"].shape[0], *shape]
    elif a.dim() == 3 and b.dim() == 2:  # the columns are
        shape = [a.shape[1], b.shape[1]]
    return torch.empty(shape, dtype=bound.get("out_dtype") or a.dtype, device="meta")


def _by_mask(func: Any, args: Any) -> Tensor:
    """Elements without values that a mask with values selects: by the positions where it is true."""
    source, masks = args
    if func is torch.ops.aten.masked_select.default:
        shape = torch.broadcast_shapes(source.shape, masks.shape)  # type: ignore[no-untyped-call]
        source, masks = source.expand(shape), [masks.expand(shape)]
    positions: list[Tensor | None] = []
    for index in masks:
        is_mask = index is not None and index.dtype in (torch.bool, torch.uint8)
        positions += (
            [part.to("meta") for part in index.nonzero(as_tuple=True)] if is_mask else [index]
        )
    selected: Tensor = torch.ops.aten.index.Tensor(_meta(source), _replaced(positions, _meta))
    return selected


def reads_values(func: Any, args: Any) -> bool:
    """Whether an operation needs the values of its tensors to give its result or the result's shape."""
    if func is torch.ops.aten.index.Tensor:
        return any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
    return schema_of(func).needs_values


def without_values(arguments: Any) -> Any:
    """The arguments with real tensors of floats replaced by such as have no data."""
    return _replaced(
        arguments, lambda tensor: _meta(tensor) if _is_real_float(tensor) else tensor
    )


def as_meta(arguments: Any) -> Any:
    """The arguments with all tensors replaced by such as have no data."""
    return _replaced(arguments, _meta)


def _is_real_float(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and not tensor.is_meta


def _replaced(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A nested structure with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _replaced(part, change) for key, part in value.items()}
    if isinstance(value, list | tuple) and tensors_in(value):
        parts = [_replaced(part, change) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    return value


def _key(func: Any, args: Any, kwargs: dict[str, Any]) -> Hashable:
    """The operation and the forms of its arguments; None where an argument has no hash."""
    key = func, _form(args), _form(tuple(kwargs.items()))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _is_plain(result: Any, schema: Schema, args: Any) -> bool:
    """Whether shape, stride and dtype are all there is to a result.

    So are fresh tensors without data, and the one argument that was written into.
    """
    results = tensors_in(result)
    if schema.written:
        return len(schema.written) == 1 and result is args[0]
    sources = tensors_in(args)
    given = set(map(id, sources))
    fresh = all(tensor.is_meta and id(tensor) not in given for tensor in results)
    flat = isinstance(result, Tensor) or (
        isinstance(result, tuple) and len(result) == len(results) > 1
    )
    return fresh and flat


def _form(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype
    if isinstance(value, list | tuple):
        return tuple(map(_form, value))
    return (type(value), value)


def _spread(shape: torch.Size, dim: int, size: int, *, keeps: bool) -> Tensor:
    """Positions 0 .. size - 1 in turn, row after row, so that each is taken about as often as the others."""
    positions = torch.arange(prod(shape), device="cpu") % size
    if not keeps:
        return positions.reshape(shape)
    return positions.reshape([*shape[:dim], *shape[dim + 1 :], shape[dim]]).movedim(-1, dim)


def _meta(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _is_whole(dtype: torch.dtype | None) -> bool:
    return dtype is not None and not dtype.is_floating_point and not dtype.is_complex


def _on(schema: Schema, kwargs: dict[str, Any], device: str) -> dict[str, Any]:
    """The keywords with `device` set, where a device was named or the operation makes a tensor from sizes alone."""
    if not schema.takes_device:
        return kwargs
    moved = {key: value for key, value in kwargs.items() if key != "pin_memory"}
    if kwargs.get("device") is not None or not schema.starts_with_tensor:
        moved["device"] = torch.device(device)
    return moved
