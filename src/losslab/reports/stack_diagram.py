"""What one unit sees through stacked convolutions, laid out for drawing: a row of cells a layer, along one axis."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from losslab.text import names

CELL, STEP, LABEL = 26, 66, 96
"""Side of a cell, from row to row, and width of the labels on the left; units of the drawing."""


@dataclass(frozen=True)
class Row:
    """The cells of a layer that the unit depends on: a label, the upper edge, and the left edges."""

    label: str
    y: int
    cells: tuple[float, ...]


@dataclass(frozen=True)
class StackDiagram:
    """Rows from the unit down to the input, the outlines of the first and last kernels, and the whole in words."""

    width: int
    height: int
    rows: tuple[Row, ...]
    cones: tuple[str, ...]
    words: str
    cell: int = CELL


def stack_diagram(sizes: Sequence[int], kernel: int) -> StackDiagram:
    """Lay out the diagram of a stack.

    Args:
        sizes: how many units each layer has that the one unit depends on, itself first.
        kernel: side of each kernel.
    """
    width = LABEL + sizes[-1] * CELL
    counts = names([str(size) for size in sizes[1:]])
    return StackDiagram(
        width=width,
        height=(len(sizes) - 1) * STEP + CELL,
        rows=tuple(_row(index, sizes) for index in range(len(sizes))),
        cones=tuple(_cones(sizes, kernel)),
        words=f"One unit of the last layer depends on {counts} neighbouring units, layer by layer down to the input.",
    )


def _left(size: int, sizes: Sequence[int]) -> float:
    """Where a row begins: all are centred above the widest."""
    return LABEL + (sizes[-1] - size) * CELL / 2


def _row(index: int, sizes: Sequence[int]) -> Row:
    size, layer = sizes[index], len(sizes) - 1 - index
    name = f"layer {layer}" if layer else "input"
    left = _left(size, sizes)
    return Row(
        f"{name}: {size}", index * STEP, tuple(left + cell * CELL for cell in range(size))
    )


def _cones(sizes: Sequence[int], kernel: int) -> Iterator[str]:
    """From the first and the last cell of each row down to what their kernels read, as the path of an SVG."""
    for index, (size, size_below) in enumerate(pairwise(sizes)):
        left, left_below, y = _left(size, sizes), _left(size_below, sizes), index * STEP
        for cell in sorted({0, size - 1}):  # one cell where the row has one
            top = f"M{left + cell * CELL} {y + CELL}h{CELL}"
            yield f"{top}L{left_below + (cell + kernel) * CELL} {y + STEP}h-{kernel * CELL}z"
