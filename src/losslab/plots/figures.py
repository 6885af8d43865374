"""What a figure shows, apart from how it is drawn: by `web` for the page, by `files` for PNG, SVG, PDF, notebooks."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil, floor, log10
from statistics import median
from typing import Literal

LIGHT = ("#0b6bb0", "#c44601", "#008a66", "#8e2f7a", "#2b2f36", "#b38600")
DARK = ("#4aa3ff", "#f08a4b", "#35c9a0", "#d070c0", "#e6e8eb", "#f2d24b")
"""Colours of the series by slot, far apart for every kind of colour vision, 3:1 or more against the page."""

POINTS = 300
"""Points of a curve by step, at most; each is the median of its neighbours."""
MOST_DECADES = 9
"""An axis of so many decades or more has a label at every other, or fewer."""
NAME = re.compile(r"[a-z][a-z0-9-]*$")


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
        faint: whether it is a background to the others, thin and grey.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    slot: int = 0
    style: Literal["line", "points", "both", "bars"] = "line"
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
            raise ValueError(
                f"`name` (={self.name!r}) must be lower-case letters, digits and hyphens"
            )

    @property
    def direct(self) -> bool:
        """Whether each series is labelled at its end, for which all must end at the right edge."""
        # Labels of lines that end earlier would hide others.
        ends = {series.x[-1] for series in self.series if series.x}
        return len(self.series) > 1 and not self.x_names and len(ends) == 1

    @property
    def bar_width(self) -> float:
        """Room for each bar where series are bars, which stand side by side over a name; else 0."""
        has_bars = any(series.style == "bars" for series in self.series)
        return 0.8 / len(self.series) if has_bars else 0.0

    @property
    def legend(self) -> bool:
        """Whether a legend names the series."""
        return len(self.series) > 1 and not self.direct


def x_range(figure: Figure) -> tuple[float, float]:
    """Give the ends of the x axis, with a margin; decades where logarithmic, half a step around where it counts."""
    if figure.x_names:
        return -0.5, len(figure.x_names) - 0.5
    drawn = chain.from_iterable(series.x for series in figure.series)
    return _range([*drawn, *figure.x_span], figure.x_log, 0.02)


def y_range(figure: Figure) -> tuple[float, float]:
    """Give the ends of the y axis with a margin around all that is drawn, 0 for bars; decades where logarithmic."""
    if figure.bar_width:
        return 0.0, 1.06 * max(_ordinates(figure), default=1.0)
    return _range([*_ordinates(figure), *figure.y_span], figure.y_log, 0.06)


def log_ticks(ends: tuple[float, float]) -> list[float]:
    """Choose where a logarithmic axis between two decades is labelled: the fewer decades, the more digits of each.

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
    ticks: list[float] = []
    for decade in range(floor(low), floor(high) + 1):
        # Read from text: 3 * 10**-5 is 3.0000000000000004e-05, and its label would show it.
        ticks += [float(f"{digit}e{decade}") for digit in digits]
    return [tick for tick in ticks if low <= log10(tick) <= high]


def _ordinates(figure: Figure) -> Iterator[float]:
    for series in figure.series:
        yield from (*series.y, *(series.low or ()), *(series.high or ()))
    yield from (mark.y for mark in figure.marks if mark.y is not None)


def thinned(values: Sequence[float]) -> tuple[float, ...]:
    """Thin values to at most so many points, each the median of as many neighbours."""
    # A median, as a mean would let one diverging step bend the whole curve. Rounded up, to keep within the number.
    width = ceil(len(values) / POINTS) or 1
    return tuple(
        median(values[start : start + width]) for start in range(0, len(values), width)
    )


def scaled(value: float, log: bool) -> float:
    """A value as its axis measures it."""
    return log10(value) if log else value


def _range(values: Sequence[float], log: bool, margin: float) -> tuple[float, float]:
    values = [value for value in values if value > 0 or not log] or [1.0]
    low, high = scaled(min(values), log), scaled(max(values), log)
    # An axis of one value needs ends that differ, too.
    gap = margin * (high - low) or 0.1 * (abs(low) or 1.0)
    return low - gap, high + gap
