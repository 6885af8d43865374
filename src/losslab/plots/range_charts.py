"""Range tests and policies as figures."""

from collections.abc import Mapping, Sequence
from statistics import median

from losslab.plots.figures import Figure, Mark, Series
from losslab.ranges import BatchRange, LrRange
from losslab.study.results import RunResult

POINTS = 300
"""Points of a curve by step, at most; each is the median of its neighbours."""


def lr_figure(name: str, title: str, found: LrRange) -> Figure:
    """Loss against learning rate, with the band over seeds and the range.

    Args:
        name: identity of the figure.
        title: what is shown.
        found: the range of a ramp or a grid.
    """
    curve, ramp = found.curve, found.mode == "ramp"
    x, y, low, high = map(_thin, (curve.lr, curve.smoothed_loss, curve.loss_low, curve.loss_high))
    several = len(found.seeds) > 1
    ends = (low if several else None, high if several else None)
    series = Series("loss", x, y, *ends, 0, "line" if ramp else "both")
    marks = _edges({"lr_min": found.lr_min, "lr_max": found.lr_max})
    label = "training loss, averaged" if ramp else "training loss at the end"
    return Figure(name, title, "learning rate", label, (series,) if x else (), x_log=True, marks=marks)


def batch_figure(name: str, title: str, found: BatchRange) -> Figure:
    """Loss against batch size, without those that diverged, and the range."""
    curve = found.curve
    rows = [
        row
        for row in zip(curve.batch_size, curve.loss, curve.loss_low, curve.loss_high, strict=True)
        if None not in row
    ]
    x, y, low, high = (tuple(map(float, column)) for column in zip(*rows, strict=True)) if rows else ((),) * 4
    several = low != high
    series = Series("loss", x, y, low if several else None, high if several else None, style="both")
    marks = _edges({"b_min": found.b_min, "b_max": found.b_max})
    return Figure(
        name, title, "batch size", "training loss at the end", (series,) if x else (), x_log=True, marks=marks
    )


def by_step(name: str, title: str, found: Mapping[str, RunResult], column: str, label: str) -> Figure:
    """A column of the records of every step, such as ``lr`` or ``batch_size``, a line for each run.

    Args:
        name: identity of the figure.
        title: what is shown.
        found: label -> run.
        column: a list of `losslab.records.Steps`.
        label: quantity and unit.
    """
    values = {key: [value for part in run.steps for value in getattr(part, column)] for key, run in found.items()}
    series = tuple(
        Series(key, _thin(range(len(row))), _thin(row), slot=slot)
        for slot, (key, row) in enumerate(values.items())
        if row
    )
    return Figure(name, title, "optimizer step", label, series)


def nothing(name: str, title: str) -> Figure:
    """A figure of what has not been measured."""
    return Figure(name, title, "", "", ())


def _thin(values: Sequence[float]) -> tuple[float, ...]:
    """At most so many points, each the median of as many neighbours."""
    width = -(-len(values) // POINTS) or 1
    return tuple(median(values[place : place + width]) for place in range(0, len(values), width))


def _edges(ends: Mapping[str, float | None]) -> tuple[Mark, ...]:
    return tuple(Mark(label, x=value) for label, value in ends.items() if value is not None)
