"""Run a weightless copy of a model and note what it does."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from losslab.accounting.call import outputs_of
from losslab.accounting.inputs import Inputs
from losslab.accounting.recorder import Recorder, float_dtype
from losslab.accounting.running import NeedsIntegers, Running, run
from losslab.accounting.steps import Trace
from losslab.accounting.twin import meta_copy
from losslab.accounting.values import Values
from losslab.errors import InvalidInput

Result = TypeVar("Result")


def trace(
    model: nn.Module, inputs: Inputs, batch_size: int, *, include_bias: bool = True
) -> Trace:
    """Run a weightless copy of the model in evaluation mode and note every operation.

    Inputs without a dtype are floats; one that goes straight into an embedding is taken as int64.

    Raises:
        InvalidInput: when the model's forward raises, or asks for a value that only real data has.
    """

    def attempt(inputs: Inputs, *, with_values: bool) -> Trace:
        twin, running = meta_copy(model).eval(), Running()
        running.follow(twin)
        values = Values()
        recorder = Recorder(twin, running, Trace(inputs), include_bias=include_bias)
        if inputs.structure is None:
            _check_not_lazy(twin)
            recorder.finish([])
            return recorder.trace
        materialise(twin, running, inputs, batch_size)
        recorder = Recorder(twin, running, Trace(inputs), include_bias=include_bias)
        recorder.follow(twin)
        tensors = fed(twin, inputs, batch_size, with_values=with_values)
        for entry, tensor in zip(inputs.each, tensors, strict=True):
            recorder.feed(entry, tensor)
        args, kwargs = inputs.arguments(twin, tensors)
        with torch.inference_mode(False), torch.no_grad(), values, recorder:
            outputs = outputs_of(run(twin, running, args, kwargs))
            recorder.finish(outputs)
        if recorder.trace.read_values:
            recorder.trace.notes += _assumptions(inputs, values)
        return recorder.trace

    return as_fits(inputs, attempt)


def as_fits(inputs: Inputs, attempt: Callable[..., Result]) -> Result:
    """What an attempt gives, with integers where an embedding needs them, and without values that do not suit.

    Ids 0, 1, 2 ... may lie beyond a small table that the model looks into; such a model runs without values, if it
    asks for none.
    """
    first_error: InvalidInput | None = None
    with_values = True
    while True:
        try:
            return attempt(inputs, with_values=with_values)
        except NeedsIntegers as needs:
            inputs = inputs.as_integers(needs.names)
        except InvalidInput as error:
            if not with_values or not any(entry.assumption for entry in inputs.each):
                raise (first_error or error) from error.__cause__
            first_error, with_values = error, False


def fed(twin: nn.Module, inputs: Inputs, batch_size: int, *, with_values: bool) -> list[Tensor]:
    """The tensors of the input."""
    dtype = float_dtype(twin.parameters())
    tensors = [entry.tensor(batch_size, dtype) for entry in inputs.each]
    if with_values:
        return tensors
    return [t if t.is_meta else torch.empty_like(t, device="meta") for t in tensors]


def materialise(twin: nn.Module, running: Running, inputs: Inputs, batch_size: int) -> None:
    """Give lazy modules their parameters, which they make when they first run."""
    if any(map(is_lazy, twin.parameters())):
        args, kwargs = inputs.arguments(twin, fed(twin, inputs, batch_size, with_values=True))
        with torch.inference_mode(False), torch.no_grad(), torch.device("meta"), Values():
            run(twin, running, args, kwargs)
        _check_not_lazy(twin)


def _check_not_lazy(twin: nn.Module) -> None:
    """Raise where a lazy layer has not run, so that nobody knows its parameters."""
    for path, module in twin.named_modules():
        if any(map(is_lazy, module.parameters(recurse=False))):
            layer = f"layer '{path}'" if path else "`model`"
            raise InvalidInput(
                f"{layer} ({type(module).__name__}) is lazy: its parameters have no shape until it runs; give `input`, "
                "such as 3x224x224, or a layer with all its sizes where no input reaches it"
            )


def _assumptions(inputs: Inputs, values: Values) -> list[str]:
    """Under which values a run holds that asked for some."""
    fed_values = [entry.assumption for entry in inputs.each if entry.assumption]
    positions = [f"positions of {name} spread evenly" for name in values.assumed]
    return [f"with {text}" for text in (*fed_values, *positions)]
