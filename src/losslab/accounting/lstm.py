"""An LSTM layer as oneDNN's kernel for a CPU runs it: its workspace is kept, its copies of weights are made and freed.

Sizes are those of oneDNN 3.12 with torch 2.13, of its kernel of plain matrix products.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_PAGE_BYTES = 4096
_FLOAT_BYTES = 4
_DTYPES = (torch.float32, torch.bfloat16)


def takes_lstm(source: Tensor) -> bool:
    """Whether oneDNN has a kernel for this dtype."""
    return source.dtype in _DTYPES


def lstm_layer(
    source: Tensor, inputs: Tensor, hidden: Tensor, biases: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Outputs and last states of a layer in one direction, given its source and weights."""
    # In place of biases torch keeps zeros, as many as weights.
    offsets = biases or (torch.zeros_like(inputs), torch.zeros_like(hidden))
    output: Tensor = _Layer.apply(  # type: ignore[no-untyped-call]
        source, hidden.shape[-1], inputs, hidden, *offsets
    )
    last = output.new_empty(output.shape[1:])
    return output, (last, last.clone())


class _Layer(torch.autograd.Function):
    """What the kernel keeps and works in, and gradients without values."""

    @staticmethod
    def forward(context: Any, source: Tensor, hidden: int, *weights: Tensor) -> Tensor:
        steps, batch, inputs = source.shape
        kernel = _Kernel(steps, batch, inputs, hidden, source.element_size())
        output = source.new_empty(steps, batch, hidden)
        states = [source.new_empty(batch, hidden) for _ in range(4)]
        workspace = _allocated([kernel.workspace_bytes])
        _allocated([*kernel.products_bytes(kernel.width), kernel.gates_bytes(_FLOAT_BYTES)])
        context.kernel = kernel
        context.save_for_backward(source, output, *states, *workspace, *weights)
        return output

    @staticmethod
    def backward(context: Any, of_output: Tensor) -> Any:
        kernel: _Kernel = context.kernel
        source, _, first, *others = context.saved_tensors
        weights = others[4:]  # behind three states and the workspace
        # Held while the kernel runs: gradients of its output and of states before and after.
        of_output = of_output.contiguous()
        of_states = [torch.empty_like(first, dtype=torch.float32) for _ in range(4)]
        of_source, *of_weights = (
            torch.empty_like(tensor, dtype=torch.float32) for tensor in (source, *weights[:2])
        )
        of_biases = torch.empty(4 * kernel.hidden, dtype=torch.float32, device="meta")
        copies = [*kernel.weights_bytes, *kernel.products_bytes(_FLOAT_BYTES)]
        _allocated([*copies, kernel.gates_bytes(kernel.width)])
        of_states.clear()
        # The kernel has one gradient for both biases.
        return of_source, None, *of_weights, of_biases, of_biases.clone()


def _allocated(sizes: Sequence[int]) -> list[Tensor]:
    """Memory of these bytes, all at once; what the caller does not keep is free again."""
    # Of floats: integers would be given values.
    return [
        torch.empty(size // _FLOAT_BYTES, dtype=torch.float32, device="meta") for size in sizes
    ]


@dataclass(frozen=True)
class _Kernel:
    """Sizes of what oneDNN allocates; `width` is the bytes of a number of the input."""

    steps: int
    batch: int
    inputs: int
    hidden: int
    width: int

    @property
    def workspace_bytes(self) -> int:
        """What is kept of each step: gates, outputs, states and, in float32, their gradients."""
        widest = max(self.inputs, self.hidden)
        # States are kept before the first step, too, below the layer and above it.
        states = 2 * (self.steps + 1)
        sections = (
            self._rows(self.steps, 4 * self.hidden, self.width),
            self._rows(self.steps, self.hidden, self.width),
            self._rows(states, widest, self.width),
            states * self.batch * self.hidden * self.width,
            self._rows(states, widest, _FLOAT_BYTES),
            self._rows(states, widest, _FLOAT_BYTES),
            states * self.batch * self.hidden * _FLOAT_BYTES,
        )
        return sum(map(_pages, sections))

    def gates_bytes(self, width: int) -> int:
        """What a pass works in: gates of all steps, two states."""
        gates = self._rows(self.steps, 4 * self.hidden, width)
        state = self._rows(1, self.hidden, _FLOAT_BYTES)
        return _pages(gates) + 2 * _pages(state)

    @property
    def weights_bytes(self) -> list[int]:
        """Copies of both weights with a row for each gate, where torch's rows do not have the padded length."""
        lengths = [
            length
            for length in (self.inputs, self.hidden)
            if _padded(length, self.width) != length
        ]
        return [
            4 * self.hidden * _padded(length, self.width) * self.width for length in lengths
        ]

    def products_bytes(self, width: int) -> list[int]:
        """Copies of both weights, or of their gradients, with a row for each input; torch has a row for each gate."""
        row = _padded(4 * self.hidden, width) * width
        return [self.inputs * row, self.hidden * row]

    def _rows(self, steps: int, length: int, width: int) -> int:
        return steps * self.batch * _padded(length, width) * width


def _padded(length: int, width: int) -> int:
    """Numbers in a row: whole cache lines of 64 bytes, one more where that is a multiple of 256 numbers."""
    line = 64 // width
    rounded = -(-length // line) * line
    return rounded + line if rounded % 256 == 0 else rounded


def _pages(size: int) -> int:
    return -(-size // _PAGE_BYTES) * _PAGE_BYTES
