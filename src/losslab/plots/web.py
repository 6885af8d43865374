"""Figures for the page: the JSON that plotly.js draws; the page's script adds the colours of light and dark."""

from collections.abc import Iterator
from html import escape
from itertools import chain
from typing import Any

from losslab.plots.figures import Figure, Mark, Series, log_ticks, scaled, x_range, y_range
from losslab.plots.labels import (
    MarkLabel,
    label_shifts,
    lines_across,
    mark_labels,
    name_lines,
    short,
)

HEIGHT, ROW = 360, 46
"""Of a whole figure, and of one name where x counts things; pixels."""
TOP, BOTTOM, LEFT, RIGHT = 28, 52, 64, 16
LINE, CHARACTER = 16, 7.2
NARROW = 240
"""Width of the drawing area on a phone, in pixels: labels of marks that are apart there are apart everywhere."""
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "cross")
TURNED = {
    "x": "y",
    "xaxis": "yaxis",
    "xref": "yref",
    "x0": "y0",
    "x1": "y1",
    "error_x": "error_y",
}
# Both ways: a mark across becomes upright and an upright one lies across.
TURNED |= {y: x for x, y in TURNED.items()}


def to_plotly(figure: Figure) -> dict[str, Any]:
    """Write traces and layout; `meta.slot` of a trace and `name` of an annotation name its colour to the script.

    All text is escaped, because plotly reads its labels as markup.
    """
    traces = list(chain.from_iterable(_traces(figure, series) for series in figure.series))
    traces += [
        _ring(mark) for mark in figure.marks if mark.x is not None and mark.y is not None
    ]
    drawing = {"data": traces, "layout": _layout(figure)}
    return _turn(drawing) if figure.x_names else drawing


def _turn(part: Any) -> Any:
    """Exchange x and y of a drawing."""
    if isinstance(part, list):
        return [_turn(item) for item in part]
    if not isinstance(part, dict):
        return part
    turned: dict[Any, Any] = {}
    for key, value in part.items():
        # The x and y of a legend are fractions of the drawing area, which does not turn.
        turned[TURNED.get(key, key)] = value if key == "legend" else _turn(value)
    return turned


def _traces(figure: Figure, series: Series) -> Iterator[dict[str, Any]]:
    if series.low and series.high and series.style != "points":
        yield from _band(series)
    if series.style == "bars":
        yield _bars(figure, series)
        return
    points = series.style == "points"
    yield {
        "type": "scatter",
        "mode": {"line": "lines", "points": "markers", "both": "lines+markers"}[series.style],
        "name": escape(series.label),
        "x": series.x,
        "y": series.y,
        "text": [escape(figure.x_names[round(x)]) for x in series.x]
        if figure.x_names
        else None,
        "hovertemplate": _hover(figure),
        "line": {"width": 1 if series.faint else 2},
        "opacity": 0.35 if series.faint else 1,
        "marker": {"size": 9 if points else 7, "symbol": SYMBOLS[series.slot % len(SYMBOLS)]},
        "error_y": _errors(series) if points else None,
        "meta": {"slot": series.slot},
    }


def _hover(figure: Figure) -> str:
    """Write what plotly shows of a point: a template in its own language, with x and y of the turned drawing."""
    axis = "x" if figure.x_names else "y"
    form = ".1%" if figure.percent else ".4~g"
    value = f"%{{{axis}:{form}}}"
    return f"%{{text}}: {value}" if figure.x_names else value


def _bars(figure: Figure, series: Series) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": escape(series.label),
        "x": series.x,
        "y": series.y,
        "width": figure.bar_width,
        "hovertext": [f"{escape(figure.x_names[round(x)])}" for x in series.x],
        "hovertemplate": _hover(figure).replace("text", "hovertext"),
        "meta": {"slot": series.slot},
    }


def _band(series: Series) -> Iterator[dict[str, Any]]:
    edge: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "x": series.x,
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    # Two lines without width: plotly fills from one trace to the one before it, so they follow each other.
    edge |= {"showlegend": False, "meta": {"slot": series.slot, "band": True}}
    yield edge | {"y": series.low}
    yield edge | {"y": series.high, "fill": "tonexty"}


def _errors(series: Series) -> dict[str, Any] | None:
    if not (series.low and series.high):
        return None
    # plotly wants distances from the point, and a figure holds ends.
    above = [high - y for high, y in zip(series.high, series.y, strict=True)]
    below = [y - low for low, y in zip(series.low, series.y, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": above,
        "arrayminus": below,
        "thickness": 1.5,
        "width": 4,
    }


def _ring(mark: Mark) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [mark.x],
        "y": [mark.y],
        "name": escape(mark.label),
        "hoverinfo": "skip",
        "showlegend": False,
        "marker": {"size": 17, "symbol": "circle-open", "line": {"width": 2}},
        "meta": {"slot": mark.slot or 0},
    }


