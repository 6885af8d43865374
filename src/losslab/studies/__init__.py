"""The studies that ship, a folder each: `study.toml`, and for some the findings and the page of their records."""

from importlib import import_module

from losslab.study.load import study_home, study_names
from losslab.study.results import StudyResults


def find(results: StudyResults) -> object | None:
    """Call a study's own `findings.py` for the frozen `Findings` of its records; None where it has no such file."""
    # A user's study may bear any name; only those that ship have code that is run.
    name = (results.plan.get("study") or {}).get("name")
    if name not in study_names() or not (study_home(name) / "findings.py").exists():
        return None
    module = import_module(f"{__name__}.{study_home(name).name}.findings")
    found: object = module.findings(results)
    return found
