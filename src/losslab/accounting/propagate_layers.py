"""How layers carry receptive fields: products, convolutions, pooling, resampling, embeddings."""

from torch import Tensor

from losslab.accounting.axes import Axes, Factor, combined, lost, running_along, tidy
from losslab.accounting.call import Call, FieldRule, named
from losslab.accounting.moving import Step, ended, stepped
from losslab.accounting.receptive_field import Field


def _product(left: str, right: str) -> FieldRule:
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
        axes = ended(axes, options[1], wide)
    # Weights that are computed from the input let all of it reach every result.
    computed = [
        call[name] for name in ("weight", "bias") if call.arguments.get(name) is not None
    ]
    reaching = {number for tensor in computed for number in call.axes(tensor).reaching}
    axes = tidy(axes.dims, axes.unbounded | reaching)
    return stepped(
        axes, list(zip(output.shape[2:], moves, strict=True)), channels=output.shape[1]
    )


def _pool(call: Call, output: Tensor) -> Axes:
    moves = [lambda seen, v=v: seen.windowed(*v) for v in zip(*call.pool_window, strict=True)]
    _, strides, paddings, _ = call.pool_window
    # The last window may reach as far as its stride beyond the end.
    beyond = [stride + padding for stride, padding in zip(strides, paddings, strict=True)]
    return stepped(
        ended(call.axes(call["self"]), beyond),
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
    return stepped(
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
    scales = [value for name, value in call.arguments.items() if name.startswith("scales")]
    given = scales[0] if scales and isinstance(scales[0], list | tuple) else scales
    # Where a scale is given and is no whole one, torch reads by it, and not by the sizes.
    for (size, result), scale in zip(sizes, given, strict=False):
        if scale is not None and size * scale != result:
            return lost([axes], output.shape)
    # At an edge the nearer two units are one, and the other is none.
    if "nearest" not in call.name:
        axes = ended(axes, [1] * len(sizes))
    return stepped(axes, [(result, move(size, result)) for size, result in sizes])


def _pixel_shuffle(call: Call, output: Tensor) -> Axes:
    up = call.arguments.get("upscale_factor")
    factor = up or call["downscale_factor"]
    move = (
        (lambda seen: seen.transposed(factor, factor))
        if up
        else (lambda seen: seen.windowed(factor, factor))
    )
    steps = [(size, move) for size in output.shape[-2:]]
    return stepped(call.axes(call["self"]), steps, channels=output.shape[-3])


def _embedding(call: Call, output: Tensor) -> Axes:
    indices = call.axes(call["indices"])
    return tidy((*indices.dims, (Factor(output.shape[-1]),)), indices.unbounded)


LAYERS: dict[str, FieldRule] = {
    "convolution": _convolution,
    "mm": _product("self", "mat2"),
    "addmm": _product("mat1", "mat2"),
    "bmm": _product("self", "mat2"),
    "baddbmm": _product("batch1", "batch2"),
    "mv": _product("self", "vec"),
    "addmv": _product("mat", "vec"),
    "embedding": _embedding,
    **named(_pool, "avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices"),
    **named(
        _adaptive_pool,
        "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d",
    ),
    **named(
        _resample,
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d "
        "_upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d "
        "upsample_trilinear3d upsample_bicubic2d",
    ),
    **named(_pixel_shuffle, "pixel_shuffle pixel_unshuffle"),
}
