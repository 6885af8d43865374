"""What each operation is, and the arithmetic of its multiply-accumulates.

An operation that no rule here knows is reported as *not counted*; nothing is taken for free by default.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil, log2

from losslab.accounting.call import Call
from losslab.accounting.formulas import NOTHING, Formula, times, units, window_size


@dataclass(frozen=True)
class Work:
    """The kind of an operation and what it costs.

    Attributes:
        kind: what a table calls it.
        macs: multiply-accumulates of convolutions and matrix products, bias excluded.
        operations: elements that other arithmetic reads; kept apart from MACs.
        detail: kernel, stride and the like in words.
        sizes: the arithmetic of the output's height and width, where a window slides.
        inner: length of the sums of a matrix product, as the product that it was flattened from.
        counted: False where no rule knows the operation.
    """

    kind: str
    macs: Formula = NOTHING
    operations: Formula = NOTHING
    detail: str = ""
    sizes: tuple[Formula, ...] = ()
    inner: Formula = NOTHING
    counted: bool = True


APART = frozenset(
    {"elementwise", "softmax", "move", "random", "view", "create", "weights", "constant"}
)
"""Kinds that transform, move or make elements without forming new units; a table lists them apart.

``weights`` and ``constant`` are work on parameters or constants alone, such as their normalisation.
"""
SILENT = frozenset({"view", "create"})
"""Kinds without any work: another look at the same memory, or a constant."""


def _sides(values: Iterable[int]) -> str:
    return "x".join(map(str, values))


def _per_axis(values: list[int]) -> str:
    return _sides(values if len(set(values)) > 1 else values[:1])


def elements(shape: Iterable[int]) -> Formula:
    """The product of the sizes."""
    return times(*([size for size in shape if size != 1] or [1]))


def _convolution(call: Call) -> Work:
    weight, space = call["weight"], len(call["weight"].shape) - 2
    kernel, groups = tuple(weight.shape[2:]), call["groups"]
    stride, padding, dilation = (
        call.per_dim(name, space) for name in ("stride", "padding", "dilation")
    )
    shape, source = call.shape, tuple(call["input"].shape)
    words = [_sides(kernel), f"stride {_per_axis(stride)}", f"padding {_per_axis(padding)}"]
    if max(dilation) > 1:
        words.append(f"dilation {_per_axis(dilation)}")
    if groups > 1:
        words.append(f"groups {groups}")
    if call["transposed"]:
        macs = times(*_batched(source), times(*kernel, weight.shape[1]))
        return Work("conv-transposed", macs, detail=", ".join(words))
    sizes = map(window_size, source[2:], kernel, stride, padding, dilation)
    macs = times(*_batched(shape), times(*kernel, weight.shape[1]))
    return Work("conv", macs, detail=", ".join(words), sizes=tuple(sizes))


def _batched(shape: tuple[int, ...]) -> tuple[int | Formula, ...]:
    return units(shape[1:], shape[0]).parts


def _product(left: str, right: str) -> Callable[[Call], Work]:
    """Of (..., rows, inner) and (..., inner, columns): each result takes ``inner`` multiply-accumulates."""

    def work(call: Call) -> Work:
        a, b = call[left], call[right]
        first, *rest = [factor.size for factor in call.axes(a).dims[-1]]
        inner = times(*rest, first)
        results = [size for size in (*a.shape[:-1], *b.shape[1:][-1:]) if size != 1]
        detail = f"{_sides(a.shape)} by {_sides(b.shape)}"
        return Work(
            "matmul", times(*results, inner if rest else first), detail=detail, inner=inner
        )

    return work


def _grouped(call: Call) -> Work:
    """Rows sorted into groups, each group with a matrix of its own: every row is multiplied once.

    With two plain matrices it is the dimension summed over that is cut into groups; a stack by a plain matrix cuts the
    columns of that. In each case every element of the left one meets the columns of its own group alone.
    """
    a, b = call.tensors[:2]
    columns = b.shape[-1]
    stacked = a.shape[1:] if a.dim() == 3 and b.dim() == 2 else a.shape
    detail = f"{_sides(a.shape)} by {_sides(b.shape)}, grouped"
    return Work(
        "matmul", times(*(size for size in (*stacked, columns) if size != 1)), detail=detail
    )


def _fft(call: Call) -> Work:
    """A fast transform combines all elements once for every halving of the transformed sizes."""
    source = max((call["self"], call.outputs[0]), key=lambda tensor: tensor.numel())
    halvings = sum(ceil(log2(max(2, source.shape[dim]))) for dim in call["dim"])
    return Work(
        "fft", operations=times(*elements(source.shape).parts, halvings), detail=call.name
    )


def _deformable(call: Call) -> Work:
    """A convolution whose taps are read at learned positions; reading between pixels stands apart."""
    weight = call["weight"]
    macs = times(*_batched(call.shape), times(*weight.shape[2:], weight.shape[1]))
    words = [
        _sides(weight.shape[2:]),
        "deformable",
        f"stride {_per_axis([call['stride_h'], call['stride_w']])}",
    ]
    return Work("conv", macs, detail=", ".join(words))


def _roi_align(call: Call) -> Work:
    """Samples of every cell are averaged; with no fixed number of samples, one for each cell is told."""
    samples = max(1, call["sampling_ratio"]) ** 2
    return Work(
        "pool",
        operations=times(*elements(call.shape).parts, samples),
        detail="region of interest",
    )


def _trilinear(call: Call) -> Work:
    """One multiply-accumulate for every term of the sum over products of three."""
    whole = [call["i1"], call["i2"], call["i3"]]
    for index, name in enumerate(("expand1", "expand2", "expand3")):
        for dim in call[name]:
            whole[index] = whole[index].unsqueeze(dim)
    sizes = [max(sizes) for sizes in zip(*(tensor.shape for tensor in whole), strict=True)]
    return Work("matmul", times(*sizes), detail="bilinear form")


def _pool(call: Call) -> Work:
    kernel, stride, padding, dilation = call.pool_window
    source, ceil = call["self"].shape[-len(kernel) :], call["ceil_mode"]
    sizes = [
        window_size(*side, ceil=ceil)
        for side in zip(source, kernel, stride, padding, dilation, strict=True)
    ]
    pairs = zip(sizes, call.shape[-len(kernel) :], strict=True)
    # Torch drops a window that begins in padding.
    sizes = [formula for formula, size in pairs if int(formula) == size]
    detail = f"{_sides(kernel)}, stride {_per_axis(stride)}, padding {_per_axis(padding)}"
    return Work(
        "pool",
        operations=times(*_batched(call.shape), times(*kernel)),
        detail=detail,
        sizes=tuple(sizes),
    )


def _conv_tbc(call: Call) -> Work:
    """Of (time, batch, channels) by a weight of (kernel, input channels, output channels)."""
    kernel, channels, _ = call["weight"].shape
    macs = times(*_batched(call.shape), times(kernel, channels))
    return Work("conv", macs, detail=f"{kernel}, padding {call['pad']}")


def _affine_grid(call: Call) -> Work:
    """Every position, as a vector with a 1 in the end, is multiplied by the sample's matrix."""
    rows, inner = call["theta"].shape[1:]
    macs = times(*call.shape[:-1], rows, inner)
    return Work("matmul", macs, detail=call.name, inner=times(inner))


