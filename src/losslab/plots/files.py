"""Figures as PNG, SVG and PDF files and in notebooks, drawn by matplotlib."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab.errors import InvalidInput
from losslab.plots.figures import LIGHT, Figure, Series, log_ticks, x_range, y_range
from losslab.plots.labels import label_shifts, lines_across, mark_labels, name_lines, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Formatter

    from losslab.plots.canvas import Canvas

SUFFIXES = (".pdf", ".png", ".svg")
INCHES, ROW, BAR_ROW = (7.0, 4.2), 0.4, 0.24
"""Width and least height of a figure, and the height of a name where x counts things, as points or as bars."""
DOTS_PER_INCH = 200
WIDTH_POINTS, CHARACTER, LINE = 400, 5.2, 12
"""Width of the drawing area, of a character and of a row of labels, about; points."""
SYMBOLS = "oDs^Xv"
GREY, FAINT = "#59616d", "#b9c0c9"
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
}


def write_files(
    figure: Figure, folder: Path, suffixes: Sequence[str] = (".svg", ".png")
) -> None:
    """Write a figure into an existing folder, as NAME and each suffix."""
    canvas = draw([figure])
    for suffix in suffixes:
        # Without a date, the same records give the same file.
        metadata = {"Date": None} if suffix == ".svg" else None
        path = folder / f"{figure.name}{suffix}"
        canvas.savefig(path, dpi=DOTS_PER_INCH, metadata=metadata)
        # Where everything stands is worked out once.
        canvas.set_layout_engine("none")


def check_picture(option: str, path: Path) -> None:
    """Refuse a picture that could not be written, before anything is done for it.

    Args:
        option: what the user named it by, such as ``--figure``.
        path: of the file.
    Raises:
        InvalidInput: another kind of file, no such folder, or one that cannot be written.
    """
    check_file(option, path, SUFFIXES)


def check_file(option: str, path: Path, suffixes: Sequence[str]) -> None:
    """As :func:`check_picture`, for a file of any of these kinds."""
    if path.suffix not in suffixes:
        raise InvalidInput(f"{option} {path}: must end in one of {', '.join(suffixes)}")
    if not path.parent.is_dir():
        raise InvalidInput(f"{option} {path}: there is no folder {path.parent}; make it first")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InvalidInput(f"{option} {path}: cannot be written; choose another")


def draw(figures: Sequence[Figure], *, columns: int = 1) -> "Canvas":
    """Draw figures side by side and below each other, as one matplotlib figure that shows itself in a notebook.

    Args:
        figures: from left to right, then downwards.
        columns: how many stand side by side.
    """
    # Imported late: matplotlib is slow to load, and a command that draws nothing should not wait for it.
    from matplotlib import rc_context

    from losslab.plots.canvas import Canvas

    rows = [figures[start : start + columns] for start in range(0, len(figures), columns)]
    heights = [max(map(_height, row)) for row in rows]
    with rc_context(STYLE):
        canvas = Canvas(figsize=(INCHES[0] * columns, sum(heights)), layout="constrained")
        grid = canvas.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
        for figure, axes in zip(figures, grid.flat, strict=False):
            _draw(figure, axes)
    return canvas


def _height(figure: Figure) -> float:
    row = BAR_ROW if figure.bar_width else ROW
    return max(INCHES[1], 1.2 + row * len(figure.x_names))


def _draw(figure: Figure, axes: "Axes") -> None:
    for series in figure.series:
        if series.style == "bars":
            axes.barh(
                series.x,
                series.y,
                figure.bar_width,
                color=_color(series),
                label=_plain(series.label),
            )
        elif figure.x_names:
            _draw_rows(series, axes)
        else:
            _draw_series(series, axes)
    if figure.x_names:
        _scale_rows(figure, axes)
    else:
        _scale(figure, axes)
    rows_above = _draw_marks(figure, axes)
    if figure.legend:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, borderaxespad=0)
        rows_above = max(rows_above, 1)
    axes.set_title(_plain(figure.title), pad=12 + LINE * rows_above)
    if figure.direct:
        _label(figure, axes)


def _draw_series(series: Series, axes: "Axes") -> None:
    color = _color(series)
    marker = "" if series.style == "line" else _symbol(series)
    line = "" if series.style == "points" else "-"
    width = 0.6 if series.faint else 1.6
    axes.plot(
        series.x,
        series.y,
        color=color,
        marker=marker,
        ls=line,
        lw=width,
        label=_plain(short(series.label)),
    )
    if series.low and series.high:
        axes.fill_between(series.x, series.low, series.high, color=color, alpha=0.15, lw=0)


def _draw_rows(series: Series, axes: "Axes") -> None:
    axes.plot(
        series.y,
        series.x,
        _symbol(series),
        color=_color(series),
        label=_plain(short(series.label)),
    )
    if series.low and series.high:
        axes.hlines(series.x, series.low, series.high, color=_color(series), lw=1.4)


def _draw_marks(figure: Figure, axes: "Axes") -> int:
    """Draw rings and lines to compare with; return the rows that their labels take above the drawing."""
    for mark in figure.marks:
        if mark.x is not None and mark.y is not None:
            axes.plot(
                [mark.x],
                [mark.y],
                "o",
                ms=12,
                mfc="none",
                mec=_slot_color(mark.slot or 0),
                mew=1.4,
            )
    for mark in lines_across(figure):
        axes.axhline(mark.value, color=GREY, lw=1, ls=":")
        label = axes.annotate(
            _plain(mark.label),
            (1, mark.value),
            (0, 3),
            ("axes fraction", "data"),
            "offset points",
        )
        label.set(ha="right", color=GREY, fontsize=9)
    labels = mark_labels(figure, WIDTH_POINTS, CHARACTER)
    for upright in labels:
        value, shift = upright.mark.value, (0, 3 + LINE * upright.row)
        axes.axvline(value, color=GREY, lw=1, ls=":")
        text = _plain(upright.mark.label)
        label = axes.annotate(
            text, (value, 1), shift, ("data", "axes fraction"), "offset points"
        )
        label.set(ha=upright.anchor, color=GREY, fontsize=9)
    return max((upright.row + 1 for upright in labels), default=0)


def _scale(figure: Figure, axes: "Axes") -> None:
    _fit("x", x_range(figure), figure.x_log, axes)
    _fit("y", y_range(figure), figure.y_log, axes)
    axes.set(xlabel=_plain(figure.x_label), ylabel=_plain(figure.y_label))
    if figure.percent:
        axes.yaxis.set_major_formatter(_percent())


def _scale_rows(figure: Figure, axes: "Axes") -> None:
    """Scale for names downwards, the first on top, and their values to the right."""
    _fit("x", y_range(figure), figure.y_log, axes)
    names = ["\n".join(map(_plain, name_lines(name))) for name in figure.x_names]
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=_plain(figure.y_label), ylim=x_range(figure)[::-1])
    if figure.percent:
        axes.xaxis.set_major_formatter(_percent())


def _fit(axis: str, ends: tuple[float, float], log: bool, axes: "Axes") -> None:
    if not log:
        axes.set(**{f"{axis}lim": ends})
        return
    axes.set(**{f"{axis}scale": "log", f"{axis}lim": tuple(10**end for end in ends)})
    # The ticks of the page, so that a reader finds the same numbers in the file.
    ticks = log_ticks(ends)
    axes.set(**{f"{axis}ticks": ticks, f"{axis}ticklabels": [f"{tick:g}" for tick in ticks]})
    axes.minorticks_off()


def _percent() -> "Formatter":
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1.0)


def _label(figure: Figure, axes: "Axes") -> None:
    """Write each series' name at its end, moved apart where two would overlap."""
    height = INCHES[1] * 72 * 0.78  # what title and axis leave of the figure, in points
    for series, shift in zip(figure.series, label_shifts(figure, height, 12), strict=True):
        end = (series.x[-1], series.y[-1])
        label = axes.annotate(
            _plain(short(series.label)),
            end,
            (8, shift),
            textcoords="offset points",
            annotation_clip=False,
        )
        label.set(color=_color(series), fontsize=9, fontweight="bold", va="center")


def _color(series: Series) -> str:
    return FAINT if series.faint else _slot_color(series.slot)


def _slot_color(slot: int) -> str:
    return LIGHT[slot % len(LIGHT)]


def _symbol(series: Series) -> str:
    return SYMBOLS[series.slot % len(SYMBOLS)]


def _plain(text: str) -> str:
    """Escape text, so that matplotlib sees no mathematics in it."""
    return text.replace("$", r"\$")
