"""How operations that rearrange a tensor carry receptive fields: views, cuts, padding, repetition, joining."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from torch import Tensor

from losslab.accounting.axes import (
    Axes,
    Dimension,
    Factor,
    combined,
    gathered,
    lost,
    permuted,
    reshaped,
    running_along,
    tidy,
)
from losslab.accounting.call import Call, FieldRule, named
from losslab.accounting.moving import ended, in_order, rearranged, stepped, taken


def _reshape(call: Call, output: Tensor) -> Axes:
    axes = call.axes(call["self"])
    # A view as another type has more or fewer units.
    if prod(output.shape) != prod(axes.shape):
        return lost([axes], output.shape)
    return reshaped(axes, output.shape)


def _transpose(call: Call, output: Tensor) -> Axes:
    order = list(range(output.dim()))
    if "dim0" in call.arguments:
        dim0, dim1 = call["dim0"], call["dim1"]
        order[dim0], order[dim1] = dim1 % output.dim(), dim0 % output.dim()
    elif "dims" in call.arguments:
        order = [dim % output.dim() for dim in call["dims"]]
    else:
        order.reverse()
    return permuted(call.axes(call["self"]), order)


def _pad(call: Call, output: Tensor) -> Axes:
    amounts = call.arguments.get("pad") or call["padding"]
    sides = list(zip(amounts[::2], amounts[1::2], strict=True))[::-1]
    before = [left for left, _ in sides]
    if not call.name.startswith("constant"):
        return _continued(call, before, output)
    axes = call.axes(call["self"])
    for dim, (left, right) in enumerate(sides, start=output.dim() - len(sides)):
        # Less than no padding is a crop.
        start = max(0, -left)
        axes = taken(axes, dim, start, 1, axes.shape[dim] - start - max(0, -right))
    moves = [lambda seen, left=left: seen.windowed(1, 1, max(0, left)) for left in before]
    axes = ended(axes, [max(pair) for pair in sides], [True] * len(sides))
    return stepped(axes, list(zip(output.shape[-len(before) :], moves, strict=True)))


def _continued(call: Call, before: Sequence[int], output: Tensor) -> Axes:
    """After padding with the tensor's own units, mirrored at its ends or the last one over and over."""
    axes = call.axes(call["self"])
    for dim, left in enumerate(before, start=output.dim() - len(before)):
        last = axes.shape[dim] - 1
        positions = range(-left, output.shape[dim] - left)
        if "reflection" in call.name:
            order = [last - abs(last - abs(position)) for position in positions]
        else:
            order = [min(max(position, 0), last) for position in positions]
        axes = in_order(axes, dim, order)
    return axes


def _slice(call: Call, output: Tensor) -> Axes:
    axes, dim = call.axes(call["self"]), call["dim"] % output.dim()
    size, start = axes.shape[dim], call["start"] or 0
    start = max(0, start + size) if start < 0 else min(start, size)
    return taken(axes, dim, start, call["step"], output.shape[dim])


def _split(call: Call, output: Tensor) -> Axes:
    axes, dim = call.axes(call["self"]), call["dim"] % output.dim()
    start = 0
    for part in call.outputs:
        if part is output:
            break
        start += part.shape[dim]
    return taken(axes, dim, start, 1, output.shape[dim])


def _repeat(call: Call, output: Tensor) -> Axes:
    """Whole copies one after the other: the copies are the outer factor."""
    axes, times = call.axes(call["self"]), call["repeats"]
    new = len(times) - len(axes.dims)
    dims: list[Dimension] = [(Factor(size),) for size in output.shape[:new]]
    unknown: set[int] = set()
    for dim, count in zip(axes.dims, times[new:], strict=True):
        size = count * prod(factor.size for factor in dim)
        if count == 1 or not running_along(dim):
            dims.append(dim if count == 1 else (Factor(size),))
        else:
            copies, gone = rearranged([dim] * count, size)
            dims.append(copies)
            unknown |= gone
    return tidy(dims, axes.unbounded | unknown)


def _roll(call: Call, output: Tensor) -> Axes:
    axes = call.axes(call["self"])
    if not call["dims"]:
        return lost([axes], output.shape)
    for shift, dim in zip(call["shifts"], call["dims"], strict=True):
        size = output.shape[dim]
        axes = in_order(axes, dim % output.dim(), [(i - shift) % size for i in range(size)])
    return axes


def _flip(call: Call, output: Tensor) -> Axes:
    axes = call.axes(call["self"])
    for dim in call["dims"]:
        axes = in_order(axes, dim % output.dim(), range(output.shape[dim] - 1, -1, -1))
    return axes


def _select(call: Call, _: Tensor) -> Axes:
    return gathered(call.axes(call["self"]), [call["dim"]], keep=False)


def _join(call: Call, output: Tensor) -> Axes:
    dim = call["dim"] % output.dim()
    sources = [
        call.axes(tensor)
        for tensor in call["tensors"]
        if tensor.dim() == output.dim() or call.name == "stack"
    ]
    if call.name == "stack":
        parts = [
            replace(axes, dims=(*axes.dims[:dim], (Factor(1),), *axes.dims[dim:]))
            for axes in sources
        ]
        return combined(parts, output.shape)
    along, unknown = rearranged([axes.dims[dim] for axes in sources], output.shape[dim])
    across = [
        tidy((*axes.dims[:dim], (Factor(1),), *axes.dims[dim + 1 :]), axes.unbounded)
        for axes in sources
    ]
    joined = combined(across, output.shape)
    return tidy(
        (*joined.dims[:dim], along, *joined.dims[dim + 1 :]), joined.unbounded | unknown
    )


SHAPES: dict[str, FieldRule] = {
    "slice": _slice,
    "repeat": _repeat,
    "roll": _roll,
    "flip": _flip,
    "select": _select,
    "unbind": _select,
    **named(_reshape, "view _unsafe_view _reshape_alias _reshape_copy unsqueeze squeeze"),
    **named(_transpose, "permute transpose t"),
    **named(
        _pad,
        "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
        "replication_pad2d replication_pad3d",
    ),
    **named(_split, "split split_with_sizes unsafe_split unsafe_split_with_sizes"),
    **named(_join, "cat stack"),
}
