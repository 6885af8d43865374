"""Findings of a study are found by its name, and a study without any is reported like others."""

from pathlib import Path

from fake_study import part_one

from losslab.studies import find
from losslab.studies.adaptive_optimizers.findings import Findings
from losslab.study.load import study_home, study_names
from losslab.study.results import read_results


def test_a_study_that_ships_has_its_own_findings(tmp_path: Path) -> None:
    assert isinstance(find(read_results(part_one(tmp_path, epochs=2))), Findings)
    assert all((study_home(name) / "findings.py").exists() for name in study_names())


def test_other_studies_have_none(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2, study={"name": "my-own", "title": "My own"})
    assert find(read_results(folder)) is None
