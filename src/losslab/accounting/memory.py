"""What one training step keeps in memory, found by running two of them on torch's meta device."""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from losslab.accounting.call import tensors_in
from losslab.accounting.count import Countable, resolve
from losslab.accounting.inputs import InputShape
from losslab.accounting.twin import Place, meta_copy, run
from losslab.errors import InvalidInput, unknown_name

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

OPTIMIZERS: dict[str, OptimizerFactory] = {
    "adadelta": torch.optim.Adadelta,
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "rmsprop-momentum": lambda parameters: torch.optim.RMSprop(parameters, momentum=0.9),
    "sgd": torch.optim.SGD,
    "sgd-momentum": lambda parameters: torch.optim.SGD(parameters, momentum=0.9),
}
"""Optimizers by name, as torch implements them on this machine's default path."""


_BLOCK = 8
"""Channels that a CPU's convolution kernels keep together."""


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of one training step.

    Attributes:
        optimizer: its name.
        batch_size: samples in the batch.
        dtype: of parameters, gradients and activations.
        parameter_bytes: the parameters.
        buffer_bytes: running statistics and other buffers.
        gradient_bytes: one gradient for each parameter that has one.
        optimizer_bytes: what the optimizer keeps from step to step.
        saved_bytes: activations, masks and indices that the forward pass keeps for the backward pass.
        peak_bytes: the most that is alive at once in the second step, in which the optimizer's state exists: tensors,
            and the copies that a CPU's convolution kernels make for themselves.
    """

    optimizer: str
    batch_size: int
    dtype: str
    parameter_bytes: int
    buffer_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    saved_bytes: int
    peak_bytes: int

    def as_dict(self) -> dict[str, int | str]:
        """As one JSON object."""
        return dict(vars(self))


def training_memory(
    model: Countable,
    input_shape: InputShape | None = None,
    *,
    batch_size: int = 1,
    optimizer: str | OptimizerFactory = "sgd",
    dtype: torch.dtype = torch.float32,
) -> TrainingMemory:
    """Bytes that training needs, from two steps of a weightless copy in training mode.

    Args:
        model: a module, a factory without arguments, or a model's name.
        input_shape: as in `count`.
        batch_size: samples in the batch.
        optimizer: a name in `OPTIMIZERS`, or what makes an optimizer of parameters.
        dtype: of parameters and inputs.
    Raises:
        InvalidInput: an unknown optimizer, or a model that cannot be built, run or differentiated.
    Example:
        >>> memory = training_memory("mlp", batch_size=128, optimizer="adam")
        >>> memory.parameter_bytes, memory.optimizer_bytes == 2 * memory.parameter_bytes
        (16336040, True)
    """
    if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
        raise InvalidInput(unknown_name("optimizer", optimizer, OPTIMIZERS))
    network, inputs = resolve(model, input_shape, batch_size)
    twin, place = meta_copy(network).train().to(dtype), Place()
    place.follow(twin)
    make = OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer
    trained = [parameter for parameter in twin.parameters() if parameter.requires_grad]
    if not trained:
        raise InvalidInput("`model` has no parameter with a gradient; nothing to train")
    rule = make(trained)
    fed = [one.tensor(batch_size, dtype) for one in inputs.each]
    args, kwargs = inputs.arguments(twin, fed)
    with _Live((*twin.parameters(), *twin.buffers(), *fed)) as live:
        saved = _Saved((*twin.parameters(), *twin.buffers()))
        with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda tensor: tensor):
            _step(twin, place, rule, args, kwargs)
        live.peak_bytes = live.bytes
        _step(twin, place, rule, args, kwargs)
    state = [tensor for values in rule.state.values() for tensor in tensors_in(values) if tensor.is_meta]
    return TrainingMemory(
        optimizer=optimizer if isinstance(optimizer, str) else type(rule).__name__,
        batch_size=batch_size,
        dtype=str(dtype).removeprefix("torch."),
        parameter_bytes=_bytes(twin.parameters()),
        buffer_bytes=_bytes(twin.buffers()),
        gradient_bytes=_bytes(p.grad for p in twin.parameters() if p.grad is not None),
        optimizer_bytes=_bytes(state),
        saved_bytes=saved.bytes,
        peak_bytes=live.peak_bytes,
    )


def _step(
    model: nn.Module, place: Place, rule: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    rule.zero_grad()
    with torch.device("meta"):
        outputs = [tensor for tensor in tensors_in(run(model, place, args, kwargs)) if tensor.requires_grad]
        if not outputs:
            raise InvalidInput("`model` gives no output that depends on a parameter with a gradient; nothing to train")
        torch.stack([tensor.sum() for tensor in outputs]).sum().backward()  # type: ignore[no-untyped-call]
    rule.step()


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class _Saved:
    """Adds up the storages that autograd keeps, each once, parameters and buffers left out."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        self._seen = {tensor.untyped_storage()._cdata for tensor in known}
        self.bytes = 0

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen.add(storage._cdata)
            self.bytes += storage.nbytes()
        return tensor.detach()


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of all storages that are alive, and the most there were."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = self.peak_bytes = 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        for tensor in tensors:
            self._note(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        outputs = tensors_in(result)
        scratch = _convolution_scratch(func, args, outputs)
        for tensor in outputs:
            if tensor.is_meta:
                self._note(tensor)
        self.peak_bytes = max(self.peak_bytes, self.bytes + scratch)
        return result

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return

        def freed(_: Any) -> None:
            del self._alive[key]
            self.bytes -= size

        self._alive[key] = weakref.ref(storage, freed)
        self.bytes += size


def _convolution_scratch(func: Any, args: tuple[Any, ...], outputs: list[Tensor]) -> int:
    """Bytes of the copies that a CPU convolution arranges in blocks of channels: its result; backward, its sources."""
    if func is torch.ops.aten.convolution.default:
        return _blocked(outputs[0])
    if func is torch.ops.aten.convolution_backward.default:
        return sum(map(_blocked, args[:2]))
    return 0


def _blocked(tensor: Tensor) -> int:
    batch, channels, *space = tensor.shape
    return batch * -(-channels // _BLOCK) * _BLOCK * prod(space) * tensor.element_size()
