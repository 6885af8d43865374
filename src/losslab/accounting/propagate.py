"""How each operation carries receptive fields from its arguments to its results.

What no rule here knows makes every axis that reaches the result unbounded: a field is exact or it is not claimed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import prod

from torch import Tensor

from losslab.accounting.axes import (
    MOST_LISTED,
    Axes,
    Dimension,
    Factor,
    collapsed,
    combined,
    gathered,
    lost,
    mixed,
    permuted,
    plain,
    reshaped,
    running_along,
    tidy,
)
from losslab.accounting.call import Call
from losslab.accounting.receptive_field import Field, Span, hull

Step = Callable[[Field], Field | None]
Rule = Callable[[Call, Tensor], Axes]


def pointwise(call: Call, output: Tensor) -> Axes:
    """Of an operation whose elements each depend on those at their own position."""
    return combined([call.axes(tensor) for tensor in call.tensors], output.shape)


def _first_only(call: Call, output: Tensor) -> Axes:
    return combined([call.axes(call.tensors[0])], output.shape)


def _fresh(_: Call, output: Tensor) -> Axes:
    return plain(output.shape)


def _copy(call: Call, output: Tensor) -> Axes:
    source = call["src"] if "src" in call.arguments else call["self"]
    return combined([call.axes(source)], output.shape)


def _reshape(call: Call, output: Tensor) -> Axes:
    return reshaped(call.axes(call["self"]), output.shape)


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


def _dims(call: Call, name: str = "dim") -> list[int]:
    value = call.arguments.get(name)
    if value is None or value == []:
        return list(range(call.tensors[0].dim()))
    return list(value) if isinstance(value, Sequence) else [value]


def _reduce(call: Call, _: Tensor) -> Axes:
    return gathered(
        call.axes(call.tensors[0]), _dims(call), keep=bool(call.arguments.get("keepdim"))
    )


def _mix(call: Call, _: Tensor) -> Axes:
    return mixed(call.axes(call.tensors[0]), _dims(call))


def _layer_norm(call: Call, _: Tensor) -> Axes:
    return mixed(call.axes(call["input"]), range(-len(call["normalized_shape"]), 0))


def _group_norm(call: Call, _: Tensor) -> Axes:
    return mixed(call.axes(call["input"]), range(1, call["input"].dim()))


def _batch_norm(call: Call, output: Tensor) -> Axes:
    statistics = [0, *range(2, call["input"].dim())]
    return (
        mixed(call.axes(call["input"]), statistics)
        if call["training"]
        else _first_only(call, output)
    )


def _product(left: str, right: str) -> Rule:
    def rule(call: Call, output: Tensor) -> Axes:
        a, b = call.axes(call[left]), call.axes(call[right])
        inner = {*running_along(a.dims[-1]), *running_along(b.dims[-2:][0])}
        columns = b.dims[-1:] if len(b.dims) > 1 else ()
        rows = tidy((*a.dims[:-1], *((Factor(1),) for _ in columns)), a.unbounded | inner)
        others = tidy(
            (*b.dims[:-2], *((Factor(1),) for _ in a.dims[-2:-1]), *columns),
            b.unbounded | inner,
        )
        factors = call[left], call[right]
        added = [
            call.axes(tensor)
            for tensor in call.tensors
            if not any(tensor is factor for factor in factors)
        ]
        return combined([*added, rows, others], output.shape)

    return rule


def _stepped(
    axes: Axes, steps: Sequence[tuple[int, Step]], *, channels: int | None = None
) -> Axes:
    """After an operation that moves each of the last dimensions by a step to a new size, and may mix the channels."""
    dims, unknown = list(axes.dims), set(axes.unbounded)
    for index, (size, step) in enumerate(steps, start=-len(steps)):
        dims[index], gone = _step(dims[index], size, step)
        unknown |= gone
    if channels is not None:
        index = -len(steps) - 1
        unknown.update(running_along(dims[index]))
        dims[index] = (Factor(channels),)
    return tidy(dims, unknown)


def _step(dim: Dimension, size: int, step: Step) -> tuple[Dimension, set[int]]:
    numbers = set(running_along(dim))
    whole = collapsed(dim)
    if whole is None:
        return (Factor(size),), numbers
    moved = {number: _moved(seen, size, step) for number, seen in whole.fields.items()}
    known = {number: seen for number, seen in moved.items() if seen is not None}
    return (Factor(size, known),), numbers - known.keys()


class _Reads(Field):
    """Stands for a field and notes which units a step reads of it."""

    def seen_through(
        self,
        read: Callable[[int], Iterable[int]],
        step: int,  # noqa: ARG002 - which units are read does not depend on it
        per: int = 1,  # noqa: ARG002
    ) -> Field:
        """Keep what the step reads."""
        object.__setattr__(self, "read", read)
        return self


def _moved(seen: Field, size: int, step: Step) -> Field | None:
    """A field after a step; of a listed one unit by unit, by what the step reads."""
    if not seen.listed:
        return step(seen)
    reads = step(_Reads())
    if reads is None:
        return None
    read: Callable[[int], Iterable[int]] = reads.read  # type: ignore[attr-defined]
    return Field(
        tuple(hull(map(seen.span, read(unit))) for unit in range(size)), 0, True, seen.positions
    )


def _convolution(call: Call, output: Tensor) -> Axes:
    kernel = call["weight"].shape[2:]
    space = len(kernel)
    step = Field.transposed if call["transposed"] else Field.windowed
    options = [call.per_dim(name, space) for name in ("stride", "padding", "dilation")]
    values = list(zip(kernel, *options, strict=True))
    moves = [lambda seen, v=v: step(seen, *v) for v in values]
    axes = call.axes(call["input"])
    if not call["transposed"]:
        # A unit at the edge reads nothing but padding where that is wider than the kernel.
        wide = [padding > (taps - 1) * dilation for taps, _, padding, dilation in values]
        axes = _ended(axes, options[1], wide)
    axes = tidy(axes.dims, axes.unbounded | call.axes(call["weight"]).reaching)
    return _stepped(
        axes, list(zip(output.shape[2:], moves, strict=True)), channels=output.shape[1]
    )


def _pool(call: Call, output: Tensor) -> Axes:
    moves = [lambda seen, v=v: seen.windowed(*v) for v in zip(*call.pool_window, strict=True)]
    _, strides, paddings, _ = call.pool_window
    # The last window may reach as far as its stride beyond the end.
    beyond = [stride + padding for stride, padding in zip(strides, paddings, strict=True)]
    return _stepped(
        _ended(call.axes(call["self"]), beyond),
        list(zip(output.shape[-len(moves) :], moves, strict=True)),
    )


def _adaptive_pool(call: Call, output: Tensor) -> Axes:
    def move(size: int, result: int) -> Step:
        window = size // result
        return lambda seen: (
            seen.windowed(window, window) if result > 1 and size % result == 0 else None
        )

    space = 3 if "3d" in call.name else 2
    sizes = zip(call["self"].shape[-space:], output.shape[-space:], strict=True)
    return _stepped(
        call.axes(call["self"]), [(result, move(size, result)) for size, result in sizes]
    )


def _resample(call: Call, output: Tensor) -> Axes:
    def move(size: int, result: int) -> Step:
        scale = result // size
        if result % size:
            return lambda _: None
        if "nearest" in call.name:
            return lambda seen: seen.transposed(scale, scale)
        linear = "bicubic" not in call.name and not call["align_corners"]
        return lambda seen: seen.interpolated(scale) if linear else None

    sizes = list(zip(call["self"].shape[2:], output.shape[2:], strict=True))
    axes = call.axes(call["self"])
    # At an edge the nearer two units are one, and the other is none.
    if "nearest" not in call.name:
        axes = _ended(axes, [1] * len(sizes))
    return _stepped(axes, [(result, move(size, result)) for size, result in sizes])


def _pixel_shuffle(call: Call, output: Tensor) -> Axes:
    up = call.arguments.get("upscale_factor")
    factor = up or call["downscale_factor"]
    move = (
        (lambda seen: seen.transposed(factor, factor))
        if up
        else (lambda seen: seen.windowed(factor, factor))
    )
    steps = [(size, move) for size in output.shape[-2:]]
    return _stepped(call.axes(call["self"]), steps, channels=output.shape[-3])


def _pad(call: Call, output: Tensor) -> Axes:
    amounts = call.arguments.get("pad") or call["padding"]
    sides = list(zip(amounts[::2], amounts[1::2], strict=True))[::-1]
    before = [left for left, _ in sides]
    if not call.name.startswith("constant") and max(output.shape[-len(sides) :]) <= MOST_LISTED:
        return _continued(call, before, output)
    axes = call.axes(call["self"])
    for dim, (left, right) in enumerate(sides, start=output.dim() - len(sides)):
        # Less than no padding is a crop.
        start = max(0, -left)
        axes = _taken(axes, dim, start, 1, axes.shape[dim] - start - max(0, -right))
    moves = [lambda seen, left=left: seen.windowed(1, 1, max(0, left)) for left in before]
    axes = _ended(axes, [max(pair) for pair in sides], [True] * len(sides))
    return _stepped(axes, list(zip(output.shape[-len(before) :], moves, strict=True)))


def _continued(call: Call, before: Sequence[int], output: Tensor) -> Axes:
    """After padding with the tensor's own units, mirrored at its ends or the last one over and over."""
    axes = call.axes(call["self"])
    for dim, left in enumerate(before, start=output.dim() - len(before)):
        last = axes.shape[dim] - 1
        places = range(-left, output.shape[dim] - left)
        if "reflection" in call.name:
            order = [last - abs(last - abs(place)) for place in places]
        else:
            order = [min(max(place, 0), last) for place in places]
        axes = _in_order(axes, dim, order)
    return axes


