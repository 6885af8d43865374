"""What a figure shows, apart from how it is drawn: `web` draws it for the page, `files` as PNG and SVG."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import log10
from typing import Literal

LIGHT = ("#0b6bb0", "#c44601", "#008a66", "#8e2f7a", "#2b2f36", "#b38600")
DARK = ("#4aa3ff", "#f08a4b", "#35c9a0", "#d070c0", "#e6e8eb", "#f2d24b")
"""Colours of the series by slot, far apart for every kind of colour vision, 3:1 or more against the page."""

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
        style: a line, points, or both.
        dash: whether the line is dashed.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    slot: int = 0
    style: Literal["line", "points", "both"] = "line"
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
        x_names: names of x = 0, 1, 2 ... where x counts things and measures nothing.
        marks: values to compare with.
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

    def __post_init__(self) -> None:
        if not NAME.match(self.name):
            raise ValueError(f"`name` (={self.name!r}) must be lower-case letters, digits and hyphens")

    @property
    def direct(self) -> bool:
        """Whether each series is labelled at its end; named things are told apart by a legend instead."""
        return len(self.series) > 1 and not self.x_names


def y_range(figure: Figure) -> tuple[float, float]:
    """Ends of the y axis with a margin around all that is drawn; decades where the axis is logarithmic."""
    shown = [_scaled(figure, value) for value in _ordinates(figure)] or [0.0, 1.0]
    margin = 0.06 * (max(shown) - min(shown)) or 0.1
    return min(shown) - margin, max(shown) + margin


def label_shifts(figure: Figure, height: float, line: float) -> list[float]:
    """How far up each series' label moves from the series' end so that no two labels overlap.

    Args:
        figure: whose series are labelled at their last point.
        height: of the drawing area, in any unit.
        line: least distance between two labels, in the same unit.
    """
    low, high = y_range(figure)
    ends = [(_scaled(figure, series.y[-1]) - low) / (high - low) * height for series in figure.series]
    places = dict.fromkeys(sorted(range(len(ends)), key=ends.__getitem__), 0.0)
    floor = -line
    for index in places:
        floor = places[index] = max(ends[index], floor + line)
    ceiling = max(height, line * (len(ends) - 1)) + line
    for index in reversed(places):
        ceiling = places[index] = min(places[index], ceiling - line)
    return [places[index] - end for index, end in enumerate(ends)]


def table(figure: Figure) -> tuple[Row, list[Row]]:
    """Head and rows of the numbers behind a figure: x, then a column per series and per end of its intervals."""
    columns = [column for series in figure.series for column in _columns(series)]
    places = sorted({round(x) if figure.x_names else x for _, points in columns for x in points})
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


def _scaled(figure: Figure, value: float) -> float:
    return log10(value) if figure.y_log else value


def _columns(series: Series) -> Iterator[tuple[str, dict[float, float]]]:
    yield series.label, dict(zip(series.x, series.y, strict=True))
    if series.low and series.high:
        yield f"{series.label}, low", dict(zip(series.x, series.low, strict=True))
        yield f"{series.label}, high", dict(zip(series.x, series.high, strict=True))


def _course(figure: Figure, series: Series) -> str:
    if figure.x_names:
        pairs = zip(series.x, series.y, strict=True)
        return ", ".join(f"{_x_text(figure, x)} {_number(y)}" for x, y in pairs)
    return f"from {_number(series.y[0])} to {_number(series.y[-1])}"


def _x_text(figure: Figure, x: float) -> str:
    return figure.x_names[round(x)] if figure.x_names else _number(x)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
