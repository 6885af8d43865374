"""What one training step keeps in memory, found by running two of them on torch's meta device."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from losslab.accounting.call import outputs_of, tensors_in
from losslab.accounting.count import Countable, resolve
from losslab.accounting.inputs import Inputs, InputShape
from losslab.accounting.optimizers import OptimizerFactory, build_optimizer, is_fused
from losslab.accounting.place import Place, run
from losslab.accounting.storages import LiveStorages, SavedStorages
from losslab.accounting.trace import as_fits, fed, materialise
from losslab.accounting.twin import meta_copy
from losslab.accounting.values import Values
from losslab.errors import InvalidInput
from losslab.optimizers import Method
from losslab.tables import Table


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

    def to_dict(self) -> dict[str, int | str]:
        """As one JSON object."""
        return dict(vars(self))

    def table(self) -> Table:
        """The parts, in bytes."""
        sizes = {name: size for name, size in vars(self).items() if name.endswith("_bytes")}
        rows = [(name.removesuffix("_bytes"), f"{size:,}") for name, size in sizes.items()]
        title = f"training step, {self.optimizer}, batch {self.batch_size}, {self.dtype}"
        return Table(title, ("part", "bytes"), tuple(rows))


def training_memory(
    model: Countable,
    input_shape: InputShape | None = None,
    *,
    batch_size: int = 1,
    optimizer: str | Method | OptimizerFactory = "sgd",
    dtype: torch.dtype = torch.float32,
) -> TrainingMemory:
    """Bytes that training needs, from two steps of a weightless copy in training mode.

    Args:
        model: a module, a factory without arguments, or a model's name.
        input_shape: as in `count`.
        batch_size: samples in the batch.
        optimizer: a method of `losslab.optimizers` as text or value, such as ``"sgd(momentum=0.9)"``, a name in
            `ALIASES`, or what makes an optimizer of parameters.
        dtype: of parameters and inputs.
    Raises:
        InvalidInput: an unknown optimizer, or a model that cannot be built, run or differentiated.
    Example:
        >>> memory = training_memory("mlp", batch_size=128, optimizer="adam")
        >>> memory.parameter_bytes, memory.optimizer_bytes == 2 * memory.parameter_bytes
        (16336040, True)
    """
    network, inputs, batch_size = resolve(model, input_shape, batch_size)

    def attempt(inputs: Inputs, *, with_values: bool) -> TrainingMemory:
        return _memory(network, inputs, batch_size, optimizer, dtype, with_values=with_values)

    return as_fits(inputs, attempt)


def _memory(
    network: nn.Module,
    inputs: Inputs,
    batch_size: int,
    optimizer: str | Method | OptimizerFactory,
    dtype: torch.dtype,
    *,
    with_values: bool,
) -> TrainingMemory:
    twin, place = meta_copy(network), Place()
    place.follow(twin)
    materialise(twin, place, inputs, batch_size)
    twin = twin.train().to(dtype)
    trained = [parameter for parameter in twin.parameters() if parameter.requires_grad]
    if not trained:
        raise InvalidInput("`model` has no parameter with a gradient; nothing to train")
    rule = build_optimizer(optimizer, trained)
    tensors = fed(twin, inputs, batch_size, with_values=with_values)
    args, kwargs = inputs.arguments(twin, tensors)
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        Values(),
        LiveStorages((*twin.parameters(), *twin.buffers(), *tensors)) as live,
    ):
        saved = SavedStorages((*twin.parameters(), *twin.buffers()))
        with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda tensor: tensor):
            _differentiate(twin, place, rule, args, kwargs)
        rule.step()
        live.peak_bytes = live.bytes  # the first step makes the optimizer's state; the second is as all that follow
        _differentiate(twin, place, rule, args, kwargs)
        if not is_fused(optimizer):  # a fused step makes no tensors; on the meta device torch has none
            rule.step()
    state = [tensor for values in rule.state.values() for tensor in tensors_in(values) if tensor.is_meta]
    return TrainingMemory(
        optimizer=type(rule).__name__ if callable(optimizer) else str(optimizer),
        batch_size=batch_size,
        dtype=str(dtype).removeprefix("torch."),
        parameter_bytes=_bytes(twin.parameters()),
        buffer_bytes=_bytes(twin.buffers()),
        gradient_bytes=_bytes(p.grad for p in twin.parameters() if p.grad is not None),
        optimizer_bytes=_bytes(state),
        saved_bytes=saved.bytes,
        peak_bytes=live.peak_bytes,
    )


def _differentiate(
    model: nn.Module, place: Place, rule: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    rule.zero_grad()
    outputs = [tensor for tensor in outputs_of(run(model, place, args, kwargs)) if tensor.requires_grad]
    if not outputs:
        raise InvalidInput("`model` gives no output that depends on a parameter with a gradient; nothing to train")
    torch.stack([tensor.sum() for tensor in outputs]).sum().backward()  # type: ignore[no-untyped-call]


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
