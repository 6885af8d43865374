"""Curves in the terminal, read back from the Unicode names of their characters."""

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
    lines = [
        line[MARGIN:].ljust(COLUMNS - MARGIN, "\u2800")
        for line in plot.split("\n")[1 : 1 + ROWS]
    ]
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
    assert lines[-2].split() == ["1", "2", "1,000"]
    assert lines[-1].strip() == "step, logarithmic"
    assert max(map(len, lines)) <= COLUMNS


@pytest.mark.parametrize("columns", [60, 200])
def test_a_curve_is_as_wide_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(len, text_plot(range(500), range(500), names=NAMES).split("\n"))) == columns


def test_a_few_points_are_all_on_the_axis_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    sizes = [64, 128, 256, 512, 1024]
    lines = text_plot(sizes, [5.0, 4, 3, 2, 1], names=NAMES, log=True).split("\n")
    assert lines[-2].split() == ["64", "128", "256", "512", "1,024"]
    assert (lines[-2].index("64"), lines[-2].rindex("4")) == (MARGIN, 89)


def test_many_points_have_powers_of_ten_on_a_logarithmic_axis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    rates = np.logspace(-4, 0, 100)
    lines = text_plot(rates.tolist(), rates.tolist(), names=NAMES, log=True).split("\n")
    assert lines[-2].split() == ["0.0001", "0.001", "0.01", "0.1", "1"]


def test_numbers_of_the_vertical_axis_never_push_the_curve() -> None:
    lines = text_plot([0, 1], [1.0, 1.23e14], names=NAMES).split("\n")
    assert lines[1].split()[0] == "1.2e+14"
    assert all(len(line[:MARGIN].rstrip()) < MARGIN for line in lines[1 : ROWS + 1])


def test_marks_stand_under_their_values() -> None:
    wide = COLUMNS - MARGIN
    marks = {"low": 1e-4, "middle": 1e-2, "high": 1.0, "none": None}
    lines = text_plot(
        [1e-4, 1e-2, 1.0], [3.0, 2.0, 1.0], names=NAMES, log=True, marks=marks
    ).split("\n")
    arrows, named = lines[ROWS + 1], lines[ROWS + 2]
    columns = [0, (wide - 1) // 2, wide - 1]
    assert [column - MARGIN for column, sign in enumerate(arrows) if sign == "^"] == columns
    assert named.split() == ["low", "middle", "high"]
    for name, column in zip(named.split(), columns, strict=True):
        start = named.index(name) - MARGIN
        assert start <= column < start + len(name)


def test_names_of_marks_that_are_close_stand_in_lines_of_their_own() -> None:
    marks = {"lr_min": 0.5, "suggestion": 0.52, "lr_max": 0.54}
    lines = text_plot([0.0, 1.0], [3.0, 1.0], names=NAMES, marks=marks).split("\n")
    assert [line.strip() for line in lines[ROWS + 2 : ROWS + 5]] == [
        "lr_min",
        "suggestion",
        "lr_max",
    ]


def test_values_that_are_no_numbers_are_left_out() -> None:
    nan, inf = float("nan"), float("inf")
    plain = text_plot([1, 2, 3], [1.0, 2.0, 0.5], names=NAMES)
    assert (
        text_plot([1, 1.5, 2, 3, 4, 5], [1.0, None, 2.0, 0.5, nan, inf], names=NAMES) == plain
    )


@pytest.mark.parametrize(
    "y", [[], [1.0], [float("nan"), 1.0]], ids=["none", "one", "one that is finite"]
)
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
