"""A weightless copy of a model on torch's meta device, which runs in place of the model."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from torch.overrides import TorchFunctionMode

from losslab.accounting.call import tensors_in
from losslab.errors import InvalidInput


class DependsOnData(Exception):  # noqa: N818
    """The model asks for a value that only real data has."""


class NeedsIntegers(Exception):  # noqa: N818
    """An embedding was given the inputs of these names as floats."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__("an embedding needs integers")
        self.names = names


def meta_copy(model: nn.Module) -> nn.Module:
    """A deep copy whose tensors are on the meta device; no weight is allocated and the model is not touched.

    Raises:
        InvalidInput: when the model holds something that cannot be copied.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise InvalidInput("`model` is compiled by torch.jit; give the module that it was made from")
    shared: dict[int, Any] = {id(tensor): weightless(tensor) for tensor in (*model.parameters(), *model.buffers())}
    try:
        with _CopyTensorsAsMeta():
            return copy.deepcopy(model, shared)
    except Exception as error:
        raise InvalidInput(f"the model cannot be copied ({first_line(error)}), and only a copy is counted") from error


def weightless(tensor: Tensor) -> Tensor:
    """The same parameter or buffer without its data."""
    if is_lazy(tensor):
        make = UninitializedParameter if isinstance(tensor, nn.Parameter) else UninitializedBuffer
        return make(device="meta")  # type: ignore[call-arg]
    empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


class _CopyTensorsAsMeta(TorchFunctionMode):
    """Tensors that a module holds outside of its parameters and buffers are copied without their data, too."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__:
            source, memo = args
            memo[id(source)] = torch.empty_like(source, device="meta")
            return memo[id(source)]
        return func(*args, **(kwargs or {}))


@dataclass
class Place:
    """Which modules are running: the path, class and argument shapes of each, outermost first."""

    running: list[tuple[str, str, str, int]] = field(default_factory=list)
    visits: int = 0

    @property
    def module(self) -> str:
        """Path of the innermost running module; empty for the model itself."""
        return self.running[-1][0] if self.running else ""

    @property
    def visit(self) -> int:
        """Number of that module's call, counted over all calls of modules."""
        return self.running[-1][3] if self.running else 0

    def follow(self, model: nn.Module) -> None:
        """Keep up with the modules of a twin as they run."""
        for path, module in model.named_modules():
            module.register_forward_pre_hook(self._entered(path), prepend=True, with_kwargs=True)
            module.register_forward_hook(self._left)

    def _entered(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            shapes = ", ".join(
                "x".join(map(str, tensor.shape[1:])) or "a scalar" for tensor in tensors_in(args, kwargs)
            )
            self.visits += 1
            self.running.append((path, type(module).__name__, shapes, self.visits))

        return enter

    def _left(self, *_: Any) -> None:
        self.running.pop()

    def __str__(self) -> str:
        path, kind, shapes, _ = self.running[-1] if self.running else ("", "", "", 0)
        where = f"layer '{path}' ({kind})" if path else f"the model ({kind})" if kind else "the model"
        return f"{where} got {shapes}" if shapes else where


def run(model: nn.Module, place: Place, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The model's output.

    Raises:
        InvalidInput: one line that says which layer got what, when its forward raises or depends on data.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # about speed and deprecation, none of which is counted
            return model(*args, **kwargs)
    except NeedsIntegers:
        raise
    except Exception as error:
        if isinstance(error, DependsOnData) or "meta tensor" in str(error):
            rule = "so what runs depends on the data; count follows one path: use a model without that branch"
            raise InvalidInput(f"{place}; it reads the values of a tensor ({first_line(error)}), {rule}") from error
        raise InvalidInput(f"{place}: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
