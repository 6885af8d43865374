"""What torch refuses for its dtypes or channels; the meta device only computes shapes and would let it pass."""

import torch
from torch import Tensor

from losslab.accounting.autocast import Autocast
from losslab.accounting.call import Call, words

_ONE_DTYPE = words(
    "convolution mm addmm bmm baddbmm addbmm mv addmv dot vdot _trilinear lerp mkldnn_rnn_layer "
    "scaled_dot_product_attention"
)
"""Operations whose tensors all have one dtype."""
_NORMS = words(
    "native_layer_norm native_group_norm native_batch_norm _native_batch_norm_legit "
    "_native_batch_norm_legit_no_training"
)
_FLOATS_ONLY = _NORMS | words(
    "_softmax _log_softmax gelu silu elu softplus mish hardswish hardsigmoid log_sigmoid_forward glu leaky_relu "
    "_adaptive_avg_pool2d _adaptive_avg_pool3d grid_sampler_2d grid_sampler_3d upsample_bilinear2d "
    "upsample_bicubic2d upsample_trilinear3d upsample_linear1d _fused_rms_norm cdist"
)
_NO_INTEGERS = _FLOATS_ONLY | words("im2col")
_NO_BOOLEANS = _FLOATS_ONLY | words(
    "max_pool2d_with_indices max_pool3d_with_indices avg_pool2d avg_pool3d"
)
"""Operations that have no kernel for truth values."""
_PIXELS = words("upsample_bilinear2d upsample_bicubic2d")
"""Operations that have a kernel for bytes, and for no other integers."""
EMBEDDINGS = words("embedding _embedding_bag _embedding_bag_forward_only")
_HALVES = (torch.float16, torch.bfloat16)


def check_call(call: Call) -> None:
    """Raise what torch raises for data.

    Raises:
        TypeError: with the dtypes.
        ValueError: with the channels.
    """
    autocasts = Autocast.acts()
    if (
        not autocasts
        and call.name in _ONE_DTYPE
        and len({tensor.dtype for tensor in call.tensors}) > 1
    ):
        raise TypeError(
            f"{call.name} of {_names(call.tensors)}: torch wants one dtype; convert one of them"
        )
    if call.name in _NO_INTEGERS | _NO_BOOLEANS and call.tensors:
        _check_kernel(call.name, call.tensors[0])
    if call.name in EMBEDDINGS and call["indices"].is_floating_point():
        raise TypeError(
            f"{call.name} of {_names([call['indices']])}: indices must be integers: int64"
        )
    if not autocasts and call.name in _NORMS:
        _check_norm(call)
    if call.name == "convolution" and call["transposed"]:
        _check_channels(call["input"], call["weight"])


def _check_kernel(name: str, source: Tensor) -> None:
    """There are kernels of floats for all operations, of integers and truth values for some."""
    if source.is_floating_point() or source.is_complex():
        return
    if name in _PIXELS and source.dtype is torch.uint8:
        return
    if name in (_NO_BOOLEANS if source.dtype is torch.bool else _NO_INTEGERS):
        raise TypeError(
            f"{name} of {_names([source])}: torch has no kernel for it; name a dtype of floats"
        )


def _check_channels(source: Tensor, weight: Tensor) -> None:
    """The first dimension of transposed weights is the input's channels."""
    channels = source.shape[source.dim() - weight.dim() + 1]
    if channels != weight.shape[0]:
        raise ValueError(
            f"input has {channels} channels, and the layer takes {weight.shape[0]}"
        )


def _check_norm(call: Call) -> None:
    """Weights of a norm have the input's dtype, or are float32 where the input is of half precision."""
    source, *weights = call.tensors
    for weight in weights:
        mixed = source.dtype in _HALVES and weight.dtype is torch.float32
        if weight.dtype != source.dtype and not mixed:
            raise TypeError(
                f"{call.name} of {_names([source, weight])}: torch wants one dtype; convert one of them"
            )


def _names(tensors: list[Tensor]) -> str:
    dtypes = dict.fromkeys(str(tensor.dtype).removeprefix("torch.") for tensor in tensors)
    return " and ".join(dtypes)
