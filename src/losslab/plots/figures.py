"""What a figure shows, apart from how it is drawn: `web` draws it for the page, `files` as PNG and SVG."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Literal

from losslab.text import number

LIGHT = ("#0b6bb0", "#c44601", "#008a66", "#8e2f7a", "#2b2f36", "#b38600")
DARK = ("#4aa3ff", "#f08a4b", "#35c9a0", "#d070c0", "#e6e8eb", "#f2d24b")
"""Colours of the series by slot, far apart for every kind of colour vision, 3:1 or more against the page."""

ROUNDS = 40
"""How often overlapping labels are pushed apart; ample for a dozen."""
LONGEST = 28
"""Labels in a drawing are cut to so many characters; the table beside it and the hover keep all."""
MOST_DECADES = 9
"""An axis of so many decades or more has a label at every other, or fewer."""
NAME = re.compile(r"[a-z][a-z0-9-]*$")
Row = tuple[str, ...]
Anchor = Literal["left", "center", "right"]


@dataclass(frozen=True)
class Series:
    """Points that belong together.

    Attributes:
        label: what the reader calls them; shown as text, never as markup.
        x: abscissae.
        y: ordinates, as many.
        low: lower ends of the interval or band around y, or None.
        high: upper ends.
        slot: which colour.
        style: a line, points, both, or bars from 0.
        dash: whether the line is dashed.
        faint: whether it is a background to the others, thin and grey.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    slot: int = 0
    style: Literal["line", "points", "both", "bars"] = "line"
    dash: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Mark:
    """A value to compare with: a line across at x or at y, or a ring around the point (x, y)."""

    label: str
    x: float | None = None
    y: float | None = None
    slot: int | None = None

    @property
    def is_line(self) -> bool:
        """Whether it is a line and no ring."""
        return (self.x is None) != (self.y is None)

    @property
    def value(self) -> float:
        """Where a line crosses its axis."""
        return (self.x if self.y is None else self.y) or 0.0


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


@dataclass(frozen=True)
class Figure:
    """A chart.

    Attributes:
        name: identity in the page and file name: lower-case letters, digits and hyphens.
        title: what is shown, in a line.
        x_label: quantity and unit of x.
        y_label: quantity and unit of y.
        series: what is drawn, in order.
        x_log: whether x is drawn on a logarithmic axis.
        y_log: whether y is.
        x_names: names of x = 0, 1, 2 ... where x counts things and measures nothing; it is drawn downwards then, so
            that the names have room.
        marks: values to compare with.
        x_span: values that the x axis covers beside those drawn, so that figures share it.
        y_span: values that the y axis covers beside those drawn, so that two figures share it.
        percent: whether y is a fraction of one that is shown in percent.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_log: bool = False
    y_log: bool = False
    x_names: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    x_span: tuple[float, ...] = ()
    y_span: tuple[float, ...] = ()
    percent: bool = False

    def __post_init__(self) -> None:
        if not NAME.match(self.name):
            raise ValueError(f"`name` (={self.name!r}) must be lower-case letters, digits and hyphens")

    @property
    def direct(self) -> bool:
        """Whether each series is labelled at its end, for which all must end at the right edge."""
        ends = {series.x[-1] for series in self.series}
        return len(self.series) > 1 and not self.x_names and len(ends) == 1

    @property
    def bar_width(self) -> float:
        """Room for each bar where series are bars, which stand side by side over a name; else 0."""
        return 0.8 / len(self.series) if any(series.style == "bars" for series in self.series) else 0.0

    @property
    def legend(self) -> bool:
        """Whether a legend tells the series apart."""
        return len(self.series) > 1 and not self.direct


def x_range(figure: Figure) -> tuple[float, float]:
    """Ends of the x axis, with a margin; decades where it is logarithmic, half a step around where it counts."""
    if figure.x_names:
        return -0.5, len(figure.x_names) - 0.5
    drawn = [x for series in figure.series for x in series.x]
    return _range([*drawn, *figure.x_span], figure.x_log, 0.02)


def y_range(figure: Figure) -> tuple[float, float]:
    """Ends of the y axis with a margin around all that is drawn, 0 for bars; decades where it is logarithmic."""
    if figure.bar_width:
        return 0.0, 1.06 * max(_ordinates(figure), default=1.0)
    return _range([*_ordinates(figure), *figure.y_span], figure.y_log, 0.06)


def label_shifts(figure: Figure, height: float, line: float) -> list[float]:
    """How far up each series' label moves from the series' end so that no two labels overlap.

    Args:
        figure: whose series are labelled at their last point.
        height: of the drawing area, in any unit.
        line: least distance between two labels, in the same unit.
    """
    low, high = y_range(figure)
    ends = [(_scaled(series.y[-1], figure.y_log) - low) / (high - low) * height for series in figure.series]
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
    """The marks that are lines from side to side of the drawing, whose labels stand at their right end."""
    return [mark for mark in figure.marks if mark.is_line and not _is_upright(figure, mark)]


def mark_labels(figure: Figure, width: float, character: float) -> list[MarkLabel]:
    """The labels of the marks that are lines from top to bottom, in as many rows as keep them apart.

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
        line = (_scaled(mark.value, is_log) - low) / (high - low) * width
        length = character * len(mark.label)
        anchor = _anchor(line, length, width, index, len(uprights))
        start = line - {"left": 0.0, "center": length / 2, "right": length}[anchor]
        # The lowest row whose last label ends before this one starts; where there is none, a new row.
        free = [row for row, end in enumerate(row_ends) if end + character <= start]
        row = free[0] if free else len(row_ends)
        row_ends[row : row + 1] = [start + length]
        labels.append(MarkLabel(mark, row, anchor))
    return labels


