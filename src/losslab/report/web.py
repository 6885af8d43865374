"""Figures for the page: the JSON that plotly.js draws; the page's script gives the colours of light and dark."""

from collections.abc import Iterator
from html import escape
from math import log10
from typing import Any

from losslab.report.figures import Figure, Mark, Series, label_shifts, y_range

HEIGHT = 360
"""Of the whole figure, pixels."""
TOP, BOTTOM, LEFT = 28, 52, 64
LINE = 16
CHARACTER = 7.2
LONGEST = 28
"""A direct label is cut to so many characters; the legend and the table keep all."""
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "cross")


def to_plotly(figure: Figure) -> dict[str, Any]:
    """Traces and layout; `meta.slot` of a trace and `name` of an annotation tell the script which colour it has.

    All text is escaped, because plotly reads its labels as markup.
    """
    traces = [trace for series in figure.series for trace in _traces(figure, series)]
    traces += [_ring(mark) for mark in figure.marks if mark.x is not None and mark.y is not None]
    return {"data": traces, "layout": _layout(figure)}


def _traces(figure: Figure, series: Series) -> Iterator[dict[str, Any]]:
    points = series.style == "points"
    if series.low and series.high and not points:
        yield from _band(series)
    yield {
        "type": "scatter",
        "mode": {"line": "lines", "points": "markers", "both": "lines+markers"}[series.style],
        "name": escape(series.label),
        "x": series.x,
        "y": series.y,
        "customdata": [escape(figure.x_names[round(x)]) for x in series.x] if figure.x_names else None,
        "hovertemplate": ("%{customdata}: " if figure.x_names else "") + "%{y:.4~g}",
        "line": {"width": 2, "dash": "dash" if series.dash else "solid"},
        "marker": {"size": 9 if points else 7, "symbol": SYMBOLS[series.slot % len(SYMBOLS)]},
        "error_y": _errors(series) if points else None,
        "meta": {"slot": series.slot},
    }


def _band(series: Series) -> Iterator[dict[str, Any]]:
    edge = {"type": "scatter", "mode": "lines", "x": series.x, "line": {"width": 0}, "hoverinfo": "skip"}
    edge |= {"showlegend": False, "meta": {"slot": series.slot, "band": True}}
    yield edge | {"y": series.low}
    yield edge | {"y": series.high, "fill": "tonexty"}


def _errors(series: Series) -> dict[str, Any] | None:
    if not (series.low and series.high):
        return None
    above = [high - y for high, y in zip(series.high, series.y, strict=True)]
    below = [y - low for low, y in zip(series.low, series.y, strict=True)]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.5, "width": 4}


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
    longest = max((len(_cut(series.label)) for series in figure.series), default=0)
    across = [mark for mark in figure.marks if (mark.x is None) != (mark.y is None)]
    return {
        "height": HEIGHT,
        "margin": {"l": LEFT, "r": 24 + CHARACTER * longest if figure.direct else 16, "t": TOP, "b": BOTTOM},
        "hovermode": "closest" if figure.x_names else "x unified",
        "showlegend": bool(figure.x_names) and len(figure.series) > 1,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": _x_axis(figure),
        "yaxis": {
            "title": {"text": escape(figure.y_label)},
            "type": "log" if figure.y_log else "linear",
            "range": y_range(figure),
        },
        "shapes": [_line(mark) for mark in across],
        "annotations": [*(_direct_labels(figure) if figure.direct else ()), *(_line_label(mark) for mark in across)],
    }


def _x_axis(figure: Figure) -> dict[str, Any]:
    axis: dict[str, Any] = {"title": {"text": escape(figure.x_label)}, "type": "log" if figure.x_log else "linear"}
    if figure.x_names:
        places = list(range(len(figure.x_names)))
        texts = [escape(name).replace(" + ", "<br>+ ") for name in figure.x_names]
        axis |= {"tickvals": places, "ticktext": texts, "range": [-0.5, len(places) - 0.5]}
    return axis


def _direct_labels(figure: Figure) -> Iterator[dict[str, Any]]:
    shifts = label_shifts(figure, HEIGHT - TOP - BOTTOM, LINE)
    for series, shift in zip(figure.series, shifts, strict=True):
        x, y = series.x[-1], series.y[-1]
        yield {
            "name": f"slot-{series.slot}",
            "text": escape(_cut(series.label)),
            "x": log10(x) if figure.x_log else x,
            "y": log10(y) if figure.y_log else y,
            "xanchor": "left",
            "xshift": 8,
            "yshift": shift,
            "showarrow": False,
        }


def _line(mark: Mark) -> dict[str, Any]:
    across = {"x0": 0, "x1": 1, "xref": "paper", "y0": mark.y, "y1": mark.y}
    up = {"x0": mark.x, "x1": mark.x, "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "line", "layer": "below", "line": {"width": 1, "dash": "dot"}} | (up if mark.y is None else across)


def _line_label(mark: Mark) -> dict[str, Any]:
    at = {"x": mark.x, "y": 1, "yref": "paper"} if mark.y is None else {"x": 1, "xref": "paper", "y": mark.y}
    return at | {"text": escape(mark.label), "xanchor": "right", "yanchor": "bottom", "showarrow": False}


def _cut(label: str) -> str:
    return label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"
