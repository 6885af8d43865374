"""Labels of figures keep apart, whatever the width."""

from itertools import pairwise

import pytest

from losslab.plots.figures import Figure, Mark, Series
from losslab.plots.labels import MarkLabel, label_shifts, mark_labels


def test_labels_at_the_ends_of_lines_do_not_overlap() -> None:
    series = tuple(Series(str(i), (1.0, 2.0), (2.0, 1.0 + i / 1000)) for i in range(5))
    shifts = label_shifts(Figure("close", "t", "x", "y", series), 280, 16)
    ends = sorted(shift + index * 0.28 / 1.12 for index, shift in enumerate(shifts))
    assert all(upper - lower > 15 for lower, upper in pairwise(ends))


def drawn(
    labels: list[MarkLabel], figure: Figure, width: float, character: float
) -> list[tuple[int, float, float]]:
    """Row and both ends of each label; the line of a mark at x is at the fraction x of the width."""
    low, high = figure.series[0].x
    ends = []
    for label in labels:
        length = character * len(label.mark.label)
        margin = 0.02 * (high - low)
        line = (label.mark.value - low + margin) / (high - low + 2 * margin) * width
        start = line - {"left": 0, "center": length / 2, "right": length}[label.anchor]
        ends.append((label.row, start, start + length))
    return ends


@pytest.mark.parametrize("width", [240, 700])
@pytest.mark.parametrize(
    "values",
    [(0.5, 0.52, 0.54), (0.0, 0.01, 1.0), (0.9, 0.95, 1.0), (0.0, 0.0, 0.0), (0.1, 0.5, 0.9)],
    ids=["close", "left edge", "right edge", "equal", "apart"],
)
def test_labels_of_marks_lie_inside_and_never_on_each_other(
    values: tuple[float, ...], width: float
) -> None:
    names = ("lr_min 0.00135", "suggestion 0.105", "lr_max 0.311")
    marks = tuple(Mark(name, x=value) for name, value in zip(names, values, strict=True))
    figure = Figure("f", "t", "x", "y", (Series("a", (0.0, 1.0), (0.0, 1.0)),), marks=marks)
    ends = drawn(mark_labels(figure, width, 7.0), figure, width, 7.0)
    assert len(ends) == 3
    assert all(start >= 0 and end <= width for _, start, end in ends)
    for row in range(3):
        inside = sorted((start, end) for at, start, end in ends if at == row)
        assert all(end < start for (_, end), (start, _) in pairwise(inside))


def test_marks_that_are_apart_share_a_row() -> None:
    marks = (Mark("lr_min", x=0.4), Mark("lr_max", x=0.6))
    figure = Figure("f", "t", "x", "y", (Series("a", (0.0, 1.0), (0.0, 1.0)),), marks=marks)
    assert [(label.row, label.anchor) for label in mark_labels(figure, 240, 7.0)] == [
        (0, "right"),
        (0, "left"),
    ]


def test_a_line_runs_up_where_its_axis_runs_right() -> None:
    series = (Series("a", (0.0,), (2.0,), style="points"),)
    named = Figure("f", "t", "x", "y", series, x_names=("one",), marks=(Mark("equal", y=2.0),))
    assert [label.mark.label for label in mark_labels(named, 240, 7.0)] == ["equal"]
    plain = Figure(
        "f", "t", "x", "y", series, marks=(Mark("equal", y=2.0), Mark("ring", 0.0, 2.0))
    )
    assert mark_labels(plain, 240, 7.0) == []
