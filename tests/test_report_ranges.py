"""The report of `learning-rate-and-batch-size`: what it says follows from the records, whatever is missing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from fake_ranges import part_two
from test_report import sections

from losslab.choice import Choice
from losslab.records import Evaluation


def test_the_winner_follows_from_the_records(tmp_path: Path) -> None:
    def batch_wins(run: Any, records: list[Any]) -> list[Any]:
        better = isinstance(run.batch, Choice)
        return [replace(r, validation_accuracy=0.97) if better and isinstance(r, Evaluation) else r for r in records]

    assert "Cyclical lr reached the highest" in sections(part_two(tmp_path / "a"))["winner"]
    assert "Cyclical batch size reached the highest" in sections(part_two(tmp_path / "b", change=batch_wins))["winner"]


def test_a_stage_without_its_range_says_why(tmp_path: Path) -> None:
    why = "stage 'batch-sizes' found no b_min for this run"
    text = sections(part_two(tmp_path, skipped={"cyclical-batch": why}))
    assert f"It was skipped, because {why}" in text["cyclical-batch"]
    assert "Only cyclical lr has ended" in text["winner"]


def test_a_study_in_which_nothing_ran_renders(tmp_path: Path) -> None:
    text = sections(part_two(tmp_path, skip=lambda run: True))
    assert "gives no range" in text["lr"]
    assert "None of its runs has ended yet" in text["sizes"]
