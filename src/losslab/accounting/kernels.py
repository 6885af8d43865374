"""Fused kernels of a device, as far as they keep other tensors for the backward pass than the operations they fuse.

The meta device takes everything apart. What training keeps depends on the kernels: attention keeps its output and one
number for each query in place of a matrix of scores, an LSTM on a CPU a workspace of oneDNN.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Device = Literal["cpu", "cuda"]
_ATTENTION = F.scaled_dot_product_attention
_HALVES = (torch.float16, torch.bfloat16)
_WIDEST_HEAD = 256
"""Of flash attention on CUDA."""


class FusedKernels(TorchFunctionMode):
    """Within, attention and LSTM layers keep what the device's kernels keep."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device = device

    def __enter__(self) -> Self:
        # torch's own functions of many steps, such as that of nn.MultiheadAttention, run with modes set aside
        F.scaled_dot_product_attention = self._attend
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        F.scaled_dot_product_attention = _ATTENTION
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is _ATTENTION:
            return self._attend(*args, **kwargs)
        if func is torch.lstm and self._device == "cpu" and _takes_lstm(args):
            return _lstm(*args)
        return func(*args, **kwargs)

    def _attend(self, query: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        output = _attention(self._device, query, *args, **kwargs) if query.is_meta else None
        if output is not None:
            return output
        apart: Tensor = _ATTENTION(query, *args, **kwargs)
        return apart


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
    if query.dim() != 4 or not query.shape[-1] == key.shape[-1] == value.shape[-1]:
        return None
    if attn_mask is not None and attn_mask.requires_grad:
        return None
    mask = (
        None
        if attn_mask is None
        else torch.empty(attn_mask.shape, dtype=query.dtype, device="meta")
    )
    if device == "cpu":
        if dropout_p > 0:
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


def _first(results: tuple[Tensor, ...]) -> Tensor:
    return results[0]


def _takes_lstm(args: Sequence[Any]) -> bool:
    """Whether oneDNN has a kernel: whole sequences, no projection."""
    source, states, weights = args[:3]
    packed = isinstance(weights, Tensor)
    return source.is_meta and not packed and states[0].shape[-1] == states[1].shape[-1]


def _lstm(
    source: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    layer = source.transpose(0, 1).contiguous() if batch_first else source
    hidden = states[0].shape[-1]
    per_direction = 4 if has_biases else 2
    parameters = iter(
        [weights[i : i + per_direction] for i in range(0, len(weights), per_direction)]
    )
    for index in range(num_layers):
        directions = [
            _direction(layer, hidden, next(parameters))
            for _ in range(2 if bidirectional else 1)
        ]
        layer = directions[0] if len(directions) == 1 else torch.cat(directions, -1)
        if dropout and train and index < num_layers - 1:
            layer = F.dropout(layer, dropout)
    last = layer.new_empty(states[0].shape)
    return layer.transpose(0, 1) if batch_first else layer, last, last.clone()


def _direction(source: Tensor, hidden: int, weights: Sequence[Tensor]) -> Tensor:
    output: Tensor = _LstmLayer.apply(source, hidden, *weights)  # type: ignore[no-untyped-call]
    return output


class _LstmLayer(torch.autograd.Function):
    """A layer in one direction: what it keeps, and gradients without values."""

    @staticmethod
    def forward(context: Any, source: Tensor, hidden: int, *weights: Tensor) -> Tensor:
        steps, batch, inputs = source.shape
        output = source.new_empty(steps, batch, hidden)
        states = [source.new_empty(batch, hidden) for _ in range(4)]
        numbers = _workspace_bytes(steps, batch, inputs, hidden) // 4
        workspace = torch.empty(numbers, dtype=torch.float32, device="meta")
        context.save_for_backward(source, output, *states, workspace, *weights)
        return output

    @staticmethod
    def backward(context: Any, _: Tensor) -> Any:
        source, output, *others = context.saved_tensors
        weights = others[5:]  # behind four states and the workspace
        # Gradients of gates and of two states.
        scratch = [output.new_empty(*output.shape[:2], 6 * output.shape[2])]
        gradients = (
            torch.empty_like(source),
            None,
            *(torch.empty_like(weight) for weight in weights),
        )
        scratch.clear()
        return gradients


def _workspace_bytes(steps: int, batch: int, inputs: int, hidden: int) -> int:
    """Bytes that oneDNN keeps of a layer: gates, states and their gradients at each step.

    Fitted to what torch 2.13 keeps, within 4 % from 10 steps on.
    """
    widest = max(inputs, hidden)
    return 4 * batch * (steps + 2) * (9 * hidden + 6 * widest)