def _layout(figure: Figure) -> dict[str, Any]:
    upright = mark_labels(figure, NARROW, CHARACTER)
    rows_above = max((label.row for label in upright), default=0)
    top = TOP + LINE * rows_above
    body = _row(figure) * len(figure.x_names) if figure.x_names else HEIGHT - TOP - BOTTOM
    direct = _direct_labels(figure) if figure.direct else ()
    y_axis = _axis(figure.y_label, y_range(figure), figure.y_log)
    if figure.percent:
        y_axis["tickformat"] = "~%"
    return {
        "height": top + body + BOTTOM,
        "barmode": "overlay",
        "margin": {"l": _left(figure), "r": _right(figure), "t": top, "b": BOTTOM},
        "hovermode": "x unified" if figure.direct else "closest",
        "showlegend": figure.legend,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "xaxis": _names(figure)
        if figure.x_names
        else _axis(figure.x_label, x_range(figure), figure.x_log),
        "yaxis": y_axis,
        "shapes": [_line(mark) for mark in figure.marks if mark.is_line],
        "annotations": [
            *direct,
            *(_upright_label(figure, label) for label in upright),
            *(_across_label(figure, mark) for mark in lines_across(figure)),
        ],
    }


def _row(figure: Figure) -> int:
    return 10 + 14 * len(figure.series) if figure.bar_width else ROW


def _left(figure: Figure) -> float:
    lines = chain.from_iterable(map(name_lines, figure.x_names))
    return 24 + CHARACTER * max(map(len, lines), default=5)


def _right(figure: Figure) -> float:
    if not figure.direct:
        return RIGHT
    return 24 + CHARACTER * max(len(short(series.label)) for series in figure.series)


def _axis(label: str, ends: tuple[float, float], log: bool) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "title": {"text": escape(label)},
        "type": "log" if log else "linear",
        "range": ends,
    }
    axis["unifiedhovertitle"] = {"text": f"{escape(label)} %{{x}}"}
    if log:
        axis |= {
            "tickvals": log_ticks(ends),
            "ticktext": [f"{tick:g}" for tick in log_ticks(ends)],
        }
    return axis


def _names(figure: Figure) -> dict[str, Any]:
    """The axis of names, the first on top."""
    texts = ["<br>".join(map(escape, name_lines(name))) for name in figure.x_names]
    return {
        "type": "linear",
        "tickvals": list(range(len(texts))),
        "ticktext": texts,
        "range": x_range(figure)[::-1],
    }


def _direct_labels(figure: Figure) -> Iterator[dict[str, Any]]:
    shifts = label_shifts(figure, HEIGHT - TOP - BOTTOM, LINE)
    for series, shift in zip(figure.series, shifts, strict=True):
        yield {
            "name": f"slot-{series.slot}",
            "text": escape(short(series.label)),
            # By the logarithm on a log axis, where plotly takes values of lines and points.
            "x": scaled(series.x[-1], figure.x_log),
            "y": scaled(series.y[-1], figure.y_log),
            "xanchor": "left",
            "xshift": 8,
            "yshift": shift,
            "showarrow": False,
        }


def _line(mark: Mark) -> dict[str, Any]:
    if mark.y is None:
        ends = {"x0": mark.x, "x1": mark.x, "y0": 0, "y1": 1, "yref": "paper"}
    else:
        ends = {"x0": 0, "x1": 1, "xref": "paper", "y0": mark.y, "y1": mark.y}
    return {"type": "line", "layer": "below", "line": {"width": 1, "dash": "dot"}} | ends


def _upright_label(figure: Figure, label: MarkLabel) -> dict[str, Any]:
    """Above the drawing, in its row."""
    shift = {"xanchor": label.anchor, "yshift": LINE * label.row}
    return _line_label(figure, label.mark) | shift


def _across_label(figure: Figure, mark: Mark) -> dict[str, Any]:
    """On the line, at the right edge of the drawing."""
    return _line_label(figure, mark) | {"xanchor": "right"}


def _line_label(figure: Figure, mark: Mark) -> dict[str, Any]:
    """At the end of a mark's line, in the x and y of the figure: a drawing with names downwards turns afterwards."""
    if mark.y is None:
        end = {"x": scaled(mark.value, figure.x_log), "y": 1, "yref": "paper"}
    else:
        end = {"x": 1, "xref": "paper", "y": scaled(mark.value, figure.y_log)}
    return end | {"text": escape(mark.label), "yanchor": "bottom", "showarrow": False}
