"""One operation as it ran: its name, its arguments by name, its result."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from losslab.accounting.axes import Axes


@dataclass(frozen=True)
class Schema:
    """What torch declares of an operation, looked up once.

    Attributes:
        name: such as ``convolution``; the trailing underscore of an in-place form is dropped, and the namespace where
            it is torch's own.
        arguments: the names of the arguments with their defaults, in order.
        written: the arguments that the operation writes into.
        is_view: whether the result shares its argument's memory.
        is_composite: whether torch defines it by other operations.
        is_elementwise: whether each output element depends on the elements at its own position only.
        needs_values: whether its result, or that one's shape, depends on values.
        takes_device: whether it has an argument for the device; it makes a tensor.
        starts_with_tensor: whether its first argument is a tensor.
    """

    name: str
    arguments: tuple[tuple[str, Any], ...]
    written: tuple[str, ...]
    is_view: bool
    is_composite: bool
    is_elementwise: bool
    needs_values: bool
    takes_device: bool
    starts_with_tensor: bool


@cache
def schema_of(operation: Any) -> Schema:
    """What torch declares of an operation."""
    declared = operation._schema
    space, _, name = declared.name.partition("::")
    tags = operation.tags
    written = [
        argument.name
        for argument in declared.arguments
        if argument.alias_info and argument.alias_info.is_write
    ]
    return Schema(
        name=name.removesuffix("_") if space == "aten" else declared.name,
        arguments=tuple(
            (argument.name, argument.default_value) for argument in declared.arguments
        ),
        written=tuple(written),
        is_view=operation.is_view,
        is_composite=torch._C._dispatch_has_kernel_for_dispatch_key(
            operation.name(), "CompositeImplicitAutograd"
        ),
        is_elementwise=torch.Tag.pointwise in tags,
        needs_values=torch.Tag.data_dependent_output in tags
        or torch.Tag.dynamic_output_shape in tags,
        takes_device=any(argument.name == "device" for argument in declared.arguments),
        starts_with_tensor=bool(declared.arguments)
        and str(declared.arguments[0].type) == "Tensor",
    )


@dataclass(frozen=True)
class Call:
    """An operation of torch's ATen set with what it got and gave.

    Attributes:
        name: the operation, such as ``convolution``; the trailing underscore of an in-place form is dropped.
        operation: torch's object for it.
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
        """Whether each output element depends on the elements at its own position only."""
        return schema_of(self.operation).is_elementwise

    @property
    def in_place(self) -> bool:
        """Whether the result is one of the arguments."""
        arguments = set(map(id, self.tensors))
        return any(id(output) in arguments for output in self.outputs)

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


FieldRule = Callable[[Call, Tensor], Axes]
"""From a call and one of its results to the axes of that result."""


def named(rule: FieldRule, names: str) -> dict[str, FieldRule]:
    """One rule for each operation of a list of names."""
    return dict.fromkeys(names.split(), rule)


def bind(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an operation by the names in its schema."""
    given, bound = len(args), {}
    for i, (name, default) in enumerate(schema_of(operation).arguments):
        bound[name] = args[i] if i < given else kwargs.get(name, default)
    return bound


def tensors_in(*values: Any) -> list[Tensor]:
    """Every tensor in a nested structure, in order."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, dict):
            found += tensors_in(*value.values())
        elif isinstance(value, list | tuple):
            found += tensors_in(*value)
    return found


def outputs_of(result: Any) -> list[Tensor]:
    """The tensors that a model returns, those within distributions and plain objects too."""
    return list(_outputs(result))


def _outputs(result: Any) -> Iterator[Tensor]:
    for leaf in tree_leaves(result):
        if isinstance(leaf, Tensor):
            yield leaf
        elif isinstance(leaf, torch.distributions.Distribution) or (
            is_dataclass(leaf) and not isinstance(leaf, type)
        ):
            yield from _outputs(list(vars(leaf).values()))


def words(text: str) -> frozenset[str]:
    """The names in a text."""
    return frozenset(text.split())
