"""Where the labels of a figure stand, so that no two lie on each other; both drawers read it."""

from dataclasses import dataclass
from typing import Literal

from losslab.plots.figures import Figure, Mark, scaled, x_range, y_range

ROUNDS = 40
"""How often overlapping labels are pushed apart; ample for a dozen."""
LONGEST = 28
"""Labels in a drawing are cut to so many characters; the table beside it and the hover keep all."""
Anchor = Literal["left", "center", "right"]


@dataclass(frozen=True)
class MarkLabel:
    """The label of a line from top to bottom, above the drawing.

    Attributes:
        mark: the line.
        row: in which row above the drawing the label stands, counted from 0.
        anchor: which part of it is at the line.
    """

    mark: Mark
    row: int
    anchor: Anchor


def label_shifts(figure: Figure, height: float, line: float) -> list[float]:
    """Compute how far up each series' label moves from the series' end so that no two labels overlap.

    Args:
        figure: whose series are labelled at their last point.
        height: of the drawing area, in any unit.
        line: least distance between two labels, in the same unit.
    """
    low, high = y_range(figure)
    ends = []
    for series in figure.series:
        fraction = (scaled(series.y[-1], figure.y_log) - low) / (high - low)
        ends.append(fraction * height)
    order = sorted(range(len(ends)), key=ends.__getitem__)
    heights = [ends[index] for index in order]
    # Neighbours that overlap share the way apart; that may push one onto the next, hence again.
    for _ in range(ROUNDS):
        for lower in range(len(heights) - 1):
            push = max(0.0, line - (heights[lower + 1] - heights[lower])) / 2
            heights[lower] -= push
            heights[lower + 1] += push
    by_series = sorted(zip(order, heights, strict=True))
    return [height - ends[index] for index, height in by_series]


def lines_across(figure: Figure) -> list[Mark]:
    """Select the marks that are lines from side to side of the drawing, whose labels stand at their right end."""
    return [mark for mark in figure.marks if mark.is_line and not _is_upright(figure, mark)]


def mark_labels(figure: Figure, width: float, character: float) -> list[MarkLabel]:
    """Lay out the labels of the marks that are lines from top to bottom, in as many rows as keep them apart.

    Args:
        figure: whose marks they are.
        width: of the drawing area, in any unit.
        character: width of a character, in the same unit.
    """
    low, high = y_range(figure) if figure.x_names else x_range(figure)
    is_log = figure.y_log if figure.x_names else figure.x_log
    uprights = [mark for mark in figure.marks if mark.is_line and _is_upright(figure, mark)]
    labels: list[MarkLabel] = []
    row_ends: list[float] = []
    for index, mark in enumerate(sorted(uprights, key=lambda mark: mark.value)):
        line = (scaled(mark.value, is_log) - low) / (high - low) * width
        length = character * len(mark.label)
        anchor = _anchor(line, length, width, index, len(uprights))
        start = line - {"left": 0.0, "center": length / 2, "right": length}[anchor]
        # The lowest row whose last label ends before this one starts; where there is none, a new row.
        free = [row for row, end in enumerate(row_ends) if end + character <= start]
        row = free[0] if free else len(row_ends)
        row_ends[row : row + 1] = [start + length]
        labels.append(MarkLabel(mark, row, anchor))
    return labels


def short(label: str) -> str:
    """Cut a label to what a drawing has room for."""
    return label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"


def name_lines(name: str) -> list[str]:
    """Break a name beside an axis before a plus."""
    return short(name).replace(" + ", "\n+ ").split("\n")


def _is_upright(figure: Figure, mark: Mark) -> bool:
    """Whether a mark's line runs from top to bottom: one of x does, unless names go downwards and x with them."""
    return (mark.y is None) != bool(figure.x_names)


def _anchor(line: float, length: float, width: float, index: int, count: int) -> Anchor:
    """Choose the side of its label that a line is at, such that the label lies inside the drawing.

    Of several lines the first has its label before it and the last behind it, which leaves room between them.
    """
    before, behind = line >= length, line + length <= width
    if count > 1 and index == 0 and before:
        return "right"
    if count > 1 and index == count - 1 and behind:
        return "left"
    if line < length / 2:
        return "left"
    return "right" if line + length / 2 > width else "center"
