"""Select and group runs by the fields of their specs; list the runs that failed; no torch."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from losslab.choice import Choice
from losslab.spec import Run
from losslab.study.findings import RANGES
from losslab.study.results import RunResult, StudyResults, done, field_of
from losslab.study.stages import Fields, flat_fields

Groups = Mapping[str, Sequence[RunResult]]
"""Label -> runs."""


def display_value(value: Any, names: Mapping[Any, str]) -> Any:
    """A field's value for a reader: its name where it has one, a policy or a list of choices as text.

    Args:
        value: what the spec holds.
        names: value -> how a reader knows it.
    Example:
        >>> display_value("adam", {"adam": "Adam"}), display_value([], {}), display_value(0.1, {})
        ('Adam', 'none', 0.1)
    """
    if isinstance(value, list):
        return ", ".join(str(display_value(item, names)) for item in value) or "none"
    if isinstance(value, dict):  # a policy, in a field that is a number in another run
        return str(Choice(**value))
    return names.get(value, value)


def where(results: Sequence[RunResult], path: str, value: Any) -> list[RunResult]:
    """The runs whose field at a dotted path has the value."""
    return [result for result in results if field_of(result, path) == value]


def group_runs(results: Sequence[RunResult], fields: Sequence[str], names: Mapping[Any, str] | None = None) -> Groups:
    """Group runs by the values of some fields; label -> runs, in order of appearance.

    Args:
        results: runs of a stage.
        fields: dotted fields of a run; without any, all runs are one group.
        names: field value -> how a label calls it.
    """
    groups: dict[str, list[RunResult]] = defaultdict(list)
    for result in results:
        parts = [_label(path, field_of(result, path), names or {}) for path in fields]
        groups[", ".join(parts) or "all runs"].append(result)
    return dict(groups)


def _label(path: str, value: Any, names: Mapping[Any, str]) -> str:
    """A value as a label has it: texts speak for themselves, numbers need their field's name."""
    shown = display_value(value, names)
    return shown if isinstance(shown, str) else f"{path.rpartition('.')[2]} {shown}"


def varying_fields(results: Sequence[RunResult]) -> list[str]:
    """Dotted fields in which the runs differ, in the order of the spec.

    Fields that a sibling `name` implies are left out, as an optimizer's own defaults are, and so are sub-fields of a
    field that is a plain number in another run.
    """
    specs = [flat_fields(result.run.model_dump(mode="json")) for result in results]
    fields = dict.fromkeys(path for spec in specs for path in spec)
    whole = [path for path in fields if not _is_part(path, fields)]
    return [path for path in whole if _variants(specs, path) > 1 and not is_implied(specs, path)]


def _is_part(path: str, fields: Mapping[str, None]) -> bool:
    """Whether a field that holds this one is a plain value in another run."""
    return any(path.startswith(f"{field}.") for field in fields)


def is_implied(specs: Sequence[Fields], path: str) -> bool:
    """Whether runs with the same sibling `name` have the same value at the path, and names differ.

    Args:
        specs: fields of each run by dotted path.
        path: of the field in question.
    Example:
        >>> adam, sgd = {"optimizer.name": "adam", "optimizer.eps": 1e-8}, {"optimizer.name": "sgd"}
        >>> is_implied([adam, sgd], "optimizer.eps"), is_implied([adam, sgd], "optimizer.name")
        (True, False)
    """
    name = f"{path.rpartition('.')[0]}.name"
    return path != name and _variants(specs, name) > 1 and _variants(specs, name, path) == _variants(specs, name)


def _variants(specs: Sequence[Fields], *paths: str) -> int:
    """How many different values the fields have together."""
    return len({repr([spec.get(path) for path in paths]) for spec in specs})


@dataclass(frozen=True)
class FailedRun:
    """A planned run that counts in no finding, or a network that was not counted.

    Attributes:
        stage: name of its stage.
        run_id: identity of the run or of the count.
        run: its spec; None where it was never begun.
        status: how it ended, or `not begun`, `skipped`, `not counted`.
        message: why, in a line; may be empty.
    """

    stage: str
    run_id: str
    run: Run | None
    status: str
    message: str


def failed_runs(results: StudyResults) -> list[FailedRun]:
    """Every planned run that counts in no finding, and why; and every network that was not counted.

    In a range test, to diverge is a result.
    """
    found: list[FailedRun] = []
    for stage in results.plan.get("stages", ()):
        found += _not_counted(stage, results)
        found += _failed_in(stage, results)
    return found


def _not_counted(stage: Fields, results: StudyResults) -> Iterator[FailedRun]:
    counted = {result.count.id for result in results.counts.get(stage["name"], ())}
    for count_id in stage.get("counts", ()):
        if count_id not in counted:
            yield FailedRun(stage["name"], count_id, None, "not counted", "")


def _failed_in(stage: Fields, results: StudyResults) -> Iterator[FailedRun]:
    begun = {result.run.id: result for result in results.stages.get(stage["name"], ())}
    reason = stage.get("skipped") or ""
    for run_id in stage.get("runs", ()):
        result = begun.get(run_id)
        if result is None:
            yield FailedRun(stage["name"], run_id, None, "skipped" if reason else "not begun", reason)
        elif not _is_result(result, stage):
            yield FailedRun(stage["name"], run_id, result.run, result.status, result.message)


def _is_result(result: RunResult, stage: Fields) -> bool:
    diverged_in_range_test = result.status == "diverged" and stage.get("finding") in RANGES
    return diverged_in_range_test or bool(done([result]))