def _ended(axes: Axes, beyond: Sequence[int], alone: Sequence[bool] = ()) -> Axes:
    """For an operation that reads so many units beyond each of the last dimensions, which are padding now.

    Where these units would have seen the input, those of the dimension are listed one by one.
    """
    dims = list(axes.dims)
    alone = alone or [False] * len(beyond)
    for index, (amount, apart) in enumerate(
        zip(beyond, alone, strict=True), start=-len(beyond)
    ):
        whole = collapsed(dims[index])
        if whole is None or whole.size > MOST_LISTED:
            continue
        size = whole.size
        fields = {
            number: seen
            if seen.ends_with_input(size, amount, alone=apart)
            else seen.as_list(size)
            for number, seen in whole.fields.items()
        }
        dims[index] = (Factor(size, fields),)
    return replace(axes, dims=tuple(dims))


def _slice(call: Call, output: Tensor) -> Axes:
    axes, dim = call.axes(call["self"]), call["dim"] % output.dim()
    size, start = axes.shape[dim], call["start"] or 0
    start = max(0, start + size) if start < 0 else min(start, size)
    return _taken(axes, dim, start, call["step"], output.shape[dim])


def _taken(axes: Axes, dim: int, start: int, step: int, units: int) -> Axes:
    """Every so manieth unit of a dimension from one on; where units are cut off, the rest is listed one by one."""
    size = axes.shape[dim]
    if start == 0 and step == 1 and units == size:
        return axes
    whole = collapsed(axes.dims[dim])
    source = axes.dims[dim] if whole is None else (whole,)
    cut = start > 0 or start + units * step < size
    if whole is not None and cut and size <= MOST_LISTED:
        source = (
            Factor(size, {number: seen.as_list(size) for number, seen in whole.fields.items()}),
        )
    moved, gone = _step(source, units, lambda seen: seen.windowed(1, step, -start))
    return tidy((*axes.dims[:dim], moved, *axes.dims[dim + 1 :]), axes.unbounded | gone)


