"""Packed studies: what is kept, what is thinned and by what rule, what damage is named."""

import json
from dataclasses import replace
from math import fsum, nan
from pathlib import Path
from typing import Any

import pytest
from fake_study import part_one

from losslab.errors import InvalidInput, StoreError
from losslab.records import TIMES, Evaluation, Record, Start, Steps, from_row, to_row
from losslab.reports.render import report
from losslab.study.pack import _short, damage, pack, thinned, vouch_for
from losslab.study.results import RunResult, read_results
from losslab.study.store import StudyFolder


def course(steps: int, flush: int = 10, each: int = 250) -> list[Record]:
    """A run of so many steps whose loss at step i is i, evaluated now and then."""
    records: list[Record] = [Start(1, "ab", 100, 10, 10, steps)]
    for first in range(0, steps, flush):
        indices = range(first, min(first + flush, steps))
        records.append(
            Steps(
                first,
                [0.1] * len(indices),
                [8] * len(indices),
                [float(i) for i in indices],
                [4.0] * len(indices),
                1.0,
            )
        )
        if (first + flush) % each == 0:
            records.append(
                Evaluation(first + flush, 1.0, 1, 1.0, 0.5, 0.0, 1.0, 0.5, 1.0, 0.5, 1.0, 1.0)
            )
    return records


def test_a_run_that_a_range_test_may_read_stays_as_it_is() -> None:
    records = course(5000)
    assert thinned(records) == records


def test_a_long_run_keeps_its_evaluations_and_the_sum_of_its_losses() -> None:
    records = course(6000)
    short = thinned(records, entries=300)
    assert [record for record in short if not isinstance(record, Steps)] == [
        record for record in records if not isinstance(record, Steps)
    ]
    steps = [record for record in short if isinstance(record, Steps)]
    losses = [
        loss * count
        for record in steps
        for loss, count in zip(record.loss, record.count or [], strict=True)
    ]
    assert fsum(losses) == pytest.approx(sum(range(6000)))
    assert sum(len(record.loss) for record in steps) <= 2 * 300
    assert [record.first_step for record in steps] == list(range(0, 6000, 250))
    assert steps[-1].end == 6000


def test_windows_begin_where_their_first_step_was() -> None:
    (steps, *_) = [
        record for record in thinned(course(6000), entries=300) if isinstance(record, Steps)
    ]
    assert steps.indices()[:3] == [0, 20, 40]
    assert steps.loss[:2] == [9.5, 29.5]
    assert steps.count == [20] * 12 + [10]  # the last one ends at the evaluation


def test_a_loss_that_is_not_finite_is_kept_by_itself() -> None:
    records = [*course(6000), Steps(6000, [0.1], [8], [nan], [0.0], 1.0)]
    last = thinned(records)[-1]
    assert isinstance(last, Steps)
    assert (last.first_step, last.count) == (6000, None)


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return part_one(tmp_path / "study", epochs=3)


def rows_of(result: RunResult) -> list[dict[str, Any]]:
    return [to_row(record) for record in result.records]


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def times(rows: list[dict[str, Any]]) -> list[float]:
    return [row[key] or 0.0 for row in rows for key in sorted(TIMES & row.keys())]


@pytest.mark.usefixtures("no_drawing")
def test_a_packed_study_reads_and_reports_as_the_study_does(
    folder: StudyFolder, tmp_path: Path
) -> None:
    assert pack(folder, tmp_path / "packed") == {}
    packed = StudyFolder(tmp_path / "packed")
    results, packed_results = read_results(folder), read_results(packed)
    assert packed_results.plan == results.plan
    for stage, runs in results.stages.items():
        for run, packed_run in zip(runs, packed_results.stages[stage], strict=True):
            assert (packed_run.run, packed_run.status) == (run.run, run.status)
            rows, packed_rows = map(rows_of, (run, packed_run))
            assert without_times(packed_rows) == without_times(rows)
            assert times(packed_rows) == pytest.approx(times(rows), abs=1e-6)
    assert damage(packed.path) == {}
    report(packed.path)
    assert damage(packed.path) == {}


def test_runs_that_have_not_ended_are_left_out_and_named(
    folder: StudyFolder, tmp_path: Path
) -> None:
    run_id = folder.plan["stages"][0]["runs"][0]
    folder.run_folder(run_id).set_status("interrupted")
    assert pack(folder, tmp_path / "packed") == {"search": [run_id]}
    assert not StudyFolder(tmp_path / "packed").run_folder(run_id).path.exists()


def test_what_has_ended_since_is_added_to_a_pack(folder: StudyFolder, tmp_path: Path) -> None:
    run_id = folder.plan["stages"][0]["runs"][0]
    folder.run_folder(run_id).set_status("interrupted")
    pack(folder, tmp_path / "packed")
    folder.run_folder(run_id).set_status("done")
    assert pack(folder, tmp_path / "packed") == {}
    assert damage(tmp_path / "packed") == {}


