"""A weightless copy of a model on torch's meta device, which runs in place of the model."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from torch.overrides import TorchFunctionMode

from losslab.accounting.running import first_line
from losslab.accounting.sparse import is_sparse, note_kept
from losslab.accounting.values import MOST_ELEMENTS
from losslab.errors import InvalidInput

_FEW = 16
"""Elements of a buffer of floats that keeps its values: a scale, a threshold."""


def meta_copy(model: nn.Module) -> nn.Module:
    """A deep copy whose large tensors are on the meta device; no weight is allocated and the model is not touched.

    Raises:
        InvalidInput: when the model holds something that cannot be copied.
    """
    for path, module in model.named_modules():
        _check_copyable(path, module)
    known = {id(parameter): weightless(parameter) for parameter in model.parameters()}
    known |= {id(buffer): without_large_values(buffer) for buffer in model.buffers()}
    shared: dict[int, Any] = dict(known)
    try:
        with _CopyTensorsAsMeta():
            return copy.deepcopy(model, shared)
    except Exception as error:
        raise InvalidInput(
            f"the model cannot be copied ({first_line(error)}), and only a copy is counted"
        ) from error


def _check_copyable(path: str, module: nn.Module) -> None:
    name = f"layer '{path}'" if path else "`model`"
    if isinstance(module, torch.jit.ScriptModule):
        raise InvalidInput(
            f"{name} is compiled by torch.jit; give the module that it was made from"
        )
    home = type(module).__module__
    quantized = ".quantized" in home and not home.startswith("torch.ao.nn.qat")
    if quantized and home.startswith(("torch.ao.nn", "torch.nn")):
        kind = type(module).__name__
        raise InvalidInput(
            f"{name} ({kind}) is quantised; give the model of floats that it was made from"
        )


def weightless(tensor: Tensor) -> Tensor:
    """The same parameter or buffer without its data, with the attributes that it was given."""
    return _as_given(_empty(tensor), tensor)


def without_large_values(tensor: Tensor) -> Tensor:
    """A copy of a tensor that is no parameter: with its values where a forward may ask for them, else weightless."""
    return _as_given(_with_few_values(tensor), tensor)


def _as_given(twin: Tensor, tensor: Tensor) -> Tensor:
    """The twin with the attributes of what it stands for, such as a scale beside a weight."""
    for name, value in vars(tensor).items():
        vars(twin)[name] = _with_few_values(value) if isinstance(value, Tensor) else value
    return twin


def _empty(tensor: Tensor) -> Tensor:
    if is_lazy(tensor):
        make = (
            UninitializedParameter if isinstance(tensor, nn.Parameter) else UninitializedBuffer
        )
        return make(device="meta")  # type: ignore[call-arg]
    twin = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    if isinstance(tensor, nn.Parameter):
        twin = nn.Parameter(twin, tensor.requires_grad)
    if is_sparse(tensor):
        note_kept(twin, tensor)
    return twin


def _with_few_values(tensor: Tensor) -> Tensor:
    is_float = tensor.is_floating_point() or tensor.is_complex()
    if is_lazy(tensor) or tensor.is_meta or is_sparse(tensor) or tensor.is_quantized:
        return _empty(tensor)
    if tensor.numel() > (_FEW if is_float else MOST_ELEMENTS):
        return _empty(tensor)
    return tensor.detach().to("cpu", copy=True)


class _CopyTensorsAsMeta(TorchFunctionMode):
    """Tensors that a module holds outside of its parameters and buffers are copied without their data, too."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.__deepcopy__:
            source, memo = args
            memo[id(source)] = without_large_values(source)
            return memo[id(source)]
        return func(*args, **(kwargs or {}))
