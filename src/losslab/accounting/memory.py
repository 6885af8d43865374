"""What one training step costs: memory and multiply-accumulates, from two steps on torch's meta device."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from losslab import text
from losslab.accounting.autocast import autocast_of_models
from losslab.accounting.call import outputs_of, tensors_in
from losslab.accounting.count import Countable, resolve
from losslab.accounting.inputs import Inputs, InputShape
from losslab.accounting.kernels import Device, FusedKernels
from losslab.accounting.optimizers import (
    OptimizerFactory,
    build_optimizer,
    first_step,
    is_fused,
)
from losslab.accounting.products import Products
from losslab.accounting.running import Running, first_line, run
from losslab.accounting.sparse import bytes_of, is_sparse, kept
from losslab.accounting.storages import LiveStorages, SavedStorages
from losslab.accounting.trace import as_fits, fed, materialise
from losslab.accounting.twin import meta_copy
from losslab.accounting.values import Values
from losslab.errors import InvalidInput
from losslab.optimizers import Method
from losslab.spec import Precision
from losslab.tables import Table

_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class TrainingMemory:
    """What one training step takes.

    Attributes:
        optimizer: its name.
        batch_size: samples in the batch.
        dtype: of the parameters.
        parameter_bytes: the parameters.
        buffer_bytes: running statistics and other buffers.
        gradient_bytes: one gradient for each parameter that has one.
        optimizer_bytes: what the optimizer keeps from step to step.
        saved_bytes: activations, masks and indices that the forward pass keeps for the backward pass.
        peak_bytes: the most that is alive at once in the second step, in which the optimizer's state exists: tensors,
            and the copies that a CPU's convolution kernels make for themselves.
        precision: of the products, where it is not that of the parameters: ``bf16`` or ``fp16`` by autocast.
        device: whose fused kernels keep what the backward pass needs.
        trainable_parameters: numbers that have a gradient.
        frozen_parameters: numbers that have none.
        forward_macs: multiply-accumulates of the forward pass in training mode.
        backward_macs: those of the backward pass: no gradient of frozen weights and of inputs, with what checkpointing
            computes once more. A fused kernel counts as the operations that it fuses.
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
    precision: str = "fp32"
    device: str = "cpu"
    trainable_parameters: int = 0
    frozen_parameters: int = 0
    forward_macs: int = 0
    backward_macs: int = 0

    @property
    def flops(self) -> int:
        """Of a step's forward and backward pass: two for each multiply-accumulate."""
        return 2 * (self.forward_macs + self.backward_macs)

    def to_dict(self) -> dict[str, int | str]:
        """As one JSON object."""
        return dict(vars(self)) | {"flops": self.flops}

    def table(self) -> Table:
        """Bytes with units, parameters and multiply-accumulates."""
        sizes = {name: size for name, size in vars(self).items() if name.endswith("_bytes")}
        rows = [
            (name.removesuffix("_bytes"), f"{size:,}", text.size(size))
            for name, size in sizes.items()
        ]
        counts = {
            "trainable parameters": self.trainable_parameters,
            "frozen parameters": self.frozen_parameters,
            "forward MACs": self.forward_macs,
            "backward MACs": self.backward_macs,
            "FLOPs": self.flops,
        }
        rows += [(name, f"{number:,}", "") for name, number in counts.items()]
        mixed = f", products in {self.precision}" if self.precision != "fp32" else ""
        title = f"training step, {self.optimizer}, batch {self.batch_size}, {self.dtype}{mixed}, {self.device}"
        return Table(title, ("part", "bytes or number", "size"), tuple(rows))


def training_memory(
    model: Countable,
    input_shape: InputShape | None = None,
    *,
    batch_size: int = 1,
    optimizer: str | Method | OptimizerFactory = "sgd",
    dtype: torch.dtype | None = None,
    precision: Precision = "fp32",
    device: Device = "cpu",
) -> TrainingMemory:
    """What a training step takes, from two steps of a weightless copy in training mode.

    A rule that `rule` registered for a module is not used, since it says nothing of the backward pass.

    Args:
        model: a module, a factory without arguments, or a model's name.
        input_shape: as in `count`.
        batch_size: samples in the batch.
        optimizer: a method of `losslab.optimizers` as text or value, such as ``"sgd(momentum=0.9)"``, a name in
            `ALIASES`, or what makes an optimizer of parameters.
        dtype: of parameters and inputs; None for the model's own.
        precision: ``bf16`` or ``fp16`` for products in half precision, as under `torch.autocast`.
        device: whose fused kernels are stood for: attention on ``cpu`` and ``cuda``, LSTM on ``cpu``.
    Raises:
        InvalidInput: an unknown optimizer, or a model that cannot be built, run or differentiated.
    Example:
        >>> memory = training_memory("mlp", batch_size=128, optimizer="adam")
        >>> memory.parameter_bytes, memory.optimizer_bytes == 2 * memory.parameter_bytes
        (16336040, True)
    """
    for name, value, choices in (
        ("precision", precision, ("fp32", *_HALVES)),
        ("device", device, ("cpu", "cuda")),
    ):
        if value not in choices:
            raise InvalidInput(f"`{name}` (={value}) must be one of {', '.join(choices)}")
    network, inputs, batch_size = resolve(model, input_shape, batch_size)
    if inputs.structure is None:
        raise InvalidInput(
            "`input` (=none) leaves nothing to train on; give a shape such as 3x224x224"
        )
    step = _Step(optimizer, batch_size, dtype, precision, device)
    return as_fits(
        inputs,
        lambda inputs, *, with_values: step.measured(network, inputs, with_values=with_values),
    )


