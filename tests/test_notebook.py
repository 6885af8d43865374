"""What answers show of themselves in a notebook."""

import re
import sys
from collections.abc import Callable
from dataclasses import fields
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import part_one
from torch import nn

import losslab
from losslab.ranges import Trace, find_batch_range, find_lr_range
from losslab.records import Evaluation
from losslab.study.results import read_results

PAYLOAD = "<script>alert(1)</script>"


def lr_range() -> losslab.LrRange:
    rates = np.logspace(-6, 1, 200)
    loss = 2.3 - 1.5 / (1 + np.exp(-3 * (np.log10(rates) + 3)))
    return find_lr_range([Trace(rates.tolist(), loss.tolist(), [], [64] * 200, 0, 1.0)])


def batch_range() -> losslab.BatchRange:
    sizes = [16, 32, 64, 128]

    def train(size: int) -> list[Trace]:
        return [
            Trace([0.1] * 40, [1 / size] * 40, [], [size] * 40, seed, 1.0) for seed in range(2)
        ]

    return find_batch_range(sizes, train)


def ledger() -> object:
    return losslab.count("lenet5")


def cells(page: str) -> list[list[str]]:
    rows = re.findall("<tr>(.*?)</tr>", page)
    return [
        [unescape(cell) for cell in re.findall("<t[dh]>(.*?)</t[dh]>", row)] for row in rows
    ]


@pytest.mark.parametrize("make", [lr_range, batch_range, ledger])
def test_an_answer_is_a_table_a_figure_and_a_data_frame(make: Callable, tmp_path: Path) -> None:
    answer = make()
    assert answer.plot()._repr_png_().startswith(b"\x89PNG")
    answer.plot().savefig(tmp_path / "answer.png")
    assert (tmp_path / "answer.png").stat().st_size > 5000
    assert len(answer.to_pandas()) > 3


def test_the_data_frame_of_a_ledger_adds_up() -> None:
    counted = losslab.count("lenet5")
    frame = counted.to_pandas()
    assert list(frame["name"]) == [row.name for row in counted.rows]
    assert frame[["parameters", "macs", "activations"]].sum().tolist() == [
        counted.parameters,
        counted.macs,
        counted.activations,
    ]
    assert pd.api.types.is_integer_dtype(frame["macs"])


def test_the_html_of_a_ledger_has_its_rows_and_totals() -> None:
    counted = losslab.count("lenet5")
    headings, *rows, total = cells(counted._repr_html_())
    assert [row[0] for row in rows] == [row.name for row in counted.rows]
    assert total[headings.index("MACs")] == f"{counted.macs:,}"


def test_the_figure_of_a_ledger_has_a_bar_for_each_layer_that_costs() -> None:
    counted = losslab.count("lenet5")
    macs, parameters = counted.plot().axes
    assert [bar.get_width() for bar in macs.patches] == [
        int(row.macs) for row in counted.rows if int(row.macs)
    ]
    costly = [int(row.parameters) for row in counted.rows if int(row.parameters)]
    assert [bar.get_width() for bar in parameters.patches] == costly


def test_text_of_a_user_is_escaped() -> None:
    network = nn.Sequential()
    network.add_module(PAYLOAD, nn.Linear(3, 2))
    network.add_module("$x^$", nn.Linear(2, 2))
    counted = losslab.count(network, (3,))
    page = counted._repr_html_()
    assert "<script" not in page
    assert any(PAYLOAD in cell for row in cells(page) for cell in row)
    counted.plot().canvas.draw()  # a name is no mathematics


def test_the_data_frame_of_a_study_has_a_row_for_each_evaluation(tmp_path: Path) -> None:
    results = read_results(part_one(tmp_path, epochs=3))
    frame = losslab.read_evaluations(tmp_path)
    evaluations = [
        e for runs in results.stages.values() for run in runs for e in run.evaluations
    ]
    assert frame["train_loss"].tolist() == [e.train_loss for e in evaluations]
    assert {field.name for field in fields(Evaluation)} <= set(frame.columns)
    last = frame[
        (frame["stage"] == "compare")
        & (frame["optimizer.name"] == "adam")
        & (frame["epoch"] == 3)
    ]
    assert sorted(last["model.hidden_dropout"]) == [0.0, 0.5]
    finals = {run.run.id: run.final.test_accuracy for run in results.stages["compare"]}
    assert last["test_accuracy"].tolist() == [finals[name] for name in last["id"]]


def test_a_study_without_runs_is_an_empty_data_frame(tmp_path: Path) -> None:
    part_one(tmp_path, skip=lambda run: True)
    assert losslab.read_evaluations(tmp_path).empty


@pytest.mark.parametrize("make", [lr_range, batch_range, ledger])
def test_without_pandas_one_line_says_so(
    make: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = make()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        answer.to_pandas()
