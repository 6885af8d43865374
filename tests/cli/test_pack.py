"""``losslab study pack``: what it prints, and what it refuses."""

from pathlib import Path

import pytest
from fake_study import part_one

from losslab.cli import run_command


def test_it_says_how_large_the_copy_is_and_what_was_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = part_one(tmp_path / "study", epochs=2)
    run_id = folder.plan["stages"][0]["runs"][0]
    folder.run_folder(run_id).set_status("interrupted")
    assert (
        run_command(["study", "pack", str(folder.path), "--out", str(tmp_path / "kept")]) == 0
    )
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{tmp_path / 'kept'}: ")
    assert printed.err == "left out, as they have not ended: 1 run of search\n"


def test_a_folder_without_a_study_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["study", "pack", str(tmp_path), "--out", str(tmp_path / "kept")]) == 2
    assert "holds no study" in capsys.readouterr().err
