"""Select and group runs by the fields of their specs; list the runs that failed; no torch."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from losslab.choice import Choice
from losslab.spec import RANGES, Run
from losslab.study import fields
from losslab.study.results import RunResult, StudyResults, done, field_of
from losslab.study.store import ENDED
from losslab.text import DIGITS

Groups = Mapping[str, Sequence[RunResult]]
"""Label -> runs."""


def display_value(value: Any, names: Mapping[Any, str]) -> Any:
    """Write a field's value for a reader: its name where it has one, a policy or a list of choices as text.

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
    """Select the runs whose field at a dotted path has the value."""
    return [result for result in results if field_of(result, path) == value]


def group_runs(
    results: Sequence[RunResult], paths: Sequence[str], names: Mapping[Any, str] | None = None
) -> Groups:
    """Group runs by the values of some fields; label -> runs, in order of appearance.

    Args:
        results: runs of a stage.
        paths: dotted fields of a run; without any, all runs are one group.
        names: field value -> how a label calls it.
    """
    values = [[field_of(result, path) for path in paths] for result in results]
    exact, short = (_labels(paths, values, names or {}, digits) for digits in (EXACT, DIGITS))
    # Digits that no reader needs are left out, unless groups differ in them alone.
    labels = short if len(set(short)) == len(set(exact)) else exact
    groups: dict[str, list[RunResult]] = defaultdict(list)
    for label, result in zip(labels, results, strict=True):
        groups[label].append(result)
    return dict(groups)  # one in which looking up a label that is absent adds no group


def _labels(
    paths: Sequence[str], values: Sequence[Sequence[Any]], names: Mapping[Any, str], digits: int
) -> list[str]:
    """The label of each run, from the values of its fields."""
    labels = []
    for row in values:
        pairs = zip(paths, row, strict=True)
        parts = [_label(path, value, names, digits) for path, value in pairs]
        labels.append(", ".join(parts) or "all runs")
    return labels


def _label(path: str, value: Any, names: Mapping[Any, str], digits: int) -> str:
    """A value as a label has it: texts speak for themselves, numbers need their field's name."""
    shown = display_value(value, names)
    if isinstance(shown, float):
        shown = float(f"{shown:.{digits}g}")
    return shown if isinstance(shown, str) else f"{path.rpartition('.')[2]} {shown}"


def run_ids(groups: Iterable[Sequence[RunResult]]) -> tuple[tuple[str, ...], ...]:
    """List the identities of the runs of each group, for the records of a table."""
    rows = []
    for runs in groups:
        rows.append(tuple(result.run.id for result in runs))
    return tuple(rows)


def varying_fields(results: Sequence[RunResult]) -> list[str]:
    """Name the fields in which the runs differ by dotted path, as `losslab.study.fields.varying_fields` finds them."""
    return fields.varying_fields([result.run.model_dump(mode="json") for result in results])


NOT_BEGUN = "not begun"
EXACT = 17
"""Digits that tell any two numbers of 64 bits from each other."""


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
    """List every planned run that counts in no finding, and why; and every network that was not counted.

    In a range test, to diverge is a result.
    """
    found: list[FailedRun] = []
    for stage in results.plan.get("stages", ()):
        found += _not_counted(stage, results)
        found += _failed_in(stage, results)
    return found


def ended_of(results: StudyResults, name: str) -> tuple[int, int]:
    """How many runs of a stage have ended, well or not, and how many are planned."""
    status = {result.run.id: result.status for result in results.stages.get(name, ())}
    planned: list[str] = []
    for stage in results.plan.get("stages", ()):
        if stage["name"] == name:
            planned += stage.get("runs", ())
    ended = [run_id for run_id in planned if status.get(run_id) in {*ENDED, "failed"}]
    return len(ended), len(planned)


def _not_counted(stage: dict[str, Any], results: StudyResults) -> Iterator[FailedRun]:
    counted = {result.count.id for result in results.counts.get(stage["name"], ())}
    for count_id in stage.get("counts", ()):
        if count_id not in counted:
            yield FailedRun(stage["name"], count_id, None, "not counted", "")


def _failed_in(stage: dict[str, Any], results: StudyResults) -> Iterator[FailedRun]:
    begun = {result.run.id: result for result in results.stages.get(stage["name"], ())}
    # What was skipped of a stage is not among its runs, unless all of it was.
    reason = "" if begun else stage.get("skipped") or ""
    for run_id in stage.get("runs", ()):
        result = begun.get(run_id)
        if result is None:
            status = "skipped" if reason else NOT_BEGUN
            yield FailedRun(stage["name"], run_id, None, status, reason)
        elif not _is_result(result, stage):
            yield FailedRun(stage["name"], run_id, result.run, result.status, result.message)


def _is_result(result: RunResult, stage: dict[str, Any]) -> bool:
    diverged_in_range_test = result.status == "diverged" and stage.get("finding") in RANGES
    return diverged_in_range_test or bool(done([result]))
