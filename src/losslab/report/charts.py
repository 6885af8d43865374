"""Findings as figures."""

from collections.abc import Mapping, Sequence

from losslab.analysis import Curve, Search
from losslab.estimates import Estimate
from losslab.report.figures import Figure, Mark, Series

WIDE = 20.0
"""Positive values whose largest is so many times the smallest go on a logarithmic axis."""
OFFSET = 0.09
"""Distance between points of different series over the same name."""


def course(name: str, title: str, found: Mapping[str, Curve], y_label: str, *, order: Sequence[str] = ()) -> Figure:
    """Curves over epochs, a line each.

    Args:
        name: identity of the figure.
        title: what is shown.
        found: label -> curve.
        y_label: quantity and unit.
        order: labels in the order of their colours, so that a thing keeps its colour in every figure.
    """
    labels = list(order or found)
    series = tuple(
        Series(label, curve.epochs, curve.mean, curve.low, curve.high, labels.index(label))
        for label, curve in found.items()
    )
    return Figure(name, title, "epoch", y_label, series, y_log=_wide([y for each in series for y in each.y]))


def compared(
    name: str,
    title: str,
    found: Mapping[str, Mapping[str, Estimate]],
    axes: tuple[str, str],
    marks: Sequence[Mark] = (),
) -> Figure:
    """Estimates as points with their 95 % intervals where known, side by side.

    Args:
        name: identity of the figure.
        title: what is shown.
        found: label of a series -> name on the x axis -> estimate.
        axes: what the names are; quantity and unit of the estimates.
        marks: values to compare with.
    """
    names = tuple(dict.fromkeys(label for row in found.values() for label in row))
    middle = (len(found) - 1) / 2
    series = tuple(
        _points(label, row, names, (place - middle) * OFFSET, place) for place, (label, row) in enumerate(found.items())
    )
    return Figure(name, title, *axes, series, x_names=names, marks=tuple(marks))


def searched(name: str, title: str, found: Mapping[str, Search], x_label: str, order: Sequence[str] = ()) -> Figure:
    """The final validation loss of what each group tried, logarithmic, what was chosen ringed."""
    series, marks, labels = [], [], list(order or found)
    for label, search in found.items():
        slot = labels.index(label)
        ended = {value: estimate.mean for value, estimate in search.tried.items() if estimate}
        if ended:
            series.append(Series(label, tuple(ended), tuple(ended.values()), slot=slot, style="both"))
        if search.chosen in ended:
            marks.append(Mark("chosen", search.chosen, ended[search.chosen], slot))
    return Figure(
        name,
        title,
        x_label,
        "validation loss",
        tuple(series),
        x_log=True,
        y_log=_wide([y for each in series for y in each.y]),
        marks=tuple(marks),
    )


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


def _wide(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) > WIDE * min(values)
