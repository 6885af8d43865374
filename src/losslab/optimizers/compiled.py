"""Steps that torch compiles to one pass over memory: the same numbers to rounding, not the same bits."""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import cache

import torch

from losslab.errors import InvalidInput
from losslab.optimizers._block_step import BlockStep
from losslab.optimizers._blocks import Numbers, Operands, Rule, Tensors, update

SMALL = 2**16
"""Elements below which tensors are updated together: a call of a compiled function costs about 20 microseconds."""
TYPICAL = 2**20
"""Elements for which code is compiled, whatever the network: for fewer the compiler uses one thread alone."""

Kernel = Callable[[torch.Tensor, torch.Tensor, Tensors, torch.Tensor], None]
"""(weights, gradients, slots, numbers): one step of flat tensors, in place."""


def compiled(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Have an optimizer update its parameters by a compiled function, which takes some seconds to compile.

    A process compiles once for each rule, whatever the network. Steps agree with those that are not compiled to about
    1e-6 relative, since the compiler contracts and reorders operations.

    Args:
        optimizer: of a method whose ``compiles`` is true, with its parameters on the CPU.
    Returns:
        The same optimizer.
    Raises:
        InvalidInput: for another optimizer or device, or where there is no compiler.
    """
    if not isinstance(optimizer, BlockStep):
        raise InvalidInput(
            f"`compile_step`: {type(optimizer).__name__} has no step to compile; leave it out"
        )
    _check_machine(optimizer)
    optimizer.update = CompiledUpdate(optimizer)
    _compile_now(optimizer)
    return optimizer


def _check_machine(optimizer: torch.optim.Optimizer) -> None:
    device = optimizer.param_groups[0]["params"][0].device
    if device.type != "cpu":
        raise InvalidInput(
            f"`compile_step`: steps are compiled on a CPU alone, not on {device}; leave it out"
        )
    if any(
        weights.is_complex() for group in optimizer.param_groups for weights in group["params"]
    ):
        raise InvalidInput(
            "`compile_step`: complex weights have no compiled step; leave it out"
        )
    # The one that torch.compile calls.
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        raise InvalidInput(
            f"`compile_step` needs a C++ compiler, and there is no {compiler}; install it, name another by CXX, or "
            "leave it out"
        )


def _compile_now(optimizer: BlockStep) -> None:
    """Compile what the groups need by an update of other weights: now, as the clock of a run has not begun."""
    groups = []
    for group in optimizer.param_groups:
        weights = torch.nn.Parameter(torch.zeros(TYPICAL))
        weights.grad = torch.zeros(TYPICAL)
        groups.append({**group, "params": [weights]})
    twin = type(optimizer)(groups, **optimizer.defaults)
    update = CompiledUpdate(twin)
    # No `step`, which others may have hooked into.
    with torch.no_grad():
        for group in twin.param_groups:
            update(twin.rule, twin.operands(group))


class CompiledUpdate:
    """Updates large tensors one by one and small ones side by side, in flat buffers that hold their state for good."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._shelves: dict[tuple[int, ...], Shelf] = {}

    def __call__(self, rule: Rule, operands: Operands) -> None:
        """Do one step of all parameters."""
        # Kernels read numbers from a tensor, and many rules come from one source.
        with torch._dynamo.config.patch(capture_scalar_outputs=True, recompile_limit=64):
            self._update(rule, operands)

    def _update(self, rule: Rule, operands: Operands) -> None:
        names = tuple(operands.slots)
        for numbers, indices in _by_numbers(operands.numbers):
            kernel = _kernel(rule, names, tuple(numbers))
            values = torch.tensor(list(numbers.values()), dtype=torch.float64)
            small: dict[torch.dtype, list[int]] = {}
            for index in indices:
                slots = [operands.slots[name][index] for name in names]
                flat = _flat([operands.weights[index], operands.gradients[index], *slots])
                if flat is None:
                    # A buffer holds numbers of one type.
                    small.setdefault(operands.weights[index].dtype, []).append(index)
                else:
                    weights, gradients, *states = flat
                    kernel(weights, gradients, states, values)
            for together in small.values():
                self._update_small(kernel, operands, together, values)

    def _update_small(
        self, kernel: Kernel, operands: Operands, indices: list[int], values: torch.Tensor
    ) -> None:
        weights = [operands.weights[index] for index in indices]
        gradients = [operands.gradients[index] for index in indices]
        slots: dict[str, Tensors] = {}
        for name, tensors in operands.slots.items():
            slots[name] = [tensors[index] for index in indices]
        shelf = self._shelf(weights, slots)
        # Weights and gradients stay the model's and are copied; state lives in the buffers, and is not.
        torch._foreach_copy_(shelf.weights, weights)
        torch._foreach_copy_(shelf.gradients, gradients)
        weights_here, gradients_here, *states = shelf.flat
        kernel(weights_here, gradients_here, states, values)
        torch._foreach_copy_(weights, shelf.weights)

    def _shelf(self, weights: Tensors, slots: dict[str, Tensors]) -> "Shelf":
        """The buffers of these parameters; new ones where their state was replaced, as when a checkpoint is loaded."""
        key = tuple(map(id, weights))
        shelf = self._shelves.get(key)
        if shelf is None or not shelf.holds(slots):
            shelf = self._shelves[key] = Shelf(weights, slots)
            for index, parameter in enumerate(weights):
                for name, views in shelf.slots.items():
                    self._optimizer.state[parameter][name] = views[index]
        return shelf


class Shelf:
    """Flat buffers for the weights, the gradients and each state of some parameters; views of these as tensors."""

    def __init__(self, weights: Tensors, slots: dict[str, Tensors]) -> None:
        elements = sum(tensor.numel() for tensor in weights)
        self.flat = [
            weights[0].new_empty(elements, requires_grad=False) for _ in range(2 + len(slots))
        ]
        self.weights, self.gradients, *states = (_views(flat, weights) for flat in self.flat)
        self.slots = dict(zip(slots, states, strict=True))
        for name, tensors in slots.items():
            torch._foreach_copy_(self.slots[name], tensors)

    def holds(self, slots: dict[str, Tensors]) -> bool:
        """Whether the state of the parameters is still that of this shelf."""
        for name, tensors in slots.items():
            views = self.slots[name]
            if any(tensor is not view for tensor, view in zip(tensors, views, strict=True)):
                return False
        return True


def _views(flat: torch.Tensor, weights: Tensors) -> Tensors:
    parts = torch.split(flat, [tensor.numel() for tensor in weights])
    # One with gaps in its memory, as a part of another, would reach beyond its own room by its own strides.
    return [
        part.as_strided(tensor.shape, tensor.stride())
        if _is_dense(tensor)
        else part.view(tensor.shape)
        for part, tensor in zip(parts, weights, strict=True)
    ]


def _is_dense(tensor: torch.Tensor) -> bool:
    return tensor.is_contiguous() or (
        tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    )


def _flat(tensors: Tensors) -> Tensors | None:
    """Flat views in the order of memory; None where the tensors are small or lie in memory in different orders."""
    first = tensors[0]
    if (
        first.numel() < SMALL
        or not _is_dense(first)
        or any(tensor.stride() != first.stride() for tensor in tensors)
    ):
        return None
    # As data, which are a view of nothing: torch compiles anew for views of bases of other shapes.
    return [tensor.as_strided((tensor.numel(),), (1,)).data for tensor in tensors]


def _by_numbers(numbers: Sequence[Numbers]) -> list[tuple[Numbers, list[int]]]:
    """Group the indices of parameters by the numbers that these have."""
    # By identity, as `blocks` does: equal numbers of two groups stay apart, which costs a call and no comparison.
    groups: dict[int, tuple[Numbers, list[int]]] = {}
    for index, entry in enumerate(numbers):
        groups.setdefault(id(entry), (entry, []))[1].append(index)
    return list(groups.values())


@cache
def _kernel(rule: Rule, names: tuple[str, ...], keys: tuple[str, ...]) -> Kernel:
    """Compile a rule. Numbers come in a tensor: as Python's, each new one would be compiled in."""

    def step(
        weights: torch.Tensor, gradients: torch.Tensor, states: Tensors, values: torch.Tensor
    ) -> None:
        slots = {name: [state] for name, state in zip(names, states, strict=True)}
        numbers = {key: value.item() for key, value in zip(keys, values.unbind(), strict=True)}
        update(rule, [weights], [gradients], slots, numbers)

    kernel: Kernel = torch.compile(step, fullgraph=True, dynamic=True)
    return kernel