def _split(call: Call, output: Tensor) -> Axes:
    axes, dim = call.axes(call["self"]), call["dim"] % output.dim()
    start = 0
    for part in call.outputs:
        if part is output:
            break
        start += part.shape[dim]
    return _taken(axes, dim, start, 1, output.shape[dim])


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
            copies, gone = _rearranged([dim] * count, size)
            dims.append(copies)
            unknown |= gone
    return tidy(dims, axes.unbounded | unknown)


def _rearranged(parts: Sequence[Dimension], size: int) -> tuple[Dimension, set[int]]:
    """Dimensions one after the other as one, listed unit by unit; and the axes that are then unknown."""
    numbers = {number for part in parts for number in running_along(part)}
    wholes = [collapsed(part) for part in parts]
    if size > MOST_LISTED or not numbers:
        return (Factor(size),), numbers
    fields = {}
    for number in numbers:
        spans: list[Span | None] = []
        positions: int | None = None
        for whole in wholes:
            if whole is None:
                return (Factor(size),), numbers
            seen = whole.fields.get(number)
            if seen is None:
                spans += [None] * whole.size
            else:
                spans += seen.as_list(whole.size).spans
                positions = seen.positions
        fields[number] = Field(tuple(spans), 0, True, positions)
    return (Factor(size, fields),), set()


