"""What is behind a figure: its numbers as a table, and the figure in words for those who do not see it."""

from collections.abc import Iterator
from itertools import chain

from losslab.plots.figures import Figure, Series
from losslab.text import number

Row = tuple[str, ...]


def numbers(figure: Figure) -> tuple[Row, list[tuple[str | float | None, ...]]]:
    """List the numbers behind a figure, head and rows: x, then a column per series and per end of its intervals."""
    has_names = bool(figure.x_names)
    columns = list(chain.from_iterable(_columns(series, has_names) for series in figure.series))
    # Series may be measured at other abscissae: a row for each of all, empty where a series has no point.
    abscissae = sorted(set(chain.from_iterable(points for _, points in columns)))
    rows: list[tuple[str | float | None, ...]] = []
    for x in abscissae:
        values = [points.get(x) for _, points in columns]
        rows.append((_x_value(figure, x), *values))
    return (figure.x_label, *(label for label, _ in columns)), rows


def table(figure: Figure) -> tuple[Row, list[Row]]:
    """Write the numbers behind a figure as people read them."""
    head, rows = numbers(figure)
    return head, [tuple(map(_text, row)) for row in rows]


def describe(figure: Figure) -> str:
    """Put the figure in words, for those who do not see it."""
    courses = [
        f"{series.label}: {_course(figure, series)}" for series in figure.series if series.y
    ]
    return f"{figure.title}. {figure.y_label} by {figure.x_label}. {'; '.join(courses) or 'No data yet'}."


def _columns(series: Series, names: bool) -> Iterator[tuple[str, dict[float, float]]]:
    """Yield label and numbers by x; over names, x without what sets series apart."""
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
    """Write a cell of the table; six digits, so that points which are drawn apart have other numbers."""
    if isinstance(value, str):
        return value
    return "" if value is None else number(value, 6)
