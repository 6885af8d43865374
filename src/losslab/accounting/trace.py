"""What a model does, operation by operation, as it runs."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from losslab.accounting.call import Call, bind, tensors_in
from losslab.accounting.formulas import NOTHING, Formula, conv_weights, plus, times
from losslab.accounting.inputs import Input, Inputs
from losslab.accounting.layout import Factor, Layout, lost, plain
from losslab.accounting.operations import APART, SILENT, Work, work_of
from losslab.accounting.propagate import layout_of
from losslab.accounting.receptive_field import Field
from losslab.accounting.twin import DependsOnData, NeedsIntegers, Place, meta_copy, run

_READS_VALUES = frozenset({"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim"})


@dataclass(frozen=True)
class Step:
    """One operation that ran.

    Attributes:
        module: path of the innermost module that was running; empty for the model itself.
        visit: number of that module's call, which tells two calls of one module apart.
        work: its kind and arithmetic.
        shape: of its first result, batch included.
        parameters: arithmetic of the parameters that it was the first to use.
        layout: where the axes of the inputs are in its result, and what its units see.
    """

    module: str
    visit: int
    work: Work
    shape: tuple[int, ...]
    parameters: Formula
    layout: Layout


@dataclass
class Trace:
    """The steps of one run, its outputs as shapes and layouts, and the parameters that nothing used.

    ``axes`` names the axes that layouts number: the input's name and the dimension of its sample.
    """

    inputs: Inputs
    axes: list[tuple[str, int]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    outputs: list[tuple[tuple[int, ...], Layout]] = field(default_factory=list)
    unused: dict[str, tuple[int, ...]] = field(default_factory=dict)


def trace(model: nn.Module, inputs: Inputs, batch_size: int, *, include_bias: bool = True) -> Trace:
    """Run a weightless copy of the model in evaluation mode and note every operation.

    Inputs without a dtype are floats; one that goes straight into an embedding is taken as int64.

    Raises:
        InvalidInput: when the model's forward raises, or asks for a value that only real data has.
    """
    while True:
        twin, place = meta_copy(model).eval(), Place()
        place.follow(twin)
        _materialise(twin, place, inputs, batch_size)
        recorder = _Recorder(twin, place, Trace(inputs), include_bias)
        args, kwargs = inputs.arguments(twin, [recorder.feed(one, batch_size) for one in inputs.each])
        try:
            with torch.no_grad(), torch.device("meta"), recorder:
                outputs = run(twin, place, args, kwargs)
        except NeedsIntegers as needs:
            inputs = inputs.as_integers(needs.names)
            continue
        recorder.finish(tensors_in(outputs))
        return recorder.trace


def _materialise(twin: nn.Module, place: Place, inputs: Inputs, batch_size: int) -> None:
    """Give lazy modules their parameters, which they make when they first run."""
    if any(map(is_lazy, twin.parameters())):
        args, kwargs = inputs.arguments(
            twin, [one.tensor(batch_size, _dtype(twin.parameters())) for one in inputs.each]
        )
        with torch.no_grad(), torch.device("meta"):
            run(twin, place, args, kwargs)


@dataclass
class _Known:
    """A tensor of the run (kept alive, so that its id stays its own).

    ``weights`` are the parameters that it is made of, until data or a product turns it into an activation.
    """

    tensor: Tensor
    layout: Layout
    weights: frozenset[str] = frozenset()
    active: bool = False


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
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

    def feed(self, one: Input, batch_size: int) -> Tensor:
        """The tensor of an input, known by its axes: those after the channel, or the only one."""
        tensor = one.tensor(batch_size, _dtype(self._parameters.values()))
        layout = plain(tensor.shape)
        dims = list(layout.dims)
        for dim in range(2 if len(dims) > 2 else 1, len(dims)):
            dims[dim] = (Factor(dims[dim][0].size, {len(self.trace.axes): Field()}),)
            self.trace.axes.append((one.name, dim - 1))
        self._remember(_Known(tensor, replace(layout, dims=tuple(dims)), active=True))
        self._fed[id(tensor)] = one.name
        self.trace.steps.append(Step("", 0, Work("input"), tuple(tensor.shape), NOTHING, self._of(tensor).layout))
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
            self._note(Call(name, func, arguments, tensors, outputs, lambda tensor: self._of(tensor).layout))
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
        layouts = [layout_of(call, output) for output in call.outputs]
        parameters = self._claim(weights, work) if active else NOTHING
        if weights and work.kind == "matmul":
            work = replace(work, kind="linear")
        if not active and work.kind not in SILENT:
            work = replace(work, kind="weights" if weights else "constant")
        if work.kind not in SILENT or parameters:
            place = self._place
            self.trace.steps.append(Step(place.module, place.visit, work, call.shape, parameters, layouts[0]))
        for output, layout in zip(call.outputs, layouts, strict=True):
            self._update(call, _Known(output, layout, frozenset() if active else weights, active))

    def _update(self, call: Call, new: _Known) -> None:
        self._remember(new)
        if not call.in_place or len(call.tensors) < 2:
            return
        for other in self._sharing[new.tensor.untyped_storage()._cdata]:
            if other.tensor is not new.tensor:
                other.layout = lost([other.layout, new.layout], other.layout.shape)
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
        self.trace.outputs = [(tuple(output.shape), self._of(output).layout) for output in outputs]
        for name, parameter in self._parameters.items():
            if name not in self._claimed and self._counts(name):
                self.trace.unused[name] = tuple(parameter.shape)


def _dtype(parameters: Iterable[nn.Parameter]) -> torch.dtype:
    """That of the model, which its inputs share."""
    return next((one.dtype for one in parameters if one.is_floating_point()), torch.float32)


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
