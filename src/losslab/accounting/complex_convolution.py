"""Convolutions of complex numbers, which torch takes apart into three of real numbers."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from losslab.accounting.call import tensors_in

_CONVOLUTIONS = frozenset(
    {
        torch.conv1d,
        torch.conv2d,
        torch.conv3d,
        torch.conv_transpose1d,
        torch.conv_transpose2d,
        torch.conv_transpose3d,
    }
)


class ComplexConvolution(TorchFunctionMode):
    """Knows which convolutions of real numbers are parts of one of complex numbers.

    Attributes:
        parts: convolutions that have run of the one that is running; None outside of such.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts: int | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        sources = tensors_in(args, kwargs) if func in _CONVOLUTIONS else []
        if not any(source.is_complex() for source in sources):
            return func(*args, **kwargs)
        self.parts = 0
        try:
            return func(*args, **kwargs)
        finally:
            self.parts = None
