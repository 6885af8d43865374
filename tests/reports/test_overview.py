"""What the frame of a page says of any study."""

from pathlib import Path
from typing import Any

import pytest
from fake_study import part_one, write_run

from losslab.reports.overview import SHOWN, Overview, overview_of
from losslab.study.results import read_results
from losslab.study.store import StudyFolder


def overview(folder: StudyFolder) -> Overview:
    return overview_of(read_results(folder))


def test_the_facts_are_those_of_the_plan_and_of_the_runs(tmp_path: Path) -> None:
    found = overview(part_one(tmp_path, epochs=2, seeds=3))
    facts = dict(found.facts)
    assert facts["Seeds"] == "search: n = 3; compare: n = 3"
    assert facts["Data"] == "cifar10"
    assert facts["Machine"] == "Test CPU; 2 cores, 2 workers of 1 thread; Linux"
    assert facts["Versions"] == "losslab 0.1.0 (source abc), torch 2.9.0, Python 3.11.2"
    assert facts["Time"].endswith("begun 2026-01-02 03:04:05+00:00")
    assert (found.failures, found.ended, found.trains, found.samples) == (None, True, True, "")
    assert found.basis.startswith("compare: 10 runs, 2 of 200 epochs, 45,000 images. ")


def test_what_is_not_known_is_unknown(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2, skip=lambda run: True)
    folder.write_plan({"study": {}, "stages": []})
    found = overview(folder)
    assert (found.title, found.command) == ("Study", "unknown")
    facts = dict(found.facts)
    assert (
        facts["Machine"]
        == "unknown; unknown cores, unknown workers of unknown threads; unknown"
    )
    assert facts["Time"] == "unknown predicted, not measured yet; begun unknown"
    assert "Seeds" not in facts


@pytest.mark.parametrize(
    ("ended", "seconds", "has_runs", "text"),
    [
        ("2026-01-02T04:00:00", 3000.0, True, "50 min 00 s measured"),
        ("2026-01-02T04:00:00", 30.0, True, "at least 6 min 41 s measured"),
        (None, 3000.0, True, "50 min 00 s measured so far"),
        (None, 0.0, True, "at least 6 min 41 s measured so far"),
        (None, 0.0, False, "not measured yet"),
    ],
)
def test_time_is_what_sessions_wrote_and_no_less_than_what_runs_took(
    tmp_path: Path, ended: str | None, seconds: float, has_runs: bool, text: str
) -> None:
    folder = part_one(tmp_path, epochs=2, skip=lambda run: not has_runs)
    folder.write_plan(folder.plan | {"ended": ended, "measured_seconds": seconds})
    assert f" predicted, {text}, 8 min 00 s allowed;" in dict(overview(folder).facts)["Time"]


def test_failed_runs_are_named_with_what_they_were_and_the_first_ones_shown(
    tmp_path: Path,
) -> None:
    folder = part_one(tmp_path, epochs=2)
    search = read_results(folder).stages["search"]
    for result in search:
        write_run(folder, result.run, [], "out_of_memory", "no room")
    first = search[0]
    failures = overview(folder).failures
    assert failures is not None
    assert len(failures.shown) == SHOWN
    assert failures.more == len(search) - SHOWN == 13
    assert (failures.amount, failures.verb) == ("25 planned runs", "have")
    assert failures.waiting == ()
    lr = f"{first.run.lr:g}"
    assert (
        dict(failures.shown)[first.run.id]
        == f"(search, AdaGrad, lr {lr}): out of memory: no room"
    )


def test_runs_that_have_not_begun_are_a_line_a_stage(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2, skip=lambda run: run.optimizer.name == "adam")
    failures = overview(folder).failures
    assert failures is not None
    assert (failures.shown, failures.more) == ((), 0)
    assert failures.waiting == ("search: 5 runs not begun", "compare: 2 runs not begun")
    assert failures.amount == "7 planned runs"


def test_one_failed_run_is_one(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2)
    write_run(folder, read_results(folder).stages["compare"][0].run, [], "failed", "")
    failures = overview(folder).failures
    assert failures is not None
    assert (failures.amount, failures.verb, failures.more) == ("1 planned run", "has", 0)
    assert failures.shown[0][1].endswith("): failed")


def test_an_embedded_sample_is_named(tmp_path: Path) -> None:
    assert (
        overview(part_one(tmp_path, epochs=2, data="fashion-mnist-sample")).samples
        == "fashion-mnist-sample"
    )


@pytest.mark.parametrize(
    ("plan", "expected"), [({"ended": None}, False), ({}, True)], ids=["stopped", "ended"]
)
def test_a_study_that_stopped_has_not_ended(
    tmp_path: Path, plan: dict[str, Any], expected: bool
) -> None:
    found = overview(part_one(tmp_path, epochs=2, **plan))
    assert found.ended is expected
    assert ("not at its end" in found.basis) is not expected


def test_the_least_time_counts_each_run_once_and_the_most_workers(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2)
    least = read_results(folder).least_seconds
    plan = folder.plan
    plan["stages"].append({**plan["stages"][1], "name": "again"})
    folder.write_plan({**plan, "workers": 1, "most_workers": 2})
    assert read_results(folder).least_seconds == least
