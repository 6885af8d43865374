"""Mixed precision without data: products in half precision, what needs digits in float32, as `torch.autocast` does."""

from functools import partial
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_WITHOUT_MODES = [(F, "linear"), (torch, "baddbmm"), (torch, "bmm")]
"""Products of torch's own functions of many steps, such as nn.MultiheadAttention's, which run with modes set aside."""
_HALF = frozenset(
    {
        F.linear,
        torch.conv1d,
        torch.conv2d,
        torch.conv3d,
        torch.conv_transpose1d,
        torch.conv_transpose2d,
        torch.conv_transpose3d,
        torch.matmul,
        Tensor.matmul,
        Tensor.__matmul__,
        torch.mm,
        Tensor.mm,
        torch.bmm,
        Tensor.bmm,
        torch.addmm,
        Tensor.addmm,
        torch.baddbmm,
        Tensor.baddbmm,
        torch.addbmm,
        torch.einsum,
        torch.tensordot,
        torch.prelu,
        F.scaled_dot_product_attention,
        torch.lstm,
        torch.gru,
        torch.rnn_tanh,
    }
)
"""Functions whose float32 arguments become halves."""
_WHOLE_ON_CUDA = frozenset(
    {
        F.softmax,
        torch.softmax,
        Tensor.softmax,
        F.log_softmax,
        torch.log_softmax,
        F.layer_norm,
        torch.layer_norm,
        F.group_norm,
        F.cross_entropy,
        F.nll_loss,
        F.mse_loss,
        torch.exp,
        Tensor.exp,
        torch.pow,
        Tensor.pow,
        torch.sum,
        Tensor.sum,
        torch.cumsum,
        torch.norm,
    }
)
"""Functions whose halves become float32, on CUDA alone."""


class Autocast(TorchFunctionMode):
    """Within a forward; a parameter is converted once and kept until the mode ends, as torch does."""

    def __init__(self, dtype: torch.dtype, device: str) -> None:
        super().__init__()
        self._dtype, self._device = dtype, device
        self._converted: dict[int, Tensor] = {}
        self._torchs: list[Any] = []

    def __enter__(self) -> Self:
        self._torchs = [getattr(module, name) for module, name in _WITHOUT_MODES]
        for (module, name), function in zip(_WITHOUT_MODES, self._torchs, strict=True):
            setattr(module, name, partial(self._half, function))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        for (module, name), function in zip(_WITHOUT_MODES, self._torchs, strict=True):
            setattr(module, name, function)
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def _half(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return function(
            *self._all(args, torch.float32, self._dtype),
            **self._all(kwargs, torch.float32, self._dtype),
        )

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _HALF:
            args, kwargs = (
                self._all(args, torch.float32, self._dtype),
                self._all(kwargs, torch.float32, self._dtype),
            )
        elif func in _WHOLE_ON_CUDA and self._device == "cuda":
            args, kwargs = (
                self._all(args, self._dtype, torch.float32),
                self._all(kwargs, self._dtype, torch.float32),
            )
        return func(*args, **kwargs)

    def _all(self, value: Any, source: torch.dtype, target: torch.dtype) -> Any:
        if isinstance(value, Tensor):
            return self._one(value, target) if value.dtype is source else value
        if isinstance(value, dict):
            return {key: self._all(part, source, target) for key, part in value.items()}
        if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
            return type(value)(self._all(part, source, target) for part in value)
        return value

    def _one(self, tensor: Tensor, target: torch.dtype) -> Tensor:
        if not tensor.is_leaf or not tensor.requires_grad:
            return tensor.to(target)
        if id(tensor) not in self._converted:
            self._converted[id(tensor)] = tensor.to(target)
        return self._converted[id(tensor)]
