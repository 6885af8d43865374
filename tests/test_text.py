"""Numbers, durations, sizes and lists have one form for people."""

import pytest

from losslab.text import cell, count, duration, loss, measured, names, number, size, spread


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.1, "0.1"),
        (1e-5, "1e-05"),
        (1234.5, "1,234"),
        (9999.4, "9,999"),
        (9999.7, "10,000"),
        (12345.6, "12,346"),
        (1234567, "1,234,567"),
        (-1234567, "-1,234,567"),
        (1.5e16, "1.5e+16"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (None, "–"),
    ],
)
def test_a_number_has_four_digits_or_all_of_its_whole_ones(
    value: float | None, text: str
) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5000"), (999.94, "999.9"), (999.97, "1,000"), (1e16, "1.000e+16"), (None, "–")],
)
def test_a_measured_number_keeps_its_trailing_zeros(value: float | None, text: str) -> None:
    assert measured(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.4, "59.4 s"),
        (59.6, "1 min 00 s"),
        (75, "1 min 15 s"),
        (3599.6, "1 h 00 min"),
        (3900, "1 h 05 min"),
        (3_600_000, "1,000 h 00 min"),
        (None, "unknown"),
    ],
)
def test_a_duration_has_the_two_units_that_matter(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.0 kB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (999_960_000, "1.0 GB"),
        (1_000_000, "1.0 MB"),
        (1e9, "1.0 GB"),
        (1.5e12, "1,500.0 GB"),
    ],
)
def test_a_size_has_the_largest_unit_that_it_fills(amount: float, text: str) -> None:
    assert size(amount).replace("\N{NO-BREAK SPACE}", " ") == text


def test_a_cell_of_any_kind_is_short() -> None:
    values = (1234.56, 1234567, True, None, "valley", [1, 2])
    assert [cell(value) for value in values] == [
        "1,235",
        "1,234,567",
        "True",
        "–",
        "valley",
        "[1, 2]",
    ]


def test_losses_stand_under_each_other_unless_they_are_out_of_proportion() -> None:
    assert [loss(value) for value in (0.12345, 12.0, 1.1e15, float("nan"))] == [
        "0.1235",
        "12.0000",
        "1.1e+15",
        "nan",
    ]


def test_lists_read_as_sentences() -> None:
    assert [names(list("abc")[:length]) for length in range(4)] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert [count(amount, "run") for amount in (0, 1, 2000)] == [
        "0 runs",
        "1 run",
        "2,000 runs",
    ]


def test_a_spread_is_said_where_there_is_one() -> None:
    class Estimate:
        def __init__(self, mean: float, spread: float | None) -> None:
            self.mean, self.spread = mean, spread

    assert spread(Estimate(0.5, None)) == "0.5000"
    assert spread(Estimate(0.5, 0.0123)) == "0.5000 ± 0.012"
    assert spread(None) == "–"
