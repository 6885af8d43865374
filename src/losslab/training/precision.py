"""The arithmetic of a step: float32, or 16 bits by autocast, and the scale of a loss that 16 bits could not hold."""

from contextlib import AbstractContextManager, nullcontext

import torch

from losslab.errors import InvalidInput
from losslab.spec import Precision

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Take products of matrices and convolutions in 16 bits within the context; weights and sums stay float32."""
    if precision == "fp32":
        return nullcontext()
    context: AbstractContextManager[None] = torch.autocast(device.type, dtype=DTYPES[precision])
    return context


def check_precision(precision: Precision, device: torch.device) -> None:
    """Try the arithmetic on the device, since torch has no list of what each one supports.

    Raises:
        InvalidInput: where the device has not got it.
    """
    if precision == "fp32" or device.type == "meta":
        return
    try:
        with autocast(precision, device):
            product = torch.mm(torch.ones(2, 2, device=device), torch.ones(2, 2, device=device))
        supported = product.dtype == DTYPES[precision]
    except RuntimeError:
        supported = False
    if not supported:
        raise InvalidInput(
            f"`precision` (={precision}): {device} has no such arithmetic; fp32 always can"
        )


def new_scaler(precision: Precision, device: torch.device) -> torch.amp.GradScaler | None:
    """The scaler of the loss in fp16; None for other precisions."""
    # fp16 holds nothing below 6e-8, where small gradients lie; bf16 has the range of float32.
    return torch.amp.GradScaler(device.type) if precision == "fp16" else None
