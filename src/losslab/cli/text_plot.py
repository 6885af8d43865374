"""A curve in the terminal, in dots of braille, so that a remote machine needs no browser."""

from collections.abc import Mapping, Sequence
from shutil import get_terminal_size

import numpy as np
from numpy.typing import NDArray

from losslab.ranges.display import shown

DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Bits of a braille character, by row and column of the dot."""
MARGIN = 9
"""Characters for the numbers of the vertical axis."""
MOST_COLUMNS = 72
BARS = "▁▂▃▄▅▆▇█"
SPARK_COLUMNS = 16
"""Characters of a line of bars at most."""

Floats = NDArray[np.float64]


def text_plot(
    x: Sequence[float],
    y: Sequence[float | None],
    *,
    names: tuple[str, str],
    log: bool = False,
    marks: Mapping[str, float | None] | None = None,
    rows: int = 8,
) -> str:
    """A line through points, each axis with its lowest and highest value, as wide as the terminal.

    Args:
        x: increasing values; where there are more than fit, neighbours are averaged.
        y: values; one that is None or not finite is left out.
        names: of the horizontal and the vertical axis.
        log: a logarithmic horizontal axis, for positive x.
        marks: name -> value of x, shown by a ^ below the curve and named under it; None is left out.
        rows: characters of height.
    Returns:
        Lines of text; none where fewer than two points are left.
    """
    points = np.array([(a, np.nan if b is None else b) for a, b in zip(x, y, strict=True)], np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < 2:
        return ""
    columns = min(get_terminal_size().columns, MOST_COLUMNS) - MARGIN
    across = np.log10(points[:, 0]) if log else points[:, 0]
    ends = across[0], across[-1]
    across, heights = _thinned(across, columns), _thinned(points[:, 1], columns)
    low, high = heights.min(), heights.max()
    lines = _braille((across - ends[0]) / (ends[1] - ends[0]), (heights - low) / ((high - low) or 1.0), columns, rows)
    labels = [shown(float(high)), *[""] * (rows - 2), shown(float(low))]
    drawn = [names[1], *(f"{label:>{MARGIN - 1}} {line}" for label, line in zip(labels, lines, strict=True))]
    kept = {name: value for name, value in (marks or {}).items() if value is not None}
    places = [round((_scaled(value, log) - ends[0]) / (ends[1] - ends[0]) * (columns - 1)) for value in kept.values()]
    under = "".join("^" if place in places else " " for place in range(columns)).rstrip()
    axis = f"{names[0]}{', logarithmic' if log else ''}"
    left, right = (f"{end:.5g}" for end in (points[0, 0], points[-1, 0]))
    drawn += [" " * MARGIN + under] * bool(kept)
    drawn += [" " * MARGIN + left + axis.center(columns - len(left) - len(right)) + right]
    return "\n".join(line.rstrip() for line in drawn)


def sparkline(values: Sequence[float | None]) -> str:
    """Values in order as a line of bars, from the lowest to the highest that is finite; neighbours are averaged."""
    finite = np.array([value for value in values if value is not None], np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return ""
    heights = np.array([part.mean() for part in np.array_split(finite, min(len(finite), SPARK_COLUMNS))])
    up = (heights - heights.min()) / ((heights.max() - heights.min()) or 1.0)
    return "".join(BARS[round(float(height) * (len(BARS) - 1))] for height in up)


def _scaled(value: float, log: bool) -> float:
    return float(np.log10(value)) if log else value


def _thinned(values: Floats, columns: int) -> Floats:
    """At most a value for each column of dots."""
    parts = np.array_split(values, min(len(values), 2 * columns))
    return np.array([part.mean() for part in parts])


def _braille(across: Floats, up: Floats, columns: int, rows: int) -> list[str]:
    """A line through points of the unit square; dots of one column reach to those of the next."""
    places = np.linspace(0.0, 1.0, 2 * columns)
    dots = np.round((1 - np.interp(places, across, up)) * (4 * rows - 1)).astype(int)
    cells = np.full((rows, columns), 0x2800)
    for column, (dot, following) in enumerate(zip(dots, [*dots[1:], dots[-1]], strict=True)):
        step = 1 if following > dot else -1
        for row in range(dot, following, step) or [dot]:
            cells[row // 4, column // 2] |= DOTS[row % 4, column % 2]
    return ["".join(map(chr, line)) for line in cells]