def _loss(call: Call) -> Work:
    """One number of many; without a reduction, elementwise work."""
    source = call.tensors[0].shape
    kind = "elementwise" if call.shape == tuple(source) else "reduce"
    return Work(kind, operations=elements(source), detail=call.name)


def _reads_input(kind: str) -> Callable[[Call], Work]:
    return lambda call: Work(kind, operations=elements(call.tensors[0].shape))


def _makes_output(kind: str) -> Callable[[Call], Work]:
    return lambda call: Work(kind, operations=elements(call.shape), detail=call.name)


def _free(kind: str) -> Callable[[Call], Work]:
    return lambda call: Work(kind, detail=call.name)


def _kinds(
    make: Callable[[str], Callable[[Call], Work]], kind: str, names: str
) -> dict[str, Callable[[Call], Work]]:
    return dict.fromkeys(names.split(), make(kind))


WORK: dict[str, Callable[[Call], Work]] = {
    "convolution": _convolution,
    "mm": _product("self", "mat2"),
    "addmm": _product("mat1", "mat2"),
    "bmm": _product("self", "mat2"),
    "baddbmm": _product("batch1", "batch2"),
    "addbmm": _product("batch1", "batch2"),
    "mv": _product("self", "vec"),
    "addmv": _product("mat", "vec"),
    "dot": _product("self", "tensor"),
    "vdot": _product("self", "other"),
    "_int_mm": _product("self", "mat2"),
    "_scaled_mm": _product("self", "mat2"),
    "_grouped_mm": _grouped,
    "_scaled_grouped_mm": _grouped,
    "_trilinear": _trilinear,
    "conv_tbc": _conv_tbc,
    "affine_grid_generator": _affine_grid,
    "torchvision::deform_conv2d": _deformable,
    "torchvision::roi_align": _roi_align,
    **dict.fromkeys(("_fft_r2c", "_fft_c2r", "_fft_c2c"), _fft),
    **dict.fromkeys(
        ("avg_pool2d", "avg_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices"),
        _pool,
    ),
    **_kinds(
        _reads_input,
        "pool",
        "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d fractional_max_pool2d "
        "fractional_max_pool3d",
    ),
    **_kinds(
        _reads_input,
        "norm",
        "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training native_layer_norm "
        "native_group_norm _fused_rms_norm renorm",
    ),
    **_kinds(
        _reads_input,
        "reduce",
        "mean sum amax amin max min prod var std var_mean std_mean linalg_vector_norm norm logsumexp argmax argmin "
        "all any cumsum cumprod cummax cummin logcumsumexp median nansum count_nonzero col2im scatter_add index_add "
        "scatter_reduce index_reduce trace aminmax histc bincount equal kthvalue mode nanmedian dist _pdist_forward "
        "segment_reduce",
    ),
    **dict.fromkeys(
        (
            "nll_loss_forward",
            "nll_loss2d_forward",
            "mse_loss",
            "smooth_l1_loss",
            "huber_loss",
            "binary_cross_entropy",
            "binary_cross_entropy_with_logits",
            "soft_margin_loss",
            "multi_margin_loss",
            "multilabel_margin_loss_forward",
        ),
        _loss,
    ),
    **_kinds(_reads_input, "softmax", "_softmax _safe_softmax _log_softmax"),
    **_kinds(
        _makes_output,
        "resample",
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d "
        "_upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d "
        "_upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler_2d grid_sampler_3d",
    ),
    **_kinds(
        _makes_output,
        "elementwise",
        "glu hardswish log_sigmoid_forward rrelu_with_noise rsub floor_divide _prelu_kernel isin complex polar addr "
        "_weight_norm_interface linalg_cross embedding_renorm",
    ),
    **_kinds(_free, "embedding", "embedding"),
    **_kinds(_reads_input, "embedding", "_embedding_bag _embedding_bag_forward_only"),
    **_kinds(
        _free,
        "move",
        "cat stack clone copy _to_copy fill zero constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d "
        "replication_pad1d replication_pad2d replication_pad3d im2col pixel_shuffle pixel_unshuffle channel_shuffle "
        "roll flip repeat index index_select gather scatter index_put masked_fill slice_scatter select_scatter "
        "sort topk tril triu repeat_interleave index_fill as_strided_scatter diagonal_scatter masked_scatter take "
        "rot90 block_diag diag_embed _unsafe_index _index_put_impl _unsafe_index_put max_unpool2d max_unpool3d "
        "searchsorted bucketize nonzero masked_select unique_dim unique_consecutive "
        "_unique2 one_hot index_copy put _pack_padded_sequence _pad_packed_sequence torchvision::nms",
    ),
    **_kinds(
        _free,
        "view",
        "_unsafe_view _reshape_alias _reshape_copy unsafe_split unsafe_split_with_sizes lift_fresh",
    ),
    **_kinds(
        _free,
        "random",
        "bernoulli uniform normal random native_dropout multinomial exponential poisson cauchy log_normal geometric "
        "_standard_gamma",
    ),
    **_kinds(
        _free,
        "create",
        "empty_like zeros_like ones_like full_like rand_like randn_like new_empty new_zeros new_ones new_full "
        "empty_strided new_empty_strided",
    ),
}
"""Operation -> its work. Most elementwise operations are known by torch's own tag, views by their schema."""
