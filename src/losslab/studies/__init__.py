"""The studies that ship, a folder each: `study.toml`, and for some the findings and the page of their records."""

from importlib import import_module
from pathlib import Path

from losslab.study.load import study_home, study_names
from losslab.study.results import StudyResults


def find(results: StudyResults) -> object | None:
    """Call a study's own `findings.py` for the frozen `Findings` of its records; None where it has no such file."""
    path = own_file(results, "findings.py")
    if path is None:
        return None
    module = import_module(f"{__name__}.{path.parent.name}.findings")
    found: object = module.findings(results)
    return found


def own_file(results: StudyResults, file: str) -> Path | None:
    """The file of that name in the folder of a study that ships; None where it has none."""
    # A user's study may bear any name; only those that ship have code and pages of their own.
    name = (results.plan.get("study") or {}).get("name")
    path = study_home(name) / file if name in study_names() else None
    return path if path and path.exists() else None
