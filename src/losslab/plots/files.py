"""Figures as PNG and SVG files, drawn by matplotlib."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab.plots.figures import (
    LIGHT,
    Figure,
    Mark,
    Series,
    label_shifts,
    log_ticks,
    name_lines,
    short,
    x_range,
    y_range,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Formatter

INCHES, ROW, BAR_ROW = (7.0, 4.2), 0.4, 0.24
"""Width and least height of a figure, and the height of a name where x counts things, as points or as bars."""
DOTS_PER_INCH = 200
SYMBOLS = "oDs^Xv"
GREY = "#59616d"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "font.family": ["DejaVu Sans"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.6,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.4,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.4,
    "svg.hashsalt": "losslab",
}


def write_files(figure: Figure, folder: Path) -> None:
    """Write NAME.png and NAME.svg of a figure into an existing folder."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # a script that the font lacks: boxes, no noise
        canvas = Canvas((INCHES[0], _height(figure)), layout="constrained")
        _draw(figure, canvas.subplots())
        canvas.savefig(folder / f"{figure.name}.png", dpi=DOTS_PER_INCH)
        canvas.savefig(folder / f"{figure.name}.svg", metadata={"Date": None})


def _height(figure: Figure) -> float:
    row = BAR_ROW if figure.bar_width else ROW
    return max(INCHES[1], 1.2 + row * len(figure.x_names))


def _draw(figure: Figure, axes: "Axes") -> None:
    for series in figure.series:
        if series.style == "bars":
            axes.barh(series.x, series.y, figure.bar_width, color=_color(series.slot), label=_plain(series.label))
        else:
            (_draw_rows if figure.x_names else _draw_series)(series, axes)
    for mark in figure.marks:
        _draw_mark(figure, mark, axes)
    (_scale_rows if figure.x_names else _scale)(figure, axes)
    if figure.legend:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, borderaxespad=0)
    axes.set_title(_plain(figure.title), pad=28 if figure.legend or figure.marks else 12)
    if figure.direct:
        _label(figure, axes)


def _draw_series(series: Series, axes: "Axes") -> None:
    color = _color(series.slot)
    marker = "" if series.style == "line" else _symbol(series)
    line = "" if series.style == "points" else "--" if series.dash else "-"
    axes.plot(series.x, series.y, color=color, marker=marker, ls=line, lw=1.6, label=_plain(short(series.label)))
    if series.low and series.high:
        axes.fill_between(series.x, series.low, series.high, color=color, alpha=0.15, lw=0)


def _draw_rows(series: Series, axes: "Axes") -> None:
    axes.plot(series.y, series.x, _symbol(series), color=_color(series.slot), label=_plain(short(series.label)))
    if series.low and series.high:
        axes.hlines(series.x, series.low, series.high, color=_color(series.slot), lw=1.4)


def _draw_mark(figure: Figure, mark: Mark, axes: "Axes") -> None:
    if mark.x is not None and mark.y is not None:
        axes.plot([mark.x], [mark.y], "o", ms=12, mfc="none", mec=_color(mark.slot or 0), mew=1.4)
        return
    value = mark.x or 0.0 if mark.y is None else mark.y
    upright = (mark.y is None) != bool(figure.x_names)
    (axes.axvline if upright else axes.axhline)(value, color=GREY, lw=1, ls=":")
    at, where = ((value, 1), ("data", "axes fraction")) if upright else ((1, value), ("axes fraction", "data"))
    side = "center" if upright else "right"
    axes.annotate(_plain(mark.label), at, (0, 3), where, "offset points", ha=side, color=GREY, fontsize=9)


def _scale(figure: Figure, axes: "Axes") -> None:
    _fit("x", x_range(figure), figure.x_log, axes)
    _fit("y", y_range(figure), figure.y_log, axes)
    axes.set(xlabel=_plain(figure.x_label), ylabel=_plain(figure.y_label))
    if figure.percent:
        axes.yaxis.set_major_formatter(_percent())


def _scale_rows(figure: Figure, axes: "Axes") -> None:
    """Names downwards, the first on top, and their values to the right."""
    _fit("x", y_range(figure), figure.y_log, axes)
    axes.set_yticks(range(len(figure.x_names)), ["\n".join(map(_plain, name_lines(name))) for name in figure.x_names])
    axes.set(xlabel=_plain(figure.y_label), ylim=x_range(figure)[::-1])
    if figure.percent:
        axes.xaxis.set_major_formatter(_percent())


def _fit(axis: str, ends: tuple[float, float], log: bool, axes: "Axes") -> None:
    if not log:
        axes.set(**{f"{axis}lim": ends})
        return
    axes.set(**{f"{axis}scale": "log", f"{axis}lim": tuple(10**end for end in ends)})
    ticks = log_ticks(ends)
    axes.set(**{f"{axis}ticks": ticks, f"{axis}ticklabels": [f"{tick:g}" for tick in ticks]})
    axes.minorticks_off()


def _percent() -> "Formatter":
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1.0)


def _label(figure: Figure, axes: "Axes") -> None:
    """Each series' name at its end, moved apart where two would overlap."""
    height = INCHES[1] * 72 * 0.78
    for series, shift in zip(figure.series, label_shifts(figure, height, 12), strict=True):
        end = (series.x[-1], series.y[-1])
        label = axes.annotate(
            _plain(short(series.label)), end, (8, shift), textcoords="offset points", annotation_clip=False
        )
        label.set(color=_color(series.slot), fontsize=9, fontweight="bold", va="center")


def _color(slot: int) -> str:
    return LIGHT[slot % len(LIGHT)]


def _symbol(series: Series) -> str:
    return SYMBOLS[series.slot % len(SYMBOLS)]


def _plain(text: str) -> str:
    """Text in which matplotlib sees no mathematics."""
    return text.replace("$", r"\$")
