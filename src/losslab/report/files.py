"""Figures as PNG and SVG files, drawn by matplotlib."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from losslab.report.figures import LIGHT, Figure, Mark, Series, label_shifts, y_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES = (7.0, 4.2)
DOTS_PER_INCH = 200
SYMBOLS = "oDs^Xv"
GREY = "#5b626d"
STYLE = {
    "font.size": 10,
    "font.family": ["DejaVu Sans"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "grid.color": "#e3e6ea",
    "svg.hashsalt": "losslab",
}


def write_files(figure: Figure, folder: Path) -> None:
    """Write NAME.png and NAME.svg of a figure into an existing folder."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # a user's script that the font lacks: boxes, no noise
        canvas = Canvas(INCHES, layout="constrained")
        _draw(figure, canvas.subplots())
        canvas.savefig(folder / f"{figure.name}.png", dpi=DOTS_PER_INCH)
        canvas.savefig(folder / f"{figure.name}.svg", metadata={"Date": None})


def _draw(figure: Figure, axes: "Axes") -> None:
    for series in figure.series:
        _draw_series(series, axes)
    for mark in figure.marks:
        _draw_mark(mark, axes)
    axes.set_title(_plain(figure.title), fontsize=11, fontweight="bold", pad=12)
    axes.set_xlabel(_plain(figure.x_label))
    axes.set_ylabel(_plain(figure.y_label))
    _scale(figure, axes)
    if figure.direct:
        _label(figure, axes)
    elif len(figure.series) > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(figure.series), frameon=False, borderaxespad=0)
        axes.set_title(axes.get_title(loc="left"), fontsize=11, fontweight="bold", pad=28)


def _draw_series(series: Series, axes: "Axes") -> None:
    color = LIGHT[series.slot % len(LIGHT)]
    marker = "" if series.style == "line" else SYMBOLS[series.slot % len(SYMBOLS)]
    line = {"line": "-", "both": "-", "points": ""}[series.style]
    label = _plain(series.label)
    axes.plot(series.x, series.y, color=color, marker=marker, ls="--" if series.dash else line, lw=1.8, label=label)
    if series.low and series.high and series.style == "points":
        axes.vlines(series.x, series.low, series.high, color=color, lw=1.4)
    elif series.low and series.high:
        axes.fill_between(series.x, series.low, series.high, color=color, alpha=0.15, lw=0)


def _draw_mark(mark: Mark, axes: "Axes") -> None:
    if mark.x is not None and mark.y is not None:
        color = LIGHT[(mark.slot or 0) % len(LIGHT)]
        axes.plot([mark.x], [mark.y], "o", ms=13, mfc="none", mec=color, mew=1.6)
    elif mark.y is not None:
        axes.axhline(mark.y, color=GREY, lw=1, ls=":")
        axes.annotate(_plain(mark.label), (1, mark.y), (0, 3), ("axes fraction", "data"), "offset points", ha="right")
    elif mark.x is not None:
        axes.axvline(mark.x, color=GREY, lw=1, ls=":")
        axes.annotate(_plain(mark.label), (mark.x, 1), (3, 0), ("data", "axes fraction"), "offset points", va="top")


def _scale(figure: Figure, axes: "Axes") -> None:
    low, high = y_range(figure)
    axes.set_yscale("log" if figure.y_log else "linear")
    axes.set_ylim(*((10**low, 10**high) if figure.y_log else (low, high)))
    axes.set_xscale("log" if figure.x_log else "linear")
    if figure.x_names:
        axes.set_xticks(range(len(figure.x_names)), [_plain(name).replace(" + ", "\n+ ") for name in figure.x_names])
        axes.set_xlim(-0.5, len(figure.x_names) - 0.5)


def _label(figure: Figure, axes: "Axes") -> None:
    """Each series' name at its end, moved apart where two would overlap."""
    height = INCHES[1] * 72 * 0.78
    for series, shift in zip(figure.series, label_shifts(figure, height, 12), strict=True):
        axes.annotate(
            _plain(series.label),
            (series.x[-1], series.y[-1]),
            (8, shift),
            textcoords="offset points",
            color=LIGHT[series.slot % len(LIGHT)],
            va="center",
            fontweight="bold",
            fontsize=9,
            annotation_clip=False,
        )


def _plain(text: str) -> str:
    """Text in which matplotlib sees no mathematics."""
    return text.replace("$", r"\$")
