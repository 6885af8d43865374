"""Figures of range tests: the loss against a learning rate or a batch size, with what was read off it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from losslab.plots.figures import Figure, Mark, Series, thinned
from losslab.text import number

if TYPE_CHECKING:  # their modules draw by this one
    from losslab.ranges.batch import BatchCurve, BatchRange
    from losslab.ranges.branch import BranchCurve, CriticalBatch
    from losslab.ranges.lr import LrRange


def lr_figure(name: str, title: str, found: "LrRange") -> Figure:
    """Draw loss against learning rate, with the band over seeds and the range.

    Args:
        name: identity of the figure.
        title: what is shown.
        found: the range of a ramp or a grid.
    """
    curve, is_ramp = found.curve, found.mode == "ramp"
    series = Series(
        "loss",
        thinned(curve.lr),
        thinned(curve.smoothed_loss),
        style="line" if is_ramp else "both",
    )
    if len(found.seeds) > 1:
        series = replace(series, low=thinned(curve.loss_low), high=thinned(curve.loss_high))
    label = "training loss, averaged" if is_ramp else "training loss at the end"
    marks = _edges(
        {"lr_min": found.lr_min, "suggestion": found.suggestion, "lr_max": found.lr_max}
    )
    return Figure(
        name,
        title,
        "learning rate",
        label,
        (series,) if series.x else (),
        x_log=True,
        marks=marks,
    )


def batch_figure(name: str, title: str, found: "BatchRange") -> Figure:
    """Draw loss against batch size, without those that diverged, and the range."""
    marks = _edges({"b_min": found.b_min, "b_max": found.b_max})
    return _of_sizes(name, title, found.curve, "training loss at the end", marks)


def branch_figure(name: str, title: str, found: "CriticalBatch") -> Figure:
    """Draw loss after equal samples against batch size, without those that diverged, and the critical size."""
    marks = _edges({"critical size": found.critical_size})
    return _of_sizes(name, title, found.curve, "loss after equal samples", marks)


def _of_sizes(
    name: str,
    title: str,
    curve: "BatchCurve | BranchCurve",
    label: str,
    marks: tuple[Mark, ...],
) -> Figure:
    rows = zip(curve.batch_size, curve.loss, curve.loss_low, curve.loss_high, strict=True)
    ended = [
        (float(size), y, low, high) for size, y, low, high in rows if None not in (y, low, high)
    ]
    figure = Figure(name, title, "batch size", label, (), x_log=True, marks=marks)
    if not ended:
        return figure
    x, y, low, high = zip(*ended, strict=True)
    series = Series("loss", x, y, style="both")
    if low != high:  # with one seed the band has no width
        series = replace(series, low=low, high=high)
    return replace(figure, series=(series,))


def _edges(ends: Mapping[str, float | None]) -> tuple[Mark, ...]:
    return tuple(
        Mark(f"{label} {number(value, 3)}", x=value)
        for label, value in ends.items()
        if value is not None
    )
