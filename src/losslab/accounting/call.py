"""One operation as it ran: its name, its arguments by name, its result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from losslab.accounting.axes import Axes


@dataclass(frozen=True)
class Call:
    """An operation of torch's ATen set with what it got and gave.

    Attributes:
        name: the operation, such as ``convolution``; the trailing underscore of an in-place form is dropped.
        arguments: every argument of its schema by name, defaults included.
        tensors: all tensors among the arguments, in order.
        outputs: the tensors that it returned.
        axes: gives the axes of a tensor among ``tensors``.
    """

    name: str
    operation: Any
    arguments: dict[str, Any]
    tensors: list[Tensor]
    outputs: list[Tensor]
    axes: Callable[[Tensor], Axes]

    def __getitem__(self, argument: str) -> Any:
        return self.arguments[argument]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first result."""
        return tuple(self.outputs[0].shape)

    @property
    def elementwise(self) -> bool:
        """Whether each output element depends on the elements at its own place only."""
        return torch.Tag.pointwise in self.operation.tags

    @property
    def in_place(self) -> bool:
        """Whether the result is one of the arguments."""
        return any(out is tensor for out in self.outputs for tensor in self.tensors)

    def per_dim(self, argument: str, dims: int) -> list[int]:
        """An argument such as ``stride``, one value for each of the last ``dims`` dimensions; 1 where absent."""
        value = self.arguments.get(argument, 1)
        values = list(value) if isinstance(value, Sequence) else [value]
        return values * dims if len(values) == 1 else values

    @property
    def pool_window(self) -> tuple[list[int], list[int], list[int], list[int]]:
        """Kernel, stride, padding and dilation of a pooling, one value for each dimension."""
        dims = 3 if "3d" in self.name else 2
        kernel = self.per_dim("kernel_size", dims)
        stride = self.per_dim("stride", dims) if self["stride"] else kernel
        return kernel, stride, self.per_dim("padding", dims), self.per_dim("dilation", dims)


def bind(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an operation by the names in its schema."""
    schema = operation._schema.arguments
    bound = {}
    for i, argument in enumerate(schema):
        bound[argument.name] = args[i] if i < len(args) else kwargs.get(argument.name, argument.default_value)
    return bound


def tensors_in(*values: Any) -> list[Tensor]:
    """Every tensor in a nested structure, in order."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def outputs_of(result: Any) -> list[Tensor]:
    """The tensors that a model returns, those within distributions and plain objects too."""
    found: list[Tensor] = []
    for leaf in tree_leaves(result):
        if isinstance(leaf, Tensor):
            found.append(leaf)
        elif isinstance(leaf, torch.distributions.Distribution) or is_dataclass(leaf):
            found += [value for value in vars(leaf).values() if isinstance(value, Tensor)]
    return found


def words(text: str) -> frozenset[str]:
    """The names in a text."""
    return frozenset(text.split())