def _in_order(axes: Axes, dim: int, order: Sequence[int]) -> Axes:
    """The units of a dimension in another order."""
    whole = collapsed(axes.dims[dim])
    if whole is None or whole.size > MOST_LISTED:
        return mixed(axes, [dim])
    fields = {number: seen.in_order(order) for number, seen in whole.fields.items()}
    return tidy(
        (*axes.dims[:dim], (Factor(len(order), fields),), *axes.dims[dim + 1 :]), axes.unbounded
    )


def _roll(call: Call, output: Tensor) -> Axes:
    axes = call.axes(call["self"])
    if not call["dims"]:
        return lost([axes], output.shape)
    for shift, dim in zip(call["shifts"], call["dims"], strict=True):
        size = output.shape[dim]
        axes = _in_order(axes, dim % output.dim(), [(i - shift) % size for i in range(size)])
    return axes


def _flip(call: Call, output: Tensor) -> Axes:
    axes = call.axes(call["self"])
    for dim in call["dims"]:
        axes = _in_order(axes, dim % output.dim(), range(output.shape[dim] - 1, -1, -1))
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
    along, unknown = _rearranged([axes.dims[dim] for axes in sources], output.shape[dim])
    across = [
        tidy((*axes.dims[:dim], (Factor(1),), *axes.dims[dim + 1 :]), axes.unbounded)
        for axes in sources
    ]
    joined = combined(across, output.shape)
    return tidy(
        (*joined.dims[:dim], along, *joined.dims[dim + 1 :]), joined.unbounded | unknown
    )


def _embedding(call: Call, output: Tensor) -> Axes:
    indices = call.axes(call["indices"])
    return tidy((*indices.dims, (Factor(output.shape[-1]),)), indices.unbounded)


def _named(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


AXES: dict[str, Rule] = {
    "convolution": _convolution,
    "mm": _product("self", "mat2"),
    "addmm": _product("mat1", "mat2"),
    "bmm": _product("self", "mat2"),
    "baddbmm": _product("batch1", "batch2"),
    "mv": _product("self", "vec"),
    "addmv": _product("mat", "vec"),
    "native_batch_norm": _batch_norm,
    "native_layer_norm": _layer_norm,
    "_fused_rms_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "embedding": _embedding,
    "slice": _slice,
    "repeat": _repeat,
    "roll": _roll,
    "flip": _flip,
    "select": _select,
    "unbind": _select,
    **_named(
        _first_only,
        "_native_batch_norm_legit_no_training native_dropout detach expand clone _to_copy alias",
    ),
    **_named(_copy, "copy"),
    **_named(_fresh, "bernoulli fill zero uniform normal random"),
    **_named(
        _fresh,
        "empty_like zeros_like ones_like full_like rand_like randn_like new_empty new_zeros new_ones",
    ),
    **_named(_reshape, "view _unsafe_view _reshape_alias _reshape_copy unsqueeze squeeze"),
    **_named(_transpose, "permute transpose t"),
    **_named(
        _reduce,
        "mean sum amax amin max min prod var std linalg_vector_norm norm logsumexp argmax argmin all any",
    ),
    **_named(_mix, "_softmax _safe_softmax _log_softmax cumsum cumprod logcumsumexp"),
    **_named(_pool, "avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices"),
    **_named(
        _adaptive_pool,
        "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d",
    ),
    **_named(
        _resample,
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d "
        "_upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d",
    ),
    **_named(_pixel_shuffle, "pixel_shuffle pixel_unshuffle"),
    **_named(
        _pad,
        "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d "
        "replication_pad3d",
    ),
    **_named(_split, "split split_with_sizes unsafe_split unsafe_split_with_sizes"),
    **_named(_join, "cat stack"),
}
