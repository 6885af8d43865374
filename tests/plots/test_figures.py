"""Figures as values: their names, axes and ticks."""

import pytest

from losslab.plots.figures import Figure, Series, log_ticks, x_range


@pytest.mark.parametrize("name", ['a"><script>', "A", "", "../x", "a b"])
def test_figure_names_are_safe_for_pages_and_files(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        Figure(name, "t", "x", "y", ())


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((-9.0, 1.0), [10.0**exponent for exponent in range(-9, 2, 2)]),
        ((-1.0, 1.0), [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]),
        ((0.2, 0.8), [2.0, 3.0, 4.0, 5.0]),
    ],
    ids=["ten decades", "two", "half of one"],
)
def test_log_axes_are_labelled_sparsely(
    ends: tuple[float, float], expected: list[float]
) -> None:
    assert log_ticks(ends) == pytest.approx(expected)


def test_figures_of_one_span_share_their_axis() -> None:
    short, long = (Series("a", (0.0, end), (1.0, 2.0)) for end in (5.0, 9.0))
    spanned = Figure("f", "t", "x", "y", (short,), x_span=(0.0, 9.0))
    assert x_range(spanned) == x_range(Figure("f", "t", "x", "y", (long,)))