def log_ticks(ends: tuple[float, float]) -> list[float]:
    """Where a logarithmic axis between two decades is labelled: the fewer decades, the more digits of each.

    At most eight decades are labelled, so that the labels lie side by side on a phone.

    Example:
        >>> log_ticks((-1.1, 0.5)), log_ticks((-9, 1))
        ([0.1, 0.2, 0.5, 1.0, 2.0], [1e-09, 1e-07, 1e-05, 0.001, 0.1, 10.0])
    """
    low, high = ends
    if high - low >= 2.5:
        decades = range(ceil(low), floor(high) + 1)
        return [float(f"1e{decade}") for decade in decades[:: 1 + len(decades) // MOST_DECADES]]
    digits = (1, 2, 5) if high - low >= 1 else (1, 1.5, 2, 3, 4, 5, 7)
    ticks = [float(f"{digit}e{decade}") for decade in range(floor(low), floor(high) + 1) for digit in digits]
    return [tick for tick in ticks if low <= log10(tick) <= high]


def short(label: str) -> str:
    """The label as a drawing has room for."""
    return label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"


def name_lines(name: str) -> list[str]:
    """A name beside an axis, broken before a plus."""
    return short(name).replace(" + ", "\n+ ").split("\n")


def numbers(figure: Figure) -> tuple[Row, list[tuple[str | float | None, ...]]]:
    """Head and rows of the numbers behind a figure: x, then a column per series and per end of its intervals."""
    columns = [column for series in figure.series for column in _columns(series, bool(figure.x_names))]
    abscissae = sorted({x for _, points in columns for x in points})
    rows = [(_x_value(figure, x), *(points.get(x) for _, points in columns)) for x in abscissae]
    return (figure.x_label, *(label for label, _ in columns)), rows


def table(figure: Figure) -> tuple[Row, list[Row]]:
    """The numbers behind a figure as people read them."""
    head, rows = numbers(figure)
    return head, [tuple(map(_text, row)) for row in rows]


def describe(figure: Figure) -> str:
    """The figure in words, for those who do not see it."""
    courses = [f"{series.label}: {_course(figure, series)}" for series in figure.series if series.y]
    return f"{figure.title}. {figure.y_label} by {figure.x_label}. {'; '.join(courses) or 'No data yet'}."


def _ordinates(figure: Figure) -> Iterator[float]:
    for series in figure.series:
        yield from (*series.y, *(series.low or ()), *(series.high or ()))
    yield from (mark.y for mark in figure.marks if mark.y is not None)


def _scaled(value: float, log: bool) -> float:
    return log10(value) if log else value


def _range(values: Sequence[float], log: bool, margin: float) -> tuple[float, float]:
    values = [value for value in values if value > 0 or not log] or [1.0]
    low, high = _scaled(min(values), log), _scaled(max(values), log)
    gap = margin * (high - low) or 0.1 * (abs(low) or 1.0)
    return low - gap, high + gap


def _is_upright(figure: Figure, mark: Mark) -> bool:
    """Whether a mark's line runs from top to bottom: one of x does, unless names go downwards and x with them."""
    return (mark.y is None) != bool(figure.x_names)


def _anchor(line: float, length: float, width: float, index: int, count: int) -> Anchor:
    """The side of its label that a line is at, such that the label lies inside the drawing.

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


def _columns(series: Series, names: bool) -> Iterator[tuple[str, dict[float, float]]]:
    """Label -> numbers by x; over names, x without what sets series apart."""
    x = [round(value) for value in series.x] if names else series.x
    yield series.label, dict(zip(x, series.y, strict=True))
    if series.low and series.high:
        yield f"{series.label}, low", dict(zip(x, series.low, strict=True))
        yield f"{series.label}, high", dict(zip(x, series.high, strict=True))


def _course(figure: Figure, series: Series) -> str:
    if figure.x_names:
        pairs = zip(series.x, series.y, strict=True)
        return ", ".join(f"{_x_value(figure, x)} {_text(y)}" for x, y in pairs)
    return f"from {_text(series.y[0])} to {_text(series.y[-1])}"


def _x_value(figure: Figure, x: float) -> str | float:
    return figure.x_names[round(x)] if figure.x_names else x


def _text(value: str | float | None) -> str:
    """A cell of the table; six digits, so that points which are drawn apart are told apart."""
    if isinstance(value, str):
        return value
    return "" if value is None else number(value, 6)
