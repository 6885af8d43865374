"""``losslab study``: how a budget is shared out among all studies."""

from pathlib import Path
from typing import Any

import pytest

from losslab.cli import parts, run_command, study
from losslab.errors import BudgetTooSmall
from losslab.spec import Study
from losslab.study.store import StudyFolder

BASE = {"data": "samples:tiny_data", "model": "mlp", "optimizer": "sgd", "lr": 0.1}
TRAINED = {"name": "only", "base": {**BASE, "batch": 9, "steps": 1}}
COUNTED = {"name": "only", "count": [{"model": "lenet5", "input_shape": "1,28,28"}]}
PARTS = {"one": TRAINED, "two": TRAINED, "counted": COUNTED, "three": TRAINED}


def load(name: str) -> Study:
    return Study.model_validate({"name": name, "title": name, "stages": [PARTS[name]]})


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The budgets with which studies were planned; none is run, and each says that it took 4 seconds."""
    planned: list[float | None] = []

    def plan(part: Study, *, budget_seconds: float | None, **_: Any) -> Study:
        planned.append(budget_seconds)
        return part

    def carry_out(part: Study, folder: StudyFolder, *_: Any) -> int:
        budget = planned[-1]
        facts = {
            "study": {"name": part.name},
            "measuring_seconds": 1.0,
            "budget_seconds": budget,
        }
        folder.write_plan({**facts, "measured_seconds": 3.0, "stages": []})
        return 0

    monkeypatch.setattr(parts, "study_names", lambda: list(PARTS))
    monkeypatch.setattr(parts, "load_study", load)
    monkeypatch.setattr(study, "plan_study", plan)
    monkeypatch.setattr(study, "earlier_plan", lambda *_: None)
    monkeypatch.setattr(study, "print_plan", lambda *_: None)
    monkeypatch.setattr(study, "_carry_out", carry_out)
    return planned


def test_what_a_study_leaves_of_its_share_is_for_those_that_are_still_to_run(
    budgets: list[float | None], tmp_path: Path
) -> None:
    words = ["study", "run", "all", "--budget", "30s", "--out", str(tmp_path), "--quiet"]
    assert run_command(words) == 0
    # A third of 30, half of 26; what only counts needs no share, and its 4 seconds are of the rest.
    assert budgets == [10.0, 13.0, None, 18.0]
    # A run of the first that was tried again takes nothing from the others, which have begun.
    first = StudyFolder(tmp_path / "one")
    for more in (0.0, 5.0):
        first.write_plan(first.plan | {"measured_seconds": 3.0 + more})
        budgets.clear()
        assert run_command(words) == 0
        assert budgets == [10.0, 13.0, None, 18.0]


def test_a_study_that_its_share_is_too_small_for_costs_that_study_alone(
    budgets: list[float | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = study.plan_study

    def too_small_for_one(part: Study, **given: Any) -> Study:
        planned: Any = plan(part, **given)
        if part.name == "two":
            raise BudgetTooSmall("the budget is too small for two")
        assert isinstance(planned, Study)  # as the fixture has it
        return planned

    monkeypatch.setattr(study, "plan_study", too_small_for_one)
    words = ["study", "run", "all", "--budget", "30s", "--out", str(tmp_path), "--quiet"]
    assert run_command(words) == 2
    assert "losslab: the budget is too small for two" in capsys.readouterr().err
    # What it did not take is for the last one.
    assert budgets == [10.0, 13.0, None, 22.0]
    assert not StudyFolder(tmp_path / "two").has_plan
    assert run_command(["study", "run", "two", "--out", str(tmp_path / "own"), "--quiet"]) == 2


def test_one_study_has_the_whole_budget(budgets: list[float | None], tmp_path: Path) -> None:
    words = ["study", "run", "two", "--budget", "30s", "--out", str(tmp_path), "--quiet"]
    assert run_command(words) == 0
    assert budgets == [30.0]
