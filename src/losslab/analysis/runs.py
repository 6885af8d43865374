"""Runs of a study told apart by the fields of their specs, and those that did not end well; no torch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from losslab.choice import Choice
from losslab.spec import Run
from losslab.study.findings import RANGES
from losslab.study.results import RunResult, StudyResults, done, field_of
from losslab.study.stages import Fields, flat_fields

Groups = Mapping[str, Sequence[RunResult]]
"""Label -> runs."""


def told(value: Any, names: Mapping[Any, str]) -> Any:
    """A field's value as a page has it: by its name where it has one; a choice or a list of them as text."""
    if isinstance(value, list):
        return ", ".join(str(told(each, names)) for each in value) or "none"
    if isinstance(value, dict):  # where one run has a policy and another a number
        return str(Choice(**value))
    return names.get(value, value)


def where(results: Sequence[RunResult], path: str, value: Any) -> list[RunResult]:
    """The runs whose field has the value."""
    return [result for result in results if field_of(result, path) == value]


def group_runs(results: Sequence[RunResult], fields: Sequence[str], names: Mapping[Any, str] | None = None) -> Groups:
    """The runs by label, in order of appearance.

    Args:
        results: runs of a stage.
        fields: dotted fields of a run that tell the groups apart; none puts all runs in one group.
        names: field value -> how a label calls it.
    """
    groups: dict[str, list[RunResult]] = defaultdict(list)
    for result in results:
        parts = [_named(path, field_of(result, path), names or {}) for path in fields]
        groups[", ".join(parts) or "all runs"].append(result)
    return dict(groups)


def varying_fields(results: Sequence[RunResult]) -> list[str]:
    """Dotted fields that tell the runs apart, in the order of the spec.

    A field that follows from the name beside it, as a method's own defaults do, is left out, and so are the parts of
    one that is a number in another run.
    """
    specs = [flat_fields(result.run.model_dump(mode="json")) for result in results]
    fields = dict.fromkeys(path for spec in specs for path in spec)
    whole = [path for path in fields if not any(path.startswith(f"{other}.") for other in fields)]
    return [path for path in whole if _kinds(specs, path) > 1 and not _follows(specs, path)]


@dataclass(frozen=True)
class Unended:
    """A planned run that did not end well; its spec is None where it was never begun."""

    stage: str
    run_id: str
    run: Run | None
    status: str
    message: str


def unended(results: StudyResults) -> list[Unended]:
    """Every planned run that counts in no finding, and why; and every network that is not counted.

    In a range test, to diverge is a result.
    """
    found: list[Unended] = []
    for stage in results.plan.get("stages", ()):
        counted = {result.count.id for result in results.counts.get(stage["name"], ())}
        missing = (count_id for count_id in stage.get("counts", ()) if count_id not in counted)
        found += [Unended(stage["name"], count_id, None, "not counted", "") for count_id in missing]
        begun = {result.run.id: result for result in results.stages.get(stage["name"], ())}
        for run_id in stage.get("runs", ()):
            result = begun.get(run_id)
            if result is None:
                skipped = stage.get("skipped")
                found.append(Unended(stage["name"], run_id, None, "skipped" if skipped else "not begun", skipped or ""))
            elif not done([result]) and not (result.status == "diverged" and stage.get("finding") in RANGES):
                found.append(Unended(stage["name"], run_id, result.run, result.status, result.message))
    return found


def _named(path: str, value: Any, names: Mapping[Any, str]) -> str:
    """A value as a label has it: texts speak for themselves, numbers need their field's name."""
    text = told(value, names)
    return text if isinstance(text, str) else f"{path.rpartition('.')[2]} {text}"


def _kinds(specs: Sequence[Fields], *paths: str) -> int:
    """How many different values the fields have together."""
    return len({repr([spec.get(path) for path in paths]) for spec in specs})


def _follows(specs: Sequence[Fields], path: str) -> bool:
    name = f"{path.rpartition('.')[0]}.name"
    return path != name and _kinds(specs, name) > 1 and _kinds(specs, name, path) == _kinds(specs, name)