@dataclass(frozen=True)
class _Step:
    """How a step is taken."""

    optimizer: str | Method | OptimizerFactory
    batch_size: int
    dtype: torch.dtype | None
    precision: Precision
    device: Device

    def measured(
        self, network: nn.Module, inputs: Inputs, *, with_values: bool
    ) -> TrainingMemory:
        """What two steps of a copy keep and compute."""
        twin, running = meta_copy(network), Running(self.device)
        running.follow(twin)
        materialise(twin, running, inputs, self.batch_size)
        twin = twin.train()
        if self.dtype is not None:
            sparse = map(kept, (*twin.parameters(), *twin.buffers()))
            if any(sparse) or any(map(is_sparse, inputs.examples)):
                raise InvalidInput(
                    f"`dtype` (={self.dtype}) is not for sparse matrices; leave it out, or convert the model before"
                )
            twin = twin.to(self.dtype)
        trained = [parameter for parameter in twin.parameters() if parameter.requires_grad]
        if not trained:
            raise InvalidInput("`model` has no parameter with a gradient; nothing to train")
        rule = build_optimizer(self.optimizer, trained)
        tensors = fed(twin, inputs, self.batch_size, with_values=with_values)
        if self.dtype is not None:
            tensors = [
                tensor.to(self.dtype) if tensor.is_floating_point() else tensor
                for tensor in tensors
            ]
        held = (*twin.parameters(), *twin.buffers())
        call = _Call(twin, running, *inputs.arguments(twin, tensors))
        with torch.inference_mode(False), torch.enable_grad(), Values():
            names = {
                id(tensor): entry.name
                for entry, tensor in zip(inputs.each, tensors, strict=True)
                if entry.dtype is None
            }
            forward_macs, backward_macs = self._products(call, names)
            rule.zero_grad()
            with LiveStorages((*held, *tensors)) as live:
                saved = SavedStorages(held)
                with torch.autograd.graph.saved_tensors_hooks(
                    saved.pack, lambda tensor: tensor
                ):
                    loss = self._loss(call)
                self._backward(loss)
                first_step(rule)
                rule.zero_grad()
                del loss
                # The first step makes the optimizer's state; all others are as the second.
                live.peak_bytes = live.bytes
                self._backward(self._loss(call))
                # A fused step makes no tensors; on the meta device torch has none.
                if not is_fused(self.optimizer, trained):
                    rule.step()
        state = [
            tensor
            for values in rule.state.values()
            for tensor in tensors_in(values)
            if tensor.is_meta
        ]
        return TrainingMemory(
            optimizer=type(rule).__name__ if callable(self.optimizer) else str(self.optimizer),
            batch_size=self.batch_size,
            dtype=str(next(iter(trained)).dtype).removeprefix("torch."),
            parameter_bytes=_bytes(twin.parameters()),
            buffer_bytes=sum(map(bytes_of, twin.buffers())),
            gradient_bytes=_bytes(p.grad for p in twin.parameters() if p.grad is not None),
            optimizer_bytes=_bytes(state),
            saved_bytes=saved.bytes,
            peak_bytes=live.peak_bytes,
            precision=self.precision,
            device=self.device,
            trainable_parameters=sum(parameter.numel() for parameter in trained),
            frozen_parameters=sum(p.numel() for p in twin.parameters() if not p.requires_grad),
            forward_macs=forward_macs,
            backward_macs=backward_macs,
        )

    def _products(self, call: "_Call", names: dict[int, str]) -> tuple[int, int]:
        """MACs of the forward and of the backward pass, with every kernel taken apart."""
        with Products(names, checked=self.precision == "fp32") as products:
            loss = call.loss()
            forward = products.macs
            _backward(loss, self.device)
        return forward, products.macs - forward

    def _loss(self, call: "_Call") -> Tensor:
        with self._kernels():
            return call.loss()

    @contextmanager
    def _kernels(self) -> Iterator[None]:
        """Those of the device, in its precision."""
        with ExitStack() as stack:
            # First, since it lets one run in at a time, and the kernels, too, are the process's.
            stack.enter_context(autocast_of_models(self.device))
            stack.enter_context(FusedKernels(self.device))
            if self.precision != "fp32":
                # torch's own, which checkpointing sees and enters again.
                stack.enter_context(torch.autocast("cpu", _HALVES[self.precision]))
            yield

    def _backward(self, loss: Tensor) -> None:
        # What checkpointing computes once more must keep what it kept the first time.
        with self._kernels():
            _backward(loss, self.device)


@dataclass(frozen=True)
class _Call:
    """A twin and what it is given."""

    twin: nn.Module
    running: Running
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def loss(self) -> Tensor:
        """A number that depends on all outputs that have a gradient."""
        results = outputs_of(run(self.twin, self.running, self.args, self.kwargs))
        outputs = [tensor for tensor in results if tensor.requires_grad]
        if not outputs:
            raise InvalidInput(
                "`model` gives no output that depends on a parameter with a gradient; nothing to train"
            )
        return torch.stack([tensor.sum().float() for tensor in outputs]).sum()


def _backward(loss: Tensor, device: Device) -> None:
    try:
        with autocast_of_models(device):
            loss.backward()  # type: ignore[no-untyped-call]
    except (RuntimeError, NotImplementedError) as error:
        raise InvalidInput(
            f"the backward pass of the model: {first_line(error)}; leave out checkpointing where the model has it"
        ) from error


def _bytes(tensors: Iterable[Tensor]) -> int:
    """Of a sparse gradient, as much as a dense one: the most that it can hold."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
