"""What answers show of themselves in a notebook."""

import re
import sys
from collections.abc import Callable
from dataclasses import fields
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from fake_study import part_one
from torch import nn

import losslab
from losslab.errors import StoreError
from losslab.ranges import Trace, find_batch_range, find_lr_range
from losslab.ranges.branch import critical_batch
from losslab.records import Evaluation
from losslab.spec import make_run
from losslab.study.results import read_results, read_run
from losslab.study.store import RunFolder
from losslab.study.worker import run_in_folder

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


def critical() -> losslab.CriticalBatch:
    return critical_batch(
        [[1.0, 1.1], [1.0, 1.2], [1.5, 1.7], [float("inf")] * 2],
        sizes=[16, 32, 64, 128],
        lrs=[0.1, 0.2, 0.4, 0.8],
        samples=[1280] * 4,
        tolerance=0.06,
        scaling="linear",
        noise_scale=50.0,
    )


def ledger() -> object:
    return losslab.count("lenet5")


def cells(page: str) -> list[list[str]]:
    rows = re.findall("<tr>(.*?)</tr>", page)
    return [
        [unescape(cell) for cell in re.findall("<t[dh]>(.*?)</t[dh]>", row)] for row in rows
    ]


RANGES = [lr_range, batch_range, critical]


@pytest.mark.parametrize("make", RANGES)
def test_a_range_prints_in_a_line_with_what_was_found(make: Callable) -> None:
    found = make()
    text = repr(found)
    assert len(text) < 250
    assert "\n" not in text
    numbers = {
        lr_range: [f"lr_min {found.to_dict().get('lr_min', 0):.3g}", "rule valley"],
        batch_range: ["b_min 16", "b_max 128"],
        critical: ["critical batch size 32", "of the seeds 16 to 32"],
    }
    assert [part for part in numbers[make] if part not in text] == []


def test_a_range_that_was_not_found_prints_why_and_what_to_try() -> None:
    found = find_lr_range([Trace([1e-3, 1e-2], [2.0, 2.0], [], [64] * 2, 0, 1.0)])
    assert repr(found).startswith("<LrRange: no range found, because the loss never falls")
    assert "more steps" in repr(found)
    bundle = found._repr_mimebundle_()
    assert "no range found" in bundle["text/html"]


@pytest.mark.parametrize("make", RANGES)
def test_a_notebook_shows_the_curve_and_the_words(make: Callable) -> None:
    bundle = make()._repr_mimebundle_()
    assert bundle["text/plain"] == repr(make())
    picture = ElementTree.fromstring(bundle["image/svg+xml"])
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    labels = {
        lr_range: "suggestion",
        batch_range: "b_max 128",
        critical: "critical size 32",
    }
    assert (
        labels[make] in bundle["image/svg+xml"]
    )  # in a comment beside the outlines of its letters
    page = bundle["text/html"]
    assert page.startswith("<svg")
    assert unescape(re.findall("<p>(.*?)</p>", page)[0]).startswith(make().sentence)


def test_the_figure_of_branches_has_the_losses_of_the_sizes_that_trained() -> None:
    line = critical().plot().axes[0].lines[0]
    assert line.get_xdata().tolist() == [16, 32, 64]
    assert line.get_ydata().tolist() == pytest.approx([1.05, 1.1, 1.6])


@pytest.mark.parametrize("make", RANGES)
def test_a_range_that_was_saved_is_read_again(make: Callable, tmp_path: Path) -> None:
    found = make()
    found.save(tmp_path / "range.json")
    assert losslab.read_range(tmp_path / "range.json") == found


@pytest.mark.parametrize("text", ["[]", "{}", '{"curve": {}}', '{"branches": [1]}', "3", "x"])
def test_a_file_that_holds_no_range_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=r"other\.json: (holds no range; give|cannot be read)"):
        losslab.read_range(path)


@pytest.mark.parametrize("make", [*RANGES, ledger])
def test_an_answer_is_a_figure_and_a_data_frame(make: Callable, tmp_path: Path) -> None:
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
    assert {field.name for field in fields(Evaluation)} - {"metrics"} <= set(frame.columns)
    last = frame[
        (frame["stage"] == "compare")
        & (frame["optimizer.name"] == "adam")
        & (frame["epoch"] == 3)
    ]
    assert sorted(last["model.hidden_dropout"]) == [0.0, 0.5]
    finals = {run.run.id: run.final.test_accuracy for run in results.stages["compare"]}
    assert last["test_accuracy"].tolist() == [finals[name] for name in last["id"]]


def test_the_metrics_of_a_task_are_columns_and_those_of_the_spec_stay(tmp_path: Path) -> None:
    run = make_run(
        {
            "data": "samples:table",
            "model": "samples:table_network",
            "optimizer": "adam",
            "lr": 0.01,
            "batch": 32,
            "epochs": 2,
            "loss": "mse",
            "metrics": ["mae"],
        }
    )
    for _ in run_in_folder(run, RunFolder(tmp_path)):
        pass
    result = read_run(RunFolder(tmp_path))
    frame = losslab.read_evaluations(tmp_path)
    assert frame["validation_mae"].tolist() == [
        record.metrics["validation_mae"] for record in result.evaluations
    ]
    assert frame["test_mae"].tolist() == [result.final.metrics["test_mae"]] * 2
    assert frame["metrics"].tolist() == [[{"name": "mae"}]] * 2
    assert frame["id"].tolist() == [run.id] * 2


def test_a_study_without_runs_is_an_empty_data_frame(tmp_path: Path) -> None:
    part_one(tmp_path, skip=lambda run: True)
    assert losslab.read_evaluations(tmp_path).empty


@pytest.mark.parametrize("make", [*RANGES, ledger])
def test_without_pandas_one_line_says_so(
    make: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = make()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        answer.to_pandas()
