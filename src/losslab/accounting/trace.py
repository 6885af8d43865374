"""Run a weightless copy of a model and note what it does."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from losslab.accounting.call import tensors_in
from losslab.accounting.inputs import Inputs
from losslab.accounting.recorder import Recorder, float_dtype
from losslab.accounting.steps import Trace
from losslab.accounting.twin import NeedsIntegers, Place, meta_copy, run


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
        recorder = Recorder(twin, place, Trace(inputs), include_bias)
        args, kwargs = inputs.arguments(twin, [recorder.feed(entry, batch_size) for entry in inputs.each])
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
            twin, [entry.tensor(batch_size, float_dtype(twin.parameters())) for entry in inputs.each]
        )
        with torch.no_grad(), torch.device("meta"):
            run(twin, place, args, kwargs)