def test_a_folder_of_something_else_is_not_written_into(
    folder: StudyFolder, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(InvalidInput, match="holds no packed study"):
        pack(folder, tmp_path / "mine")


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.row(26)
@pytest.mark.parametrize("fault", ["changed", "cut", "missing"])
def test_damage_is_named_and_the_rest_still_reports(
    folder: StudyFolder, tmp_path: Path, fault: str
) -> None:
    pack(folder, tmp_path / "packed")
    packed = StudyFolder(tmp_path / "packed")
    path = packed.run_folder(packed.plan["stages"][-1]["runs"][0]).records_path
    rows = path.read_bytes()
    if fault == "changed":
        path.write_bytes(rows.replace(b"5", b"6", 1))
    elif fault == "cut":
        path.write_bytes(rows[: rows[:-1].rindex(b"\n") + 1])
    else:
        path.unlink()
    name = path.relative_to(packed.path).as_posix()
    assert damage(packed.path) == {name: "missing" if fault == "missing" else "changed"}
    page = report(packed.path).read_text(encoding="utf-8")
    assert f"<code>{name}</code>: {damage(packed.path)[name]}" in page


def test_a_manifest_that_cannot_be_read_is_named(folder: StudyFolder, tmp_path: Path) -> None:
    pack(folder, tmp_path / "packed")
    (tmp_path / "packed" / "pack.json").write_text(json.dumps({"files": 3}))
    assert list(damage(tmp_path / "packed")) == ["pack.json"]


def test_a_thinned_row_survives_json() -> None:
    steps = next(record for record in thinned(course(6000)) if isinstance(record, Steps))
    assert "count" in to_row(steps)


def test_one_number_stands_for_a_list_of_equal_ones() -> None:
    steps = Steps(3, [0.1, 0.1], [8, 8], [1.5, 2.5], [4.0, 3.5], 1.23456789)
    row = _short(to_row(steps))
    assert (row["lr"], row["batch_size"], row["train_seconds"]) == (0.1, 8, 1.234568)
    assert from_row(row) == replace(steps, train_seconds=1.234568)
    varied = replace(steps, lr=[0.1, 0.2])
    assert _short(to_row(varied))["lr"] == [0.1, 0.2]


def test_runs_that_a_range_is_read_from_are_packed_whole(tmp_path: Path) -> None:
    folder = part_one(tmp_path / "study", epochs=2)
    plan = folder.plan
    plan["stages"][0]["finding"] = "lr_range"
    # A later stage that has one of these runs, too, does not thin it.
    plan["stages"].append(
        {"name": "again", "finding": None, "runs": plan["stages"][0]["runs"][:1]}
    )
    folder.write_plan(plan)
    for stage in plan["stages"][:2]:
        with folder.run_folder(stage["runs"][0]).appending() as writer:
            for record in course(6000):
                writer.append(record)
    pack(folder, tmp_path / "packed")
    packed = read_results(StudyFolder(tmp_path / "packed"))
    lengths = [
        sum(len(record.loss) for record in packed.stages[name][0].steps)
        for name in ("search", "compare")
    ]
    assert lengths[0] == 6000 > lengths[1]


def test_a_pack_that_goes_on_vouches_for_its_new_plan(
    folder: StudyFolder, tmp_path: Path
) -> None:
    pack(folder, tmp_path / "packed")
    packed = StudyFolder(tmp_path / "packed")
    packed.write_plan(packed.plan | {"measured_seconds": 3.0})
    assert damage(packed.path) == {"study.json": "changed"}
    vouch_for(packed.path, packed.path / "study.json")
    assert damage(packed.path) == {}
    vouch_for(folder.path, folder.path / "study.json")
    assert not (folder.path / "pack.json").exists()


def test_a_damaged_pack_is_not_packed_again(folder: StudyFolder, tmp_path: Path) -> None:
    pack(folder, tmp_path / "packed")
    run_id = folder.plan["stages"][0]["runs"][0]
    path = StudyFolder(tmp_path / "packed").run_folder(run_id).records_path
    path.write_bytes(path.read_bytes().replace(b"5", b"6", 1))
    for target in (tmp_path / "packed", tmp_path / "again"):
        with pytest.raises(StoreError, match=rf"\(runs/{run_id}/records\.jsonl: changed\)"):
            pack(StudyFolder(tmp_path / "packed"), target)
    assert list(damage(tmp_path / "packed")) == [f"runs/{run_id}/records.jsonl"]


def test_a_pack_that_broke_off_is_begun_again(folder: StudyFolder, tmp_path: Path) -> None:
    path = folder.run_folder(folder.plan["stages"][1]["runs"][0]).records_path
    rows = path.read_text()
    path.write_text("no row\n")
    with pytest.raises(StoreError):
        pack(folder, tmp_path / "packed")
    path.write_text(rows)
    assert pack(folder, tmp_path / "packed") == {}
    assert damage(tmp_path / "packed") == {}
