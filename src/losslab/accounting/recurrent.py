"""Recurrent layers as torch runs them on a CPU: inputs of all steps are multiplied at once, then step follows step.

The meta device multiplies each step's input on its own, so that other tensors are alive at other moments.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.accounting.lstm import lstm_layer, takes_lstm

States = tuple[Tensor, ...]


@dataclass(frozen=True)
class Weights:
    """Of a layer in one direction."""

    inputs: Tensor
    hidden: Tensor
    biases: tuple[Tensor, Tensor] | None
    projection: Tensor | None

    def of_inputs(self, inputs: Tensor) -> Tensor:
        """Inputs times their weights."""
        return F.linear(inputs, self.inputs, self.biases and self.biases[0])

    def of_hidden(self, hidden: Tensor) -> Tensor:
        """The output of the step before times its weights."""
        return F.linear(hidden, self.hidden, self.biases and self.biases[1])


def _lstm(inputs: Tensor, states: States, weights: Weights) -> States:
    hidden, cell = states
    gates = weights.of_hidden(hidden).add_(inputs)
    into, forget, new, out = gates.unsafe_chunk(4, 1)
    into, forget, new, out = into.sigmoid_(), forget.sigmoid_(), new.tanh_(), out.sigmoid_()
    cell = (forget * cell).add_(into * new)
    hidden = out * cell.tanh()
    if weights.projection is not None:
        hidden = F.linear(hidden, weights.projection)
    return hidden, cell


def _gru(inputs: Tensor, states: States, weights: Weights) -> States:
    (hidden,) = states
    of_inputs = inputs.unsafe_chunk(3, 1)
    of_hidden = weights.of_hidden(hidden).unsafe_chunk(3, 1)
    reset = of_hidden[0].add_(of_inputs[0]).sigmoid_()
    update = of_hidden[1].add_(of_inputs[1]).sigmoid_()
    new = of_inputs[2].add(of_hidden[2].mul_(reset)).tanh_()
    return ((hidden - new).mul_(update).add_(new),)


def _rnn_tanh(inputs: Tensor, states: States, weights: Weights) -> States:
    return (weights.of_hidden(states[0]).add_(inputs).tanh(),)


def _rnn_relu(inputs: Tensor, states: States, weights: Weights) -> States:
    return (weights.of_hidden(states[0]).add_(inputs).relu(),)


Cell = Callable[[Tensor, States, Weights], States]
"""A step: of the products of its input, the states and weights to the next states, of which the first is its output."""

_CELLS: dict[Any, Cell] = {
    torch.lstm: _lstm,
    torch.gru: _gru,
    torch.rnn_tanh: _rnn_tanh,
    torch.rnn_relu: _rnn_relu,
}
_SINGLE: dict[Any, Cell] = {
    torch.lstm_cell: _lstm,
    torch.gru_cell: _gru,
    torch.rnn_tanh_cell: _rnn_tanh,
    torch.rnn_relu_cell: _rnn_relu,
}
"""Functions of one step."""


def is_recurrent(func: Any, args: Sequence[Any]) -> bool:
    """Whether this is a recurrent layer, without data, of sequences that are not packed."""
    return func in _CELLS and args[0].is_meta and isinstance(args[3], bool)


def recurrent(
    func: Any,
    source: Tensor,
    states: Tensor | States,
    weights: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> States:
    """What `torch.lstm`, `torch.gru` and the like give and keep on a CPU."""
    layer = source.transpose(0, 1) if batch_first else source
    starts = (states,) if isinstance(states, Tensor) else states
    if _has_kernel(func, source, starts):
        layer = layer.contiguous()
    each_start = zip(*(state.unbind(0) for state in starts), strict=True)
    each_weights = _by_direction(weights, has_biases, len(weights) // len(starts[0]))
    ends = []
    for index in range(num_layers):
        outputs = []
        for backwards in (False, True) if bidirectional else (False,):
            output, end = _direction(
                func, layer, next(each_start), next(each_weights), backwards=backwards
            )
            outputs.append(output)
            ends.append(end)
        layer = torch.cat(outputs, -1) if bidirectional else outputs[0]
        if dropout and train and index < num_layers - 1:
            layer = F.dropout(layer, dropout)
    last = map(torch.stack, zip(*ends, strict=True))
    return layer.transpose(0, 1) if batch_first else layer, *last


def is_cell(func: Any, args: Sequence[Any]) -> bool:
    """Whether this is one step of a recurrent layer, without data."""
    return func in _SINGLE and args[0].is_meta


def cell(
    func: Any,
    source: Tensor,
    states: Tensor | States,
    of_inputs: Tensor,
    of_hidden: Tensor,
    *biases: Any,
) -> Tensor | States:
    """What `torch.lstm_cell`, `torch.gru_cell` and the like give and keep on a CPU."""
    given = len(biases) == 2 and biases[0] is not None
    weights = Weights(of_inputs, of_hidden, biases if given else None, None)
    starts = (states,) if isinstance(states, Tensor) else tuple(states)
    ends = _SINGLE[func](weights.of_inputs(source), starts, weights)
    return ends[0] if isinstance(states, Tensor) else ends


def is_fused(func: Any, args: Sequence[Any]) -> bool:
    """Whether a CPU runs a call as one operation."""
    return is_recurrent(func, args) and _has_kernel(func, args[0], tuple(args[1]))


def _has_kernel(func: Any, source: Tensor, states: States) -> bool:
    """Whether oneDNN runs a layer as one operation: an LSTM without projections."""
    projected = states[0].shape[-1] != states[-1].shape[-1]
    return func is torch.lstm and not projected and takes_lstm(source)


def _by_direction(weights: Sequence[Tensor], has_biases: bool, each: int) -> Iterator[Weights]:
    """torch lists two weights, two biases and a projection of each direction of each layer."""
    for i in range(0, len(weights), each):
        inputs, hidden, *others = weights[i : i + each]
        biases = (others[0], others[1]) if has_biases else None
        projection = others[-1] if len(others) % 2 else None
        yield Weights(inputs, hidden, biases, projection)


def _direction(
    func: Any, source: Tensor, states: States, weights: Weights, *, backwards: bool
) -> tuple[Tensor, States]:
    if _has_kernel(func, source, states):
        return lstm_layer(source, weights.inputs, weights.hidden, weights.biases)
    steps = weights.of_inputs(source).unbind(0)
    outputs = []
    for inputs in reversed(steps) if backwards else steps:
        states = _CELLS[func](inputs, states, weights)
        outputs.append(states[0])
    if backwards:
        outputs.reverse()
    return torch.stack(outputs), states
