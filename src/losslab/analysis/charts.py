"""Findings as figures."""

from collections.abc import Mapping, Sequence
from itertools import chain
from math import isfinite
from typing import Literal

from losslab.analysis.curves import Curve, Search
from losslab.analysis.estimates import Estimate
from losslab.plots.figures import Figure, Mark, Series, thinned
from losslab.study.results import RunResult

WIDE, OUTLYING = 30.0, 3.0
"""Positive values whose largest is so many times the smallest go on a logarithmic axis; those of a search sooner."""
FEW = 15
"""Curves of fewer points show them."""
OFFSET = 0.22
"""Distance between points of different series over the same name."""

Points = tuple[Sequence[float], Sequence[float]]
"""Abscissae and ordinates."""


def course(
    name: str,
    title: str,
    found: Mapping[str, Curve],
    y_label: str,
    *,
    order: Sequence[str] = (),
    beside: Mapping[str, Curve] | None = None,
    x_label: str = "epoch",
    percent: bool = False,
) -> Figure:
    """Draw curves over epochs, or over what `x_label` says, a line each.

    Args:
        name: identity of the figure.
        title: what is shown.
        found: label -> curve.
        y_label: quantity and unit.
        order: labels in the order of their colours, so that a thing keeps its colour in every figure.
        beside: the curves of a figure that this one is to share its y axis with.
        x_label: quantity and unit along the curves.
        percent: whether they are fractions of one that are shown in percent.
    """
    labels = list(order or found)
    series = tuple(
        Series(
            label,
            curve.epochs,
            curve.mean,
            curve.low,
            curve.high,
            labels.index(label),
            _style(curve.epochs),
        )
        for label, curve in found.items()
    )
    # Both figures span the values of both, so that a reader may compare heights between them.
    both = [*found.values(), *(beside or {}).values()]
    span = tuple(chain.from_iterable(curve.mean for curve in both))
    is_log = _is_wide(span) and not percent
    if any(curve.low for curve in found.values()):
        title = f"{title}; bands from the lowest to the highest seed"
    return Figure(
        name, title, x_label, y_label, series, y_log=is_log, y_span=span, percent=percent
    )


def compared(
    name: str,
    title: str,
    found: Mapping[str, Mapping[str, Estimate]],
    axes: tuple[str, str],
    marks: Sequence[Mark] = (),
) -> Figure:
    """Draw estimates as points, with their 95 % intervals where known, side by side for each name.

    Args:
        name: identity of the figure.
        title: what is shown.
        found: label of a series -> name -> estimate; fractions of images are shown in percent.
        axes: what the names are; quantity and unit of the estimates.
        marks: values to compare with.
    """
    names = tuple(dict.fromkeys(chain.from_iterable(found.values())))
    # Series over one name stand side by side around it, the middle one on it.
    middle = (len(found) - 1) / 2
    series = tuple(
        _points(label, row, names, (slot - middle) * OFFSET, slot)
        for slot, (label, row) in enumerate(found.items())
        if row
    )
    estimates = list(chain.from_iterable(row.values() for row in found.values()))
    ends: list[float] = []
    for estimate in estimates:
        ends += [estimate.mean, *(estimate.interval or ())]
    percent = any(estimate.images for estimate in estimates)
    return Figure(
        name,
        title,
        *axes,
        series,
        y_log=_is_wide(ends) and not percent,
        x_names=names,
        marks=tuple(marks),
        percent=percent,
    )


def searched(
    name: str,
    title: str,
    found: Mapping[str, Search],
    x_label: str,
    *,
    order: Sequence[str] = (),
) -> Figure:
    """Draw the final validation loss of what each group tried, on a logarithmic axis, the best ringed."""
    series: list[Series] = []
    rings: list[Mark] = []
    labels = list(order or found)
    for label, search in found.items():
        slot = labels.index(label)
        losses = {value: estimate.mean for value, estimate in search.tried.items() if estimate}
        if losses:
            series.append(
                Series(label, tuple(losses), tuple(losses.values()), slot=slot, style="both")
            )
        if search.best in losses:
            rings.append(Mark("chosen", search.best, losses[search.best], slot))
    heights = list(chain.from_iterable(line.y for line in series))
    # One rate that diverges flattens all others on a linear axis, hence the smaller factor.
    is_log = _is_wide(heights, OUTLYING)
    return Figure(
        name,
        title,
        x_label,
        "validation loss",
        tuple(series),
        x_log=True,
        y_log=is_log,
        marks=tuple(rings),
    )


def by_step(
    name: str, title: str, found: Mapping[str, RunResult], column: str, label: str
) -> Figure:
    """Draw a column of the records of every step, such as ``lr`` or ``batch_size``, a line for each run.

    Args:
        name: identity of the figure.
        title: what is shown.
        found: label -> run.
        column: a list of `losslab.records.Steps`.
        label: quantity and unit.
    """
    series = []
    for slot, (key, run) in enumerate(found.items()):
        values = list(chain.from_iterable(getattr(record, column) for record in run.steps))
        # An entry of a packed study stands for several steps.
        indices = list(chain.from_iterable(record.indices() for record in run.steps))
        if values:
            series.append(Series(key, thinned(indices), thinned(values), slot=slot))
    return Figure(name, title, "optimizer step", label, tuple(series))


def lines(
    name: str,
    title: str,
    found: Mapping[str, Points],
    label: str,
    *,
    background: str = "",
    steps: Sequence[float] = (),
    percent: bool = False,
) -> Figure:
    """Draw quantities by optimizer step, every point of them that is finite.

    Args:
        name: identity of the figure.
        title: what is shown.
        found: label -> steps and values.
        label: quantity and unit.
        background: label of the curve to draw faint, behind the others.
        steps: that the axis covers beside those of the curves.
        percent: whether they are fractions of one that are shown in percent.
    """
    series = []
    for slot, (key, (index, values)) in enumerate(found.items()):
        points = [
            (float(x), float(y)) for x, y in zip(index, values, strict=True) if isfinite(y)
        ]
        if points:
            x, y = zip(*points, strict=True)
            series.append(
                Series(key, x, y, slot=slot, style=_style(x), faint=key == background)
            )
    is_log = _is_wide(list(chain.from_iterable(line.y for line in series))) and not percent
    span = tuple(map(float, steps))
    return Figure(
        name,
        title,
        "optimizer step",
        label,
        tuple(series),
        y_log=is_log,
        x_span=span,
        percent=percent,
    )


def nothing(name: str, title: str) -> Figure:
    """Stand in for a figure of what has not been measured."""
    return Figure(name, title, "", "", ())


def _style(x: Sequence[float]) -> Literal["line", "both"]:
    return "both" if len(x) < FEW else "line"


def _points(
    label: str, row: Mapping[str, Estimate], names: Sequence[str], offset: float, slot: int
) -> Series:
    ends = [estimate.interval or (estimate.mean, estimate.mean) for estimate in row.values()]
    is_known = any(low < high for low, high in ends)
    return Series(
        label,
        tuple(names.index(name) + offset for name in row),
        tuple(estimate.mean for estimate in row.values()),
        tuple(low for low, _ in ends) if is_known else None,
        tuple(high for _, high in ends) if is_known else None,
        slot,
        "points",
    )


def _is_wide(values: Sequence[float], factor: float = WIDE) -> bool:
    return bool(values) and min(values) > 0 and max(values) > factor * min(values)
