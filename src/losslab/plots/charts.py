"""Findings as figures."""

from collections.abc import Mapping, Sequence
from typing import Literal

from losslab.analysis.curves import Curve, Search
from losslab.analysis.estimates import Estimate
from losslab.plots.figures import Figure, Mark, Series

WIDE, OUTLYING = 30.0, 3.0
"""Positive values whose largest is so many times the smallest go on a logarithmic axis; those of a search sooner."""
FEW = 15
"""Curves of fewer points show them."""
OFFSET = 0.22
"""Distance between points of different series over the same name."""


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
    """Curves over epochs, or over what `x_label` says, a line each.

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
    series = tuple(_line(label, curve, labels.index(label)) for label, curve in found.items())
    span = tuple(y for curve in (*found.values(), *(beside or {}).values()) for y in curve.mean)
    return Figure(
        name, title, x_label, y_label, series, y_log=_wide(span) and not percent, y_span=span, percent=percent
    )


def compared(
    name: str,
    title: str,
    found: Mapping[str, Mapping[str, Estimate]],
    axes: tuple[str, str],
    marks: Sequence[Mark] = (),
) -> Figure:
    """Estimates as points, with their 95 % intervals where known, side by side for each name.

    Args:
        name: identity of the figure.
        title: what is shown.
        found: label of a series -> name -> estimate; fractions of images are shown in percent.
        axes: what the names are; quantity and unit of the estimates.
        marks: values to compare with.
    """
    names = tuple(dict.fromkeys(label for row in found.values() for label in row))
    middle = (len(found) - 1) / 2
    series = tuple(
        _points(label, row, names, (place - middle) * OFFSET, place)
        for place, (label, row) in enumerate(found.items())
        if row
    )
    every = [estimate for row in found.values() for estimate in row.values()]
    ends = [end for each in every for end in (each.mean, *(each.interval or ()))]
    log, percent = _wide(ends), any(each.images for each in every)
    return Figure(name, title, *axes, series, y_log=log, x_names=names, marks=tuple(marks), percent=percent)


def searched(name: str, title: str, found: Mapping[str, Search], x_label: str, *, order: Sequence[str] = ()) -> Figure:
    """The final validation loss of what each group tried, on a logarithmic axis, the chosen ringed."""
    series, marks, labels = [], [], list(order or found)
    for label, search in found.items():
        slot, ended = labels.index(label), {value: each.mean for value, each in search.tried.items() if each}
        if ended:
            series.append(Series(label, tuple(ended), tuple(ended.values()), slot=slot, style="both"))
        if search.chosen in ended:
            marks.append(Mark("chosen", search.chosen, ended[search.chosen], slot))
    log = _wide([y for each in series for y in each.y], OUTLYING)
    return Figure(name, title, x_label, "validation loss", tuple(series), x_log=True, y_log=log, marks=tuple(marks))


def _line(label: str, curve: Curve, slot: int) -> Series:
    style: Literal["line", "both"] = "both" if len(curve.epochs) < FEW else "line"
    return Series(label, curve.epochs, curve.mean, curve.low, curve.high, slot, style)


def _points(label: str, row: Mapping[str, Estimate], names: Sequence[str], offset: float, slot: int) -> Series:
    ends = [estimate.interval or (estimate.mean, estimate.mean) for estimate in row.values()]
    known = any(low < high for low, high in ends)
    return Series(
        label,
        tuple(names.index(name) + offset for name in row),
        tuple(estimate.mean for estimate in row.values()),
        tuple(low for low, _ in ends) if known else None,
        tuple(high for _, high in ends) if known else None,
        slot,
        "points",
    )


def _wide(values: Sequence[float], factor: float = WIDE) -> bool:
    return bool(values) and min(values) > 0 and max(values) > factor * min(values)
