"""Mixed precision without data: products in half precision, what needs digits in float32, as `torch.autocast` does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from losslab.accounting.recurrent import is_fused

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
    }
)
"""Functions whose float32 arguments become halves."""
_HALF_ON_CUDA = frozenset(
    {
        torch.lstm,
        torch.gru,
        torch.rnn_tanh,
        torch.rnn_relu,
        torch.lstm_cell,
        torch.gru_cell,
        torch.rnn_tanh_cell,
        torch.rnn_relu_cell,
    }
)
"""Functions of which a CPU converts the products alone, unless it has one kernel for all of them."""
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


_LOCK = threading.RLock()
"""Of the thread that runs a model: torch's methods and functions are replaced for the whole process."""


class Autocast(TorchFunctionMode):
    """Within a forward; a parameter is converted once and kept until the mode ends, as torch does.

    Of modes within each other the innermost acts; one without a dtype converts nothing.
    """

    _stack: ClassVar[list["Autocast"]] = []

    def __init__(self, dtype: torch.dtype | None, device: str) -> None:
        super().__init__()
        self._dtype, self._device = dtype, device
        self._converted: dict[int, Tensor] = {}
        self._torchs: list[Any] = []
        self._thread = threading.get_ident()

    @classmethod
    def acts(cls) -> bool:
        """Whether some mode makes dtypes fit."""
        return bool(cls._stack) and cls._stack[-1]._dtype is not None

    def __enter__(self) -> Self:
        if self._stack and self._stack[-1]._dtype is self._dtype:
            self._converted = self._stack[-1]._converted
        self._stack.append(self)
        self._torchs = [getattr(module, name) for module, name in _WITHOUT_MODES]
        for (module, name), function in zip(_WITHOUT_MODES, self._torchs, strict=True):
            setattr(module, name, partial(self._half, function))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        for (module, name), function in zip(_WITHOUT_MODES, self._torchs, strict=True):
            setattr(module, name, function)
        self._stack.pop()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def _half(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        other_thread = threading.get_ident() != self._thread
        if other_thread or self._stack[-1] is not self or self._dtype is None:
            return function(*args, **kwargs)
        return function(
            *self._all(args, torch.float32, self._dtype),
            **self._all(kwargs, torch.float32, self._dtype),
        )

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        on_cuda = self._device == "cuda"
        if func in _HALF or (func in _HALF_ON_CUDA and (on_cuda or is_fused(func, args))):
            return self._half(func, *args, **kwargs)
        acts = self._stack[-1] is self and self._dtype is not None
        if acts and on_cuda and func in _WHOLE_ON_CUDA:
            args, kwargs = (
                self._all(args, self._dtype, torch.float32),
                self._all(kwargs, self._dtype, torch.float32),
            )
        return func(*args, **kwargs)

    def _all(self, value: Any, source: torch.dtype | None, target: torch.dtype) -> Any:
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


@contextmanager
def autocast_of_models(device: str) -> Iterator[None]:
    """Within, ``torch.autocast`` in a forward acts without data, too, as on this device, whichever one it names.

    torch has no autocast for the meta device, and switches CUDA's off where there is no GPU. One that names CUDA and
    was made before, as a decorator is, acts only where there is CUDA. Other threads keep torch's own autocast, and
    wait where they run a model here, too.
    """
    autocast: Any = torch.autocast
    opened: list[tuple[Any, Autocast]] = []

    def init_on_cpu(
        self: Any, device_type: str, dtype: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        named = isinstance(device_type, str) and device_type != "cpu"
        if named and threading.get_ident() == owner:
            name = device if device_type == "meta" else device_type
            dtype = dtype or torch.get_autocast_dtype(name)
            device_type = "cpu"
        init(self, device_type, dtype, *args, **kwargs)

    def enter_too(self: Any) -> Any:
        result = enter(self)
        if threading.get_ident() == owner:
            mode = Autocast(self.fast_dtype if self._enabled else None, device)
            mode.__enter__()
            opened.append((self, mode))
        return result

    def exit_too(self: Any, *error: Any) -> Any:
        if threading.get_ident() == owner:
            _, mode = opened.pop()
            mode.__exit__(*error)
        return leave(self, *error)

    with _LOCK:
        owner = threading.get_ident()
        init, enter, leave = autocast.__init__, autocast.__enter__, autocast.__exit__
        autocast.__init__, autocast.__enter__, autocast.__exit__ = (
            init_on_cpu,
            enter_too,
            exit_too,
        )
        try:
            yield
        finally:
            # A forward may have left some open, by an error between entering and leaving.
            while opened:
                exit_too(opened[-1][0], None, None, None)
            autocast.__init__, autocast.__enter__, autocast.__exit__ = init, enter, leave
