"""One table of what is known of operations and modules: their work, and how they carry receptive fields."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from losslab.accounting.axes import Axes, lost
from losslab.accounting.call import Call, FieldRule
from losslab.accounting.formulas import Formula, times
from losslab.accounting.operations import WORK, Work, elements
from losslab.accounting.propagate import AXES, pointwise
from losslab.accounting.sparse import sparse_work

Macs = int | Formula
Counter = TypeVar("Counter", bound=Callable[..., Any])


@dataclass
class Rule:
    """What is known of an operation: ``work`` gives its work, ``field`` the axes of one of its results."""

    work: Callable[[Call], Work] | None = None
    field: FieldRule | None = None


RULES: dict[str, Rule] = {name: Rule(WORK.get(name), AXES.get(name)) for name in WORK | AXES}
"""Operation -> its rule; a name of torch's own operations stands without ``aten::``."""

MODULES: dict[type[nn.Module], Callable[..., Macs]] = {}
"""Class -> MACs of one forward, of (module, inputs, output); what runs within is not looked at."""


def rule(
    target: Any, *, kind: str = "custom", field: FieldRule | None = None
) -> Callable[[Counter], Counter]:
    """Register the MACs of an operator or a module; one that is known already is replaced.

    Args:
        target: an operator (``torch.ops.mine.scan``) or its name (``"mine::scan"``): the function below gets a `Call`,
            with the arguments by name, ``tensors`` and ``outputs``. Or a class of modules: it gets the module, the
            tuple of its inputs and its output.
        kind: what a table calls the operator.
        field: of (call, output) to the axes of that output, where receptive fields can be followed; unknown without.
    Returns:
        A decorator of the function that gives the MACs, a number or a `Formula` that prints as it was computed.
    Raises:
        TypeError: when the target is neither.
    Example:
        >>> class Scan(nn.Module):
        ...     def forward(self, x):
        ...         return x.cumsum(1)
        >>> @rule(Scan)
        ... def scan(module, inputs, output):
        ...     return 3 * output.numel()
        >>> from losslab.accounting import count
        >>> count(Scan(), (8,)).macs
        24
    """

    def register(counter: Counter) -> Counter:
        if isinstance(target, type) and issubclass(target, nn.Module):
            MODULES[target] = counter
            return counter
        RULES[_name(target)] = Rule(
            lambda call: Work(kind, _formula(counter(call)), detail=call.name), field
        )
        return counter

    return register


def _name(target: Any) -> str:
    name = target if isinstance(target, str) else getattr(target, "_qualified_op_name", None)
    if isinstance(target, torch._ops.OpOverload):
        name = target._schema.name
    if not isinstance(name, str) or "::" not in name:
        raise TypeError(
            f"`target` (={target!r}) must be an operator such as torch.ops.mine.scan or a class of modules"
        )
    return name.removeprefix("aten::")


def _formula(macs: Macs) -> Formula:
    return macs if isinstance(macs, Formula) else times(int(macs))


def module_work(module: nn.Module, inputs: Any, output: Any) -> Work:
    """The work of a module that has a rule."""
    return Work(
        type(module).__name__.lower(), _formula(MODULES[type(module)](module, inputs, output))
    )


def work_of(call: Call) -> Work:
    """The kind and the arithmetic of an operation."""
    return sparse_work(call, _dense_work(call))


def _dense_work(call: Call) -> Work:
    known = RULES.get(call.name)
    if known is not None and known.work is not None:
        return known.work(call)
    if call.elementwise:
        return Work("elementwise", operations=elements(call.shape), detail=call.name)
    if not call.tensors:
        return Work("create")
    if call.operation.is_view or torch.Tag.inplace_view in call.operation.tags:
        return Work("view")
    return Work(call.name, counted=False)


def axes_of(call: Call, output: Tensor) -> Axes:
    """The axes of one result of an operation; where no rule knows them, all that reach it are unbounded."""
    known = RULES.get(call.name)
    field = known.field if known is not None and known.field is not None else None
    if field is None and call.elementwise:
        field = pointwise
    result = field(call, output) if field is not None else None
    if result is None or result.shape != tuple(output.shape):
        return lost(map(call.axes, call.tensors), output.shape)
    return result
