"""What a figure shows, apart from how it is drawn: `web` draws it for the page, `files` as PNG and SVG."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Literal

LIGHT = ("#0b6bb0", "#c44601", "#008a66", "#8e2f7a", "#2b2f36", "#b38600")
DARK = ("#4aa3ff", "#f08a4b", "#35c9a0", "#d070c0", "#e6e8eb", "#f2d24b")
"""Colours of the series by slot, far apart for every kind of colour vision, 3:1 or more against the page."""

ROUNDS = 40
"""How often overlapping labels are pushed apart; ample for a dozen."""
LONGEST = 28
"""Labels in a drawing are cut to so many characters; the table beside it and the hover keep all."""
NAME = re.compile(r"[a-z][a-z0-9-]*$")
Row = tuple[str, ...]


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
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    slot: int = 0
    style: Literal["line", "points", "both", "bars"] = "line"
    dash: bool = False


@dataclass(frozen=True)
class Mark:
    """A value to compare with: a line across at x or at y, or a ring around the point (x, y)."""

    label: str
    x: float | None = None
    y: float | None = None
    slot: int | None = None


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
    y_span: tuple[float, ...] = ()
    percent: bool = False

    def __post_init__(self) -> None:
        if not NAME.match(self.name):
            raise ValueError(f"`name` (={self.name!r}) must be lower-case letters, digits and hyphens")

    @property
    def direct(self) -> bool:
        """Whether each series is labelled at its end, which needs ends at the right edge; otherwise a legend tells."""
        return len(self.series) > 1 and not self.x_names and len({series.x[-1] for series in self.series}) == 1

    @property
    def bar_width(self) -> float:
        """Room for each bar where series are bars, which stand side by side over a name; else 0."""
        return 0.8 / len(self.series) if any(series.style == "bars" for series in self.series) else 0.0

    @property
    def legend(self) -> bool:
        """Whether a legend tells the series apart."""
        return len(self.series) > 1 and not self.direct


def x_range(figure: Figure) -> tuple[float, float]:
    """Ends of the x axis, with a margin; decades where it is logarithmic, half a place around where it counts."""
    if figure.x_names:
        return -0.5, len(figure.x_names) - 0.5
    return _range([x for series in figure.series for x in series.x], figure.x_log, 0.02)


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
    places = [ends[index] for index in order]
    for _ in range(ROUNDS):
        for lower in range(len(places) - 1):
            push = max(0.0, line - (places[lower + 1] - places[lower])) / 2
            places[lower] -= push
            places[lower + 1] += push
    return [place - ends[index] for index, place in sorted(zip(order, places, strict=True))]


def log_ticks(ends: tuple[float, float]) -> list[float]:
    """Where a logarithmic axis between two decades is labelled: the fewer decades, the more digits of each.

    Example:
        >>> log_ticks((-1.1, 0.5))
        [0.1, 0.2, 0.5, 1.0, 2.0]
    """
    low, high = ends
    digits = (1, 1.5, 2, 3, 4, 5, 7) if high - low < 1 else (1, 2, 5) if high - low < 2.5 else (1,)
    ticks = [float(f"{digit}e{decade}") for decade in range(floor(low), floor(high) + 1) for digit in digits]
    return [tick for tick in ticks if low <= log10(tick) <= high]


def short(label: str) -> str:
    """The label as a drawing has room for."""
    return label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"


def name_lines(name: str) -> list[str]:
    """A name beside an axis, broken before a plus."""
    return short(name).replace(" + ", "\n+ ").split("\n")


def table(figure: Figure) -> tuple[Row, list[Row]]:
    """Head and rows of the numbers behind a figure: x, then a column per series and per end of its intervals."""
    columns = [column for series in figure.series for column in _columns(series, bool(figure.x_names))]
    places = sorted({x for _, points in columns for x in points})
    rows = [(_x_text(figure, x), *(_number(points.get(x)) for _, points in columns)) for x in places]
    return (figure.x_label, *(label for label, _ in columns)), rows


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


def _columns(series: Series, names: bool) -> Iterator[tuple[str, dict[float, float]]]:
    """Label -> numbers by x; over names, x without what sets series apart."""
    places = [round(x) for x in series.x] if names else series.x
    yield series.label, dict(zip(places, series.y, strict=True))
    if series.low and series.high:
        yield f"{series.label}, low", dict(zip(places, series.low, strict=True))
        yield f"{series.label}, high", dict(zip(places, series.high, strict=True))


def _course(figure: Figure, series: Series) -> str:
    if figure.x_names:
        pairs = zip(series.x, series.y, strict=True)
        return ", ".join(f"{_x_text(figure, x)} {_number(y)}" for x, y in pairs)
    return f"from {_number(series.y[0])} to {_number(series.y[-1])}"


def _x_text(figure: Figure, x: float) -> str:
    return figure.x_names[round(x)] if figure.x_names else _number(x)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
