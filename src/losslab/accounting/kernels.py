"""Fused kernels of a device, as far as they keep other tensors for the backward pass than the operations they fuse.

The meta device takes everything apart. What training keeps depends on the kernels: attention keeps its output and one
number for each query in place of a matrix of scores, an LSTM on a CPU a workspace of oneDNN.
"""

from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from losslab.accounting.recurrent import cell, is_cell, is_recurrent, recurrent

Device = Literal["cpu", "cuda"]
_ATTENTION = F.scaled_dot_product_attention
_DROPOUT = F.dropout
_HALVES = (torch.float16, torch.bfloat16)
_WIDEST_HEAD = 256
"""Of flash attention on CUDA."""


class FusedKernels(TorchFunctionMode):
    """Within, attention and recurrent layers keep what the device's kernels keep."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device = device

    def __enter__(self) -> Self:
        # torch's own functions of many steps, such as that of nn.MultiheadAttention, run with modes set aside
        F.scaled_dot_product_attention = self._attend
        F.dropout = self._drop
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        F.scaled_dot_product_attention = _ATTENTION
        F.dropout = _DROPOUT
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is _ATTENTION:
            return self._attend(*args, **kwargs)
        if func in (_DROPOUT, torch.dropout):
            return self._drop(*args, **kwargs)
        if self._device == "cpu" and is_recurrent(func, args):
            return recurrent(func, *args)
        if self._device == "cpu" and is_cell(func, args):
            return cell(func, *args)
        return func(*args, **kwargs)

    def _attend(self, query: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        output = _attention(self._device, query, *args, **kwargs) if query.is_meta else None
        if output is not None:
            return output
        apart: Tensor = _ATTENTION(query, *args, **kwargs)
        return apart

    def _drop(
        self,
        input: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
        *,
        train: bool = True,
    ) -> Tensor:
        """CUDA keeps one byte for each element, the CPU a mask of floats."""
        drops = training and train and 0 < p < 1 and not inplace
        if self._device == "cuda" and drops and input.is_meta:
            return _first(torch.native_dropout(input, p, True))
        return _DROPOUT(input, p, training and train, inplace)


def _attention(
    device: Device,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | None:
    """What the device's fused kernel gives; None where torch takes attention apart there."""
    if not _fits_together(query, key, value, enable_gqa):
        return None
    if attn_mask is not None and attn_mask.requires_grad:
        return None
    mask = (
        None
        if attn_mask is None
        else torch.empty(attn_mask.shape, dtype=query.dtype, device="meta")
    )
    if device == "cpu":
        allowed = torch.backends.cuda.flash_sdp_enabled()  # type: ignore[no-untyped-call]  # of a CPU, too
        if dropout_p > 0 or not allowed or (mask is not None and mask.dim() not in (2, 4)):
            return None
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        return _first(fused(query, key, value, 0.0, is_causal, attn_mask=mask, scale=scale))
    if enable_gqa:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    if mask is None and query.dtype in _HALVES and query.shape[-1] <= _WIDEST_HEAD:
        flash = torch.ops.aten._scaled_dot_product_flash_attention
        return _first(flash(query, key, value, dropout_p, is_causal, False, scale=scale))
    if mask is not None:
        mask = mask.expand(*query.shape[:-1], key.shape[-2])
    efficient = torch.ops.aten._scaled_dot_product_efficient_attention
    return _first(efficient(query, key, value, mask, True, dropout_p, is_causal, scale=scale))


def _fits_together(query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool) -> bool:
    """Whether shapes and strides are such as fused kernels take: nothing to broadcast, rows in one piece."""
    tensors = query, key, value
    if any(tensor.dim() != 4 or tensor.stride(-1) != 1 for tensor in tensors):
        return False
    batches, heads, _, widths = zip(*(tensor.shape for tensor in tensors), strict=True)
    # Groups of queries may share a key, which has one value.
    alike = heads[1:] if enable_gqa else heads
    return all(len(set(sizes)) == 1 for sizes in (batches, alike, widths))


def _first(results: tuple[Tensor, ...]) -> Tensor:
    return results[0]
