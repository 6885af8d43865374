"""A dispatch mode that notes every operation as it runs: its work, its axes and the parameters that it uses first."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from losslab.accounting.axes import Factor, plain
from losslab.accounting.call import Call, bind, schema_of, tensors_in
from losslab.accounting.dtypes import check_call
from losslab.accounting.formulas import NOTHING, Formula, conv_weights, plus, times
from losslab.accounting.inputs import Input
from losslab.accounting.known import Known, Tensors
from losslab.accounting.operations import APART, SILENT, Work
from losslab.accounting.receptive_field import Field
from losslab.accounting.rules import MODULES, axes_of, module_work, work_of
from losslab.accounting.running import Running, check_integers
from losslab.accounting.steps import Step, Trace
from losslab.accounting.values import reads_values


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fills a trace while a twin runs under it."""

    def __init__(
        self, model: nn.Module, running: Running, trace: Trace, *, include_bias: bool
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace
        self._running, self._include_bias = running, include_bias
        self._parameters = dict(model.named_parameters())
        self._order = {name: index for index, name in enumerate(self._parameters)}
        self._names = {id(parameter): name for name, parameter in self._parameters.items()}
        self._tensors = Tensors(self._names)
        self._inside: list[tuple[int, set[str]]] = []
        self._fed: dict[int, str] = {}
        self._claimed: set[str] = set()
        self._complex = False

    def follow(self, model: nn.Module) -> None:
        """Have modules with a rule of their own be one step each."""
        for module in model.modules():
            if type(module) in MODULES:
                module.register_forward_pre_hook(self._entered)
                module.register_forward_hook(self._left, prepend=True)

    def _entered(self, _module: nn.Module, _inputs: Any) -> None:
        self._inside.append((len(self.trace.steps), self._claimed.copy()))

    def _left(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """In place of the steps within, one with the work of the rule and all parameters of the module."""
        before, claimed = self._inside.pop()
        del self.trace.steps[before:]
        names = [
            self._names[id(parameter)]
            for parameter in module.parameters()
            if id(parameter) in self._names
        ]
        self._claimed = claimed
        parameters, work = (
            self._claim(frozenset(names), Work("custom")),
            module_work(module, inputs, output),
        )
        result = tensors_in(output)[0]
        running, axes = self._running, self._tensors[result].axes
        self.trace.steps.append(
            Step(running.module, running.visit, work, tuple(result.shape), parameters, axes)
        )

    def feed(self, entry: Input, tensor: Tensor) -> None:
        """Note an input: its axes are those after the channel, or the only one."""
        axes = plain(tensor.shape)
        dims = list(axes.dims)
        first = 0 if entry.batch == 0 else 1  # of one sample
        for dim in range(first + 1 if len(dims) > first + 1 else first, len(dims)):
            size = dims[dim][0].size
            dims[dim] = (Factor(size, {len(self.trace.axes): Field(positions=size)}),)
            self.trace.axes.append((entry.name, dim - first))
        axes = replace(axes, dims=tuple(dims))
        self._tensors[tensor] = Known(axes, active=True)
        if entry.dtype is None:
            self._fed[id(tensor)] = entry.name
        # Of several inputs a row says which it is.
        work = Work("input", detail=entry.name if len(self.trace.inputs.each) > 1 else "")
        self.trace.steps.append(Step("", 0, work, tuple(tensor.shape), NOTHING, axes))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, seconds, to keep it from compiling this

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        schema = schema_of(func)
        name = schema.name
        if schema.is_composite:
            # Under inference mode torch leaves it to us to take such an operation apart.
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        arguments = bind(func, args, kwargs)
        check_integers(name, arguments, self._fed)
        sources = tensors_in(args, kwargs)
        call = Call(
            name, func, arguments, sources, [], lambda tensor: self._tensors[tensor].axes
        )
        check_call(call)
        result = func(*args, **kwargs)
        outputs = tensors_in(result)
        if reads_values(func, args) and any(self._tensors[source].active for source in sources):
            self.trace.read_values = True
        if outputs:
            self._note(replace(call, outputs=outputs))
        return result

    def _note(self, call: Call) -> None:
        work, sources = work_of(call), [self._tensors[tensor] for tensor in call.tensors]
        if work.macs and any(map(_is_complex, (*call.outputs, *call.tensors))):
            self._complex = True
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
            running = self._running
            self.trace.steps.append(
                Step(running.module, running.visit, work, call.shape, parameters, axes[0])
            )
        # Once for all outputs: an operation such as `unbind` has one for each time step.
        # One tensor alone, and element by element, leaves the field as it is, whoever looks at the memory.
        written = call.in_place and (len(call.tensors) > 1 or work.kind == "reduce")
        for output, output_axes in zip(call.outputs, axes, strict=True):
            known = Known(output_axes, frozenset() if active else weights, active)
            if written:
                self._tensors.note_write(output, known)
            else:
                self._tensors[output] = known

    def _claim(self, weights: frozenset[str], work: Work) -> Formula:
        """The arithmetic of the parameters that no operation before this one has used."""
        fresh = weights - self._claimed
        self._claimed |= fresh
        counted = sorted(
            (name for name in fresh if self._counts(name)), key=self._order.__getitem__
        )
        if not counted:
            return NOTHING
        return plus(_weights(tuple(self._parameters[name].shape), work) for name in counted)

    def _counts(self, name: str) -> bool:
        return self._include_bias or not is_bias(name)

    def finish(self, outputs: list[Tensor]) -> None:
        """Note the outputs, the parameters that no operation used, and those used that are not the model's."""
        self.trace.dtype = float_dtype(self._parameters.values())
        for output in outputs:
            known, shape = self._tensors[output], tuple(output.shape)
            self.trace.outputs.append((shape, known.axes))
            # Such as a learned temperature, which no other operation may have used.
            work = Work("weights", detail="output")
            parameters = self._claim(known.weights, work)
            if parameters:
                self.trace.steps.append(Step("", 0, work, shape, parameters, known.axes))
        for name, parameter in self._parameters.items():
            if name not in self._claimed and self._counts(name):
                self.trace.unused[name] = tuple(parameter.shape)
        if self._tensors.unregistered:
            shapes = ", ".join(self._tensors.unregistered)
            self.trace.notes.append(
                f"weights of shape {shapes} are no parameters of the model (modules in a plain list?)"
            )
        if self._complex:
            self.trace.notes.append(
                "a MAC of complex numbers counts once, though it takes four of real numbers; their convolutions count "
                "as the three of real numbers that torch runs"
            )


def _is_complex(tensor: Tensor) -> bool:
    """Whether it has complex numbers, or their real parts: torch takes a complex convolution apart into real ones."""
    whole = tensor if tensor._base is None else tensor._base
    return tensor.is_complex() or whole.is_complex()


def float_dtype(parameters: Iterable[nn.Parameter]) -> torch.dtype:
    """That of the model, which its inputs share."""
    return next(
        (parameter.dtype for parameter in parameters if parameter.is_floating_point()),
        torch.float32,
    )


def is_bias(name: str) -> bool:
    """Whether a parameter is a bias: the last part of its name begins or ends with the word."""
    last = name.rpartition(".")[2]
    return last.startswith("bias") or last.endswith("bias")


def _weights(shape: tuple[int, ...], work: Work) -> Formula:
    """The arithmetic of one parameter: inputs of a unit first, then the number of units."""
    if work.kind.startswith("conv") and len(shape) > 2:
        return conv_weights(shape)
    if work.kind == "matmul" and len(shape) == 2:
        inner = (
            work.inner
            if int(work.inner) == shape[1] and len(work.inner.parts) > 1
            else shape[1]
        )
        return times(inner, shape[0])
    return times(*shape) if shape else times(1)
