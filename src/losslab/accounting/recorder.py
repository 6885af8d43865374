"""A dispatch mode that notes every operation as it runs: its work, its axes and the parameters that it uses first."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from losslab.accounting.axes import Axes, Factor, lost, plain
from losslab.accounting.call import Call, bind, tensors_in
from losslab.accounting.formulas import NOTHING, Formula, conv_weights, plus, times
from losslab.accounting.inputs import Input
from losslab.accounting.operations import APART, SILENT, Work, work_of
from losslab.accounting.propagate import axes_of
from losslab.accounting.receptive_field import Field
from losslab.accounting.steps import Step, Trace
from losslab.accounting.twin import DependsOnData, NeedsIntegers, Place

_READS_VALUES = frozenset({"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim"})


@dataclass
class _Known:
    """A tensor of the run (kept alive, so that its id stays its own).

    ``weights`` are the parameters that it is made of, until data or a product turns it into an activation.
    """

    tensor: Tensor
    axes: Axes
    weights: frozenset[str] = frozenset()
    active: bool = False


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fills a trace while a twin runs under it."""

    def __init__(self, model: nn.Module, place: Place, trace: Trace, include_bias: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace
        self._place, self._include_bias = place, include_bias
        self._parameters = dict(model.named_parameters())
        self._names = {id(parameter): name for name, parameter in self._parameters.items()}
        self._known: dict[int, _Known] = {}
        self._sharing: dict[int, list[_Known]] = {}
        self._fed: dict[int, str] = {}
        self._claimed: set[str] = set()

    def feed(self, entry: Input, batch_size: int) -> Tensor:
        """The tensor of an input, known by its axes: those after the channel, or the only one."""
        tensor = entry.tensor(batch_size, float_dtype(self._parameters.values()))
        axes = plain(tensor.shape)
        dims = list(axes.dims)
        for dim in range(2 if len(dims) > 2 else 1, len(dims)):
            dims[dim] = (Factor(dims[dim][0].size, {len(self.trace.axes): Field()}),)
            self.trace.axes.append((entry.name, dim - 1))
        self._remember(_Known(tensor, replace(axes, dims=tuple(dims)), active=True))
        self._fed[id(tensor)] = entry.name
        self.trace.steps.append(Step("", 0, Work("input"), tuple(tensor.shape), NOTHING, self._of(tensor).axes))
        return tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        space, _, name = func._schema.name.partition("::")
        name = name.removesuffix("_") if space == "aten" else func._schema.name
        arguments = bind(func, args, kwargs or {})
        if name in _READS_VALUES or (name == "index" and _has_mask(arguments["indices"])):
            raise DependsOnData(f"aten.{name}")
        if name in ("embedding", "_embedding_bag") and arguments["indices"].is_floating_point():
            self._ask_for_integers(arguments["indices"])
        result = func(*args, **(kwargs or {}))
        tensors, outputs = tensors_in(args, kwargs), tensors_in(result)
        if outputs:
            self._note(Call(name, func, arguments, tensors, outputs, lambda tensor: self._of(tensor).axes))
        return result

    def _ask_for_integers(self, indices: Tensor) -> None:
        if id(indices) in self._fed:
            raise NeedsIntegers(frozenset({self._fed[id(indices)]}))

    def _of(self, tensor: Tensor) -> _Known:
        if id(tensor) not in self._known:
            weights = frozenset({self._names[id(tensor)]}) if id(tensor) in self._names else frozenset()
            self._remember(_Known(tensor, plain(tensor.shape), weights))
        return self._known[id(tensor)]

    def _remember(self, known: _Known) -> None:
        self._known[id(known.tensor)] = known
        self._sharing.setdefault(known.tensor.untyped_storage()._cdata, []).append(known)

    def _note(self, call: Call) -> None:
        work, sources = work_of(call), [self._of(tensor) for tensor in call.tensors]
        weights = frozenset().union(*(known.weights for known in sources))
        forms_units = work.kind not in APART and work.kind != "reduce"
        active = any(known.active for known in sources) or forms_units
        axes = [axes_of(call, output) for output in call.outputs]
        parameters = self._claim(weights, work) if active else NOTHING
        if weights and work.kind == "matmul":
            work = replace(work, kind="linear")
        if not active and work.kind not in SILENT:
            work = replace(work, kind="weights" if weights else "constant")
        if work.kind not in SILENT or parameters:
            place = self._place
            self.trace.steps.append(Step(place.module, place.visit, work, call.shape, parameters, axes[0]))
        for output, output_axes in zip(call.outputs, axes, strict=True):
            self._update(call, _Known(output, output_axes, frozenset() if active else weights, active))

    def _update(self, call: Call, new: _Known) -> None:
        self._remember(new)
        if not call.in_place or len(call.tensors) < 2:
            return
        for other in self._sharing[new.tensor.untyped_storage()._cdata]:
            if other.tensor is not new.tensor:
                other.axes = lost([other.axes, new.axes], other.axes.shape)
                other.active, other.weights = other.active or new.active, other.weights | new.weights

    def _claim(self, weights: frozenset[str], work: Work) -> Formula:
        fresh = weights - self._claimed
        self._claimed |= fresh
        counted = sorted((name for name in fresh if self._counts(name)), key=list(self._parameters).index)
        return plus(_weights(tuple(self._parameters[name].shape), work) for name in counted) if counted else NOTHING

    def _counts(self, name: str) -> bool:
        return self._include_bias or not is_bias(name)

    def finish(self, outputs: list[Tensor]) -> None:
        """Note the outputs, and the parameters that no operation used."""
        self.trace.outputs = [(tuple(output.shape), self._of(output).axes) for output in outputs]
        for name, parameter in self._parameters.items():
            if name not in self._claimed and self._counts(name):
                self.trace.unused[name] = tuple(parameter.shape)


def float_dtype(parameters: Iterable[nn.Parameter]) -> torch.dtype:
    """That of the model, which its inputs share."""
    return next((parameter.dtype for parameter in parameters if parameter.is_floating_point()), torch.float32)


def _has_mask(indices: list[Tensor | None]) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


def is_bias(name: str) -> bool:
    """Whether a parameter is a bias: the last part of its name begins or ends with the word."""
    last = name.rpartition(".")[2]
    return last.startswith("bias") or last.endswith("bias")


def _weights(shape: tuple[int, ...], work: Work) -> Formula:
    """The arithmetic of one parameter: inputs of a unit first, then the number of units."""
    if work.kind.startswith("conv") and len(shape) > 2:
        return conv_weights(shape)
    if work.kind == "matmul" and len(shape) == 2:
        inner = work.inner if int(work.inner) == shape[1] and len(work.inner.parts) > 1 else shape[1]
        return times(inner, shape[0])
    return times(*shape)
