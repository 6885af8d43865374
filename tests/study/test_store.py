"""Folders of runs and studies: records as rows, files whole or as they were, one process at a time."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from losslab.errors import InvalidInput, StoreError
from losslab.files import write_text
from losslab.records import Evaluation, Final, Record, Start, Steps, from_row, to_row
from losslab.study.store import RunFolder, StudyFolder

RECORDS: list[Record] = [
    Start(10, "ab", 4, 2, 2, 3),
    Steps(0, [0.1, 0.1], [2, 2], [1.5, 1.25], [1, 2], 0.25),
    Evaluation(2, 1.0, 4, 1.375, 0.75, 0.0, 1.1, 0.8, None, None, 0.25, 0.1),
    Final(2, "cd", 1.0, 0.5, 0.25, 0.2),
]
NEWER: list[Record] = [
    Steps(0, [0.1], [2], [1.5], [], 0.25, train_processor_seconds=0.5, gradient_norm=2.0),
    Evaluation(
        2,
        1.0,
        4,
        1.375,
        None,
        0.0,
        1.1,
        None,
        1.2,
        None,
        0.25,
        0.1,
        0.5,
        metrics={"validation_mae": 0.5},
    ),
    Final(2, "cd", 1.0, None, 0.25, 0.2, 0.5, metrics={"test_mae": 0.25}),
]


@pytest.mark.parametrize("record", RECORDS + NEWER, ids=lambda record: record.kind)
def test_a_record_survives_json(record: Record) -> None:
    assert from_row(json.loads(json.dumps(to_row(record), allow_nan=False))) == record


@pytest.mark.parametrize("record", RECORDS[1:], ids=lambda record: record.kind)
def test_what_a_row_of_an_earlier_version_lacks_is_none_and_is_not_written(
    record: Record,
) -> None:
    row = to_row(record)
    assert row.keys().isdisjoint({"train_processor_seconds", "gradient_norm", "metrics"})
    assert from_row(row) == record


def test_rows_that_are_no_records_are_refused() -> None:
    for row in ({}, {"kind": "steps"}, {"kind": "other"}, {**to_row(RECORDS[3]), "more": 1}):
        with pytest.raises(ValueError, match="not a record"):
            from_row(row)


def written(folder: Path, records: list[Record], keep: int = 0) -> RunFolder:
    run_folder = RunFolder(folder)
    with run_folder.appending(keep=keep) as writer:
        for record in records:
            writer.append(record)
    return run_folder


def test_records_are_appended_after_the_rows_that_are_kept(tmp_path: Path) -> None:
    written(tmp_path, RECORDS[:3])
    assert written(tmp_path, RECORDS[3:], keep=2).records() == [*RECORDS[:2], RECORDS[3]]


@pytest.mark.row(7)
def test_a_torn_last_line_is_cut_and_no_complete_row_lost(
    tmp_path: Path, measured: Callable[[str], None]
) -> None:
    folder = written(tmp_path, RECORDS)
    content = folder.records_path.read_bytes()
    last = len(content.splitlines(keepends=True)[-1])
    for cut in range(1, last):
        folder.records_path.write_bytes(content[:-cut])
        assert folder.records() == RECORDS[:3]
        assert written(tmp_path, RECORDS[3:], keep=3).records() == RECORDS
        assert folder.records_path.read_bytes() == content
    measured(f"{last - 1} tails of {last - 1}")


@pytest.mark.row(2)
def test_a_replaced_file_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(descriptor: int) -> None:
        calls.append(("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        fsync(descriptor)

    def spy_replace(source: Path, target: Path) -> None:
        calls.append(("rename", str(source)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    write_text(tmp_path / "status.json", "new")
    temporary = calls[0][1]
    assert calls == [("fsync", temporary), ("rename", temporary), ("fsync", str(tmp_path))]


def test_a_damaged_row_in_the_middle_is_an_error_and_not_skipped(tmp_path: Path) -> None:
    folder = written(tmp_path, RECORDS)
    folder.records_path.write_bytes(
        folder.records_path.read_bytes().replace(b'"kind": "steps"', b'"kind"; "steps"')
    )
    with pytest.raises(StoreError, match=r"records\.jsonl"):
        folder.records()


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "status.json"
    write_text(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert path.read_text() == "old"


@pytest.mark.row(13)
def test_a_second_process_is_kept_out_and_told_by_whom(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from losslab.study.store import StudyFolder\n"
        f"with StudyFolder(Path({str(tmp_path)!r})).lease(): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with (
            pytest.raises(
                StoreError, match=f"in use by process {holder.pid} on {socket.gethostname()}"
            ),
            StudyFolder(tmp_path).lease(),
        ):
            pass
        holder.kill()
    with StudyFolder(tmp_path).lease():
        pass


def test_a_folder_without_a_study_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no study"):
        _ = StudyFolder(tmp_path).plan


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be written"):
        StudyFolder(tmp_path / "file" / "study").prepare()


@pytest.mark.row(26)
@pytest.mark.parametrize("content", ["[]", '{"stat": "done", "message": ""}', "3"])
def test_a_status_without_its_keys_is_that_of_no_run(content: str, tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(content)
    with pytest.raises(StoreError, match=r"status\.json: not what losslab writes"):
        _ = RunFolder(tmp_path).status


def test_a_text_with_bytes_that_are_no_utf_8_is_written_with_escapes(tmp_path: Path) -> None:
    write_text(tmp_path / "page", "runs/caf\udce9")
    assert (tmp_path / "page").read_text() == "runs/caf\\udce9"
