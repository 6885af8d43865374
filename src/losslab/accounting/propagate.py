"""How each operation carries receptive fields from its arguments to its results.

What no rule here knows makes every axis that reaches the result unbounded: a field is exact or it is not claimed.
"""

from collections.abc import Sequence

from torch import Tensor

from losslab.accounting.axes import Axes, combined, gathered, mixed, plain
from losslab.accounting.call import Call, FieldRule, named
from losslab.accounting.propagate_layers import LAYERS
from losslab.accounting.propagate_shapes import SHAPES


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


def _fill(call: Call, output: Tensor) -> Axes:
    # A value that is a tensor reaches every element.
    return combined([call.axes(tensor) for tensor in call.tensors[1:]], output.shape)


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


AXES: dict[str, FieldRule] = {
    **LAYERS,
    **SHAPES,
    "native_batch_norm": _batch_norm,
    "native_layer_norm": _layer_norm,
    "_fused_rms_norm": _layer_norm,
    "native_group_norm": _group_norm,
    **named(
        _first_only,
        "_native_batch_norm_legit_no_training native_dropout detach expand clone _to_copy alias",
    ),
    "copy": _copy,
    "fill": _fill,
    **named(pointwise, "_prelu_kernel hardswish log_sigmoid_forward rrelu_with_noise"),
    **named(
        _fresh,
        "bernoulli zero uniform normal random empty_like zeros_like ones_like full_like rand_like "
        "randn_like new_empty new_zeros new_ones",
    ),
    **named(
        _reduce,
        "mean sum amax amin max min prod var std linalg_vector_norm norm logsumexp argmax argmin all any",
    ),
    **named(_mix, "_softmax _safe_softmax _log_softmax cumsum cumprod logcumsumexp"),
}
