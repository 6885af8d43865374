"""The numbers behind a figure."""

from losslab.plots.figures import Figure, Series
from losslab.plots.numbers import describe, numbers, table


def test_the_numbers_behind_a_figure_are_exact_and_complete() -> None:
    figure = Figure(
        "f",
        "t",
        "epoch",
        "loss",
        (Series("a", (1.0, 2.0), (0.5, 0.25)), Series("b", (2.0,), (0.125,))),
    )
    assert table(figure) == (("epoch", "a", "b"), [("1", "0.5", ""), ("2", "0.25", "0.125")])


def test_numbers_are_whole_for_programs_and_short_for_people() -> None:
    figure = Figure("f", "t", "step", "loss", (Series("a", (1234567.0,), (1 / 3,)),))
    assert numbers(figure)[1] == [(1234567.0, 1 / 3)]
    assert table(figure)[1] == [("1,234,567", "0.333333")]


def test_a_figure_is_told_in_words_with_its_axes_and_courses() -> None:
    figure = Figure(
        "f", "Loss", "epoch", "cross-entropy", (Series("a", (1.0, 2.0), (0.5, 0.25)),)
    )
    assert describe(figure) == "Loss. cross-entropy by epoch. a: from 0.5 to 0.25."
    assert (
        describe(Figure("f", "Loss", "epoch", "loss", ()))
        == "Loss. loss by epoch. No data yet."
    )
