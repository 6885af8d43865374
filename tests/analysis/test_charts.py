"""Findings as figures: what is drawn of which value."""

from math import inf, nan
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from losslab import count
from losslab.analysis.charts import by_step, compared, lines
from losslab.analysis.estimates import Estimate
from losslab.plots.figures import Mark, Series
from losslab.plots.files import write_files
from losslab.plots.ledger_charts import by_layer, growth
from losslab.plots.numbers import table
from losslab.plots.web import to_plotly
from losslab.ranges.charts import batch_figure, lr_figure
from losslab.records import Steps


def test_bars_and_growth_draw_both_ways(tmp_path: Path) -> None:
    ledgers = {name: count(name).to_dict() for name in ("alexnet", "alexnet-torchvision")}
    bars = by_layer("bars", "t", ledgers, "macs", "million MACs")
    assert table(bars)[1][0] == ("conv1", "105.415", "70.2768")
    assert {trace["orientation"] for trace in to_plotly(bars)["data"]} == {"h"}
    grown = growth("grown", "t", ledgers)
    assert grown.series[0].y == (1, 11, 19, 51, 67, 99, 131, 163, 195)
    for figure in (bars, grown):
        write_files(figure, tmp_path)
        assert (tmp_path / f"{figure.name}.png").stat().st_size > 10_000


def lr_range(seeds: int, points: int = 4) -> SimpleNamespace:
    rates, losses = (
        [10.0**place for place in range(-points, 0)],
        [float(place) for place in range(points)],
    )
    curve = SimpleNamespace(
        lr=rates, smoothed_loss=losses, loss_low=losses, loss_high=[loss + 1 for loss in losses]
    )
    ends = {"lr_min": 1e-3, "suggestion": 5e-3, "lr_max": None}
    return SimpleNamespace(mode="ramp", seeds=[None] * seeds, curve=curve, **ends)


def test_a_range_of_rates_is_a_line_with_its_known_ends() -> None:
    figure = lr_figure("f", "t", lr_range(seeds=1))
    assert figure.series == (Series("loss", (1e-4, 1e-3, 1e-2, 1e-1), (0.0, 1.0, 2.0, 3.0)),)
    assert figure.marks == (Mark("lr_min 0.001", x=1e-3), Mark("suggestion 0.005", x=5e-3))


def test_several_seeds_give_a_band() -> None:
    (series,) = lr_figure("f", "t", lr_range(seeds=3)).series
    assert (series.low, series.high) == ((0.0, 1.0, 2.0, 3.0), (1.0, 2.0, 3.0, 4.0))


def test_sizes_that_diverged_are_left_out() -> None:
    curve = SimpleNamespace(
        batch_size=[8, 16, 32],
        loss=[None, 2.0, 1.0],
        loss_low=[None, 1.5, 1.0],
        loss_high=[None, 2.5, 1.0],
    )
    figure = batch_figure("f", "t", SimpleNamespace(b_min=16, b_max=None, curve=curve))
    assert figure.series == (
        Series("loss", (16.0, 32.0), (2.0, 1.0), (1.5, 1.0), (2.5, 1.0), style="both"),
    )
    assert figure.marks == (Mark("b_min 16", x=16),)


def test_a_batch_range_without_any_size_is_an_empty_figure() -> None:
    curve = SimpleNamespace(batch_size=[8], loss=[None], loss_low=[None], loss_high=[None])
    assert (
        batch_figure("f", "t", SimpleNamespace(b_min=None, b_max=None, curve=curve)).series
        == ()
    )


def test_long_runs_are_drawn_by_medians_of_neighbours() -> None:
    run = SimpleNamespace(steps=[steps(0, [1.0, 9.0, 2.0] * 200), steps(600, [5.0] * 300)])
    (series,) = by_step("f", "t", {"a": run}, "lr", "learning rate").series
    assert len(series.y) == 300
    assert series.y[0] == 2.0
    assert series.y[-1] == 5.0


def test_an_entry_of_several_steps_is_drawn_at_its_first_one() -> None:
    packed = steps(40, [0.3, 0.2, 0.1], count=[20, 20, 5])
    figure = by_step("f", "t", {"a": SimpleNamespace(steps=[packed])}, "lr", "learning rate")
    assert figure.series[0].x == (40, 60, 80)


def steps(first: int, lr: list[float], count: list[int] | None = None) -> Steps:
    """A record of these rates."""
    return Steps(first, lr, [8] * len(lr), [1.0] * len(lr), [], 1.0, count=count)


def test_points_that_are_no_numbers_are_left_out_of_lines() -> None:
    curves = {"each": ([0, 1, 2, 3], [2.0, nan, inf, 1.0]), "none": ([0], [nan])}
    (series,) = lines("f", "t", curves, "loss", background="each").series
    assert (series.x, series.y, series.faint) == ((0.0, 3.0), (2.0, 1.0), True)


@pytest.mark.parametrize(
    ("values", "is_log"), [([1.0, 29.0], False), ([1.0, 31.0], True), ([0.0, 31.0], False)]
)
def test_values_far_apart_go_on_a_logarithmic_axis(values: list[float], is_log: bool) -> None:
    assert lines("f", "t", {"a": ([0, 1], values)}, "loss").y_log == is_log


def test_accuracies_are_never_on_a_logarithmic_axis() -> None:
    wide = {"a": {"x": Estimate((0.01,), 100), "y": Estimate((0.9,), 100)}}
    figure = compared("f", "t", wide, ("policy", "classified correctly"))
    assert (figure.percent, figure.y_log) == (True, False)
    losses = {"a": {"x": Estimate((0.01,)), "y": Estimate((0.9,))}}
    assert compared("f", "t", losses, ("policy", "loss")).y_log


def test_a_network_that_costs_nothing_is_drawn_as_nothing() -> None:
    assert count(nn.ReLU(), (3, 8, 8)).plot() is not None
