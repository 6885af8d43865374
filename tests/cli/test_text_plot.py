import unicodedata

import numpy as np
import pytest

from losslab.cli.text_plot import MARGIN, sparkline, text_plot

NAMES = ("step", "loss")
COLUMNS, ROWS = 40, 8


@pytest.fixture(autouse=True)
def narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))


def dots_of(plot: str) -> np.ndarray:
    """The dots of the picture, read from the Unicode names of its characters: 1 2 3 7 on the left, 4 5 6 8 right."""
    lines = [line[MARGIN:].ljust(COLUMNS - MARGIN, "\u2800") for line in plot.split("\n")[1 : 1 + ROWS]]
    dots = np.zeros((4 * ROWS, 2 * (COLUMNS - MARGIN)), bool)
    for row, line in enumerate(lines):
        for column, sign in enumerate(line):
            for digit in unicodedata.name(sign).partition("DOTS-")[2]:
                right, down = divmod("12374568".index(digit), 4)
                dots[4 * row + down, 2 * column + right] = True
    return dots


def test_a_straight_line_runs_from_corner_to_corner() -> None:
    dots = dots_of(text_plot([0, 10], [1.0, 3.0], names=NAMES))
    expected = np.linspace(4 * ROWS - 1, 0, dots.shape[1])
    for column, row in enumerate(expected):
        found = np.flatnonzero(dots[:, column])
        assert len(found)
        assert abs(found - row).min() <= 0.5


@pytest.mark.parametrize("points", [3, 61, 62, 63, 5000])
def test_the_curve_is_one_piece_and_touches_both_ends(points: int) -> None:
    x = np.arange(points, dtype=float)
    dots = dots_of(text_plot(x, np.sin(x * 6 / points), names=NAMES))
    assert dots.any(axis=0).all()
    assert dots[0].any()
    assert dots[-1].any()
    for left, right in zip(dots.T, dots.T[1:], strict=False):
        gaps = np.abs(np.subtract.outer(np.flatnonzero(left), np.flatnonzero(right)))
        assert gaps.min() <= 1


def test_axes_tell_the_lowest_and_highest_values() -> None:
    lines = text_plot([1, 2, 1000], [0.25, 7.5, 1.0], names=NAMES, log=True).split("\n")
    assert lines[0] == "loss"
    assert lines[1].split()[0] == "7.5"
    assert lines[ROWS].split()[0] == "0.25"
    assert lines[-1].split() == ["1", "step,", "logarithmic", "1000"]
    assert max(map(len, lines)) <= COLUMNS


def test_marks_stand_under_their_values() -> None:
    wide = COLUMNS - MARGIN
    marks = {"low": 1e-4, "middle": 1e-2, "high": 1.0, "none": None}
    under = text_plot([1e-4, 1e-2, 1.0], [3.0, 2.0, 1.0], names=NAMES, log=True, marks=marks).split("\n")[ROWS + 1]
    assert [place - MARGIN for place, sign in enumerate(under) if sign == "^"] == [0, (wide - 1) // 2, wide - 1]


def test_values_that_are_no_numbers_are_left_out() -> None:
    nan, inf = float("nan"), float("inf")
    plain = text_plot([1, 2, 3], [1.0, 2.0, 0.5], names=NAMES)
    assert text_plot([1, 1.5, 2, 3, 4, 5], [1.0, None, 2.0, 0.5, nan, inf], names=NAMES) == plain


@pytest.mark.parametrize("y", [[], [1.0], [float("nan"), 1.0]], ids=["none", "one", "one that is finite"])
def test_fewer_than_two_points_are_no_curve(y: list[float]) -> None:
    assert text_plot(range(len(y)), y, names=NAMES) == ""


def test_a_constant_is_drawn() -> None:
    assert dots_of(text_plot([0, 1], [2.0, 2.0], names=NAMES))[-1].all()


def test_a_line_of_bars_goes_from_the_lowest_to_the_highest() -> None:
    assert sparkline([0.0, 1.0, 7.0]) == "▁▂█"
    assert sparkline([3.0, None, float("nan"), 3.0]) == "▁▁"
    assert sparkline([]) == sparkline([float("inf")]) == ""
    many = sparkline(range(160))
    assert (len(many), many[0], many[-1]) == (16, "▁", "█")
    assert sorted(many) == list(many)
