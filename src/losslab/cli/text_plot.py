"""A curve in the terminal, in dots of braille, so that a remote machine needs no browser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from shutil import get_terminal_size

import numpy as np
from numpy.typing import NDArray

from losslab.text import number

DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Bits of a braille character, by row and column of the dot."""
BRAILLE = 0x2800
"""The braille character without dots."""
ROWS = 8
"""Characters of a curve's height."""
MARGIN = 9
"""Characters for the numbers of the vertical axis."""
LEAST_COLUMNS = 20
"""Of the curve, however narrow the terminal says that it is."""
FEW = 16
"""A curve of so many points or fewer has each of them on its horizontal axis."""
BARS = "▁▂▃▄▅▆▇█"
SPARK_COLUMNS = 16
"""Characters of a line of bars at most."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Axis:
    """The horizontal axis: from the lowest to the highest value over a number of columns."""

    low: float
    high: float
    columns: int
    log: bool

    def fractions(self, values: Floats) -> Floats:
        """Place values from 0 at the left end to 1 at the right one."""
        ends = np.array([self.low, self.high])
        if self.log:
            ends, values = np.log10(ends), np.log10(values)
        return np.asarray((values - ends[0]) / (ends[1] - ends[0]))

    def column(self, value: float) -> int:
        """Find the column of a value."""
        fraction = self.fractions(np.array([value], np.float64))[0]
        return round(float(fraction) * (self.columns - 1))

    def ticks(self, points: Floats) -> list[float]:
        """Choose the values to label, both ends first: the points where they are few, powers of ten on a log axis."""
        # In the order of their importance: where there is no room, a label gives way to those before it.
        ends = [self.low, self.high]
        if len(points) <= FEW:
            return [*ends, *points[1:-1].tolist()]
        if not self.log:
            return ends
        decades = range(ceil(np.log10(self.low)), floor(np.log10(self.high)) + 1)
        return [*ends, *(10.0**decade for decade in decades)]


def text_plot(
    x: Sequence[float],
    y: Sequence[float | None],
    *,
    names: tuple[str, str],
    log: bool = False,
    marks: Mapping[str, float | None] | None = None,
) -> str:
    """Draw a line through points, as wide as the terminal, with numbers on both axes.

    Args:
        x: increasing values; where there are more than fit, neighbours are averaged.
        y: values; one that is None or not finite is left out.
        names: of the horizontal and the vertical axis.
        log: a logarithmic horizontal axis, for positive x.
        marks: name -> value of x, shown by a ^ below the curve and named under it; None is left out.
    Returns:
        Lines of text; none where fewer than two points are left.
    """
    known_y = [np.nan if value is None else value for value in y]
    points = np.array(list(zip(x, known_y, strict=True)), np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < 2:
        return ""
    columns = max(LEAST_COLUMNS, get_terminal_size().columns - MARGIN)
    axis = _Axis(points[0, 0], points[-1, 0], columns, log)
    # Thinned along the axis as it is drawn, so that neighbours on a logarithmic one are neighbours on the screen.
    across = _thinned(axis.fractions(points[:, 0]), columns)
    heights = _thinned(points[:, 1], columns)
    low, high = float(heights.min()), float(heights.max())
    span = (high - low) or 1.0  # a level curve has no span to divide by; it lies at the bottom
    curve = _braille(across, (heights - low) / span, columns, ROWS)
    values = [_vertical(high), *[""] * (ROWS - 2), _vertical(low)]
    lines = [f"{value:>{MARGIN - 1}} {line}" for value, line in zip(values, curve, strict=True)]
    known = {name: value for name, value in (marks or {}).items() if value is not None}
    below = [
        *_mark_lines(known, axis),
        *_tick_lines(points[:, 0], axis),
        _title_line(names[0], axis),
    ]
    lines += [" " * MARGIN + line for line in below]
    return "\n".join([names[1], *(line.rstrip() for line in lines)])


def sparkline(values: Sequence[float | None]) -> str:
    """Draw values in order as a line of bars, from the lowest to the highest finite one; neighbours are averaged."""
    finite = np.array([value for value in values if value is not None], np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return ""
    parts = np.array_split(finite, min(len(finite), SPARK_COLUMNS))
    heights = np.array([part.mean() for part in parts])
    span = (heights.max() - heights.min()) or 1.0
    levels = np.round((heights - heights.min()) / span * (len(BARS) - 1))
    return "".join(BARS[int(level)] for level in levels)


def _mark_lines(marks: Mapping[str, float], axis: _Axis) -> list[str]:
    """Draw a ^ under each mark, and the names in as many lines as keep them apart."""
    if not marks:
        return []
    columns = {name: axis.column(value) for name, value in marks.items()}
    arrows = _line([("^", column) for column in columns.values()], axis.columns)[0]
    lines = [arrows]
    waiting = list(columns.items())
    while waiting:  # it ends, since the first label of a line always finds room
        line, waiting = _line(waiting, axis.columns)
        lines.append(line)
    return lines


def _tick_lines(points: Floats, axis: _Axis) -> list[str]:
    """Write the numbers of the horizontal axis, as many as there is room for."""
    labels = [(number(tick, 3), axis.column(tick)) for tick in axis.ticks(points)]
    return [_line(labels, axis.columns)[0]]


def _title_line(name: str, axis: _Axis) -> str:
    title = f"{name}, logarithmic" if axis.log else name
    return title.center(axis.columns)


def _line(labels: Sequence[tuple[str, int]], columns: int) -> tuple[str, list[tuple[str, int]]]:
    """Centre labels on their columns in a line, earlier ones first; return also those that found no room."""
    line = [" "] * columns
    left: list[tuple[str, int]] = []
    for text, column in labels:
        start = min(max(0, column - len(text) // 2), max(0, columns - len(text)))
        # A blank on both sides keeps numbers apart.
        around = line[max(0, start - 1) : start + len(text) + 1]
        if any(sign not in (" ", "^") for sign in around):
            left.append((text, column))
        else:
            line[start : start + len(text)] = text
    return "".join(line), left


def _vertical(value: float) -> str:
    """Write a number of the vertical axis, which has no room for all digits of a large one."""
    text = number(value, 3)
    return text if len(text) < MARGIN else f"{value:.1e}"


def _thinned(values: Floats, columns: int) -> Floats:
    """Thin values to at most one for each column of dots."""
    parts = np.array_split(values, min(len(values), 2 * columns))
    return np.array([part.mean() for part in parts])


def _braille(across: Floats, up: Floats, columns: int, rows: int) -> list[str]:
    """Draw a line through points of the unit square."""
    # A character has 2 columns and 4 rows of dots; rows count downwards, as text does.
    positions = np.linspace(0.0, 1.0, 2 * columns)
    down = 1 - np.interp(positions, across, up)
    dots = np.round(down * (4 * rows - 1)).astype(int)
    cells = np.full((rows, columns), BRAILLE)
    # The dots of a column reach to those of the next, so that a steep line has no gaps.
    for column, (dot, following) in enumerate(zip(dots, [*dots[1:], dots[-1]], strict=True)):
        step = 1 if following > dot else -1
        for row in range(dot, following, step) or [dot]:
            cells[row // 4, column // 2] |= DOTS[row % 4, column % 2]
    return ["".join(map(chr, line)) for line in cells]
