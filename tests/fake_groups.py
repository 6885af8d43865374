"""Runs of the study `adaptive-optimizers` from synthetic records, in groups, and runs that did not end well."""

from dataclasses import replace

from losslab.analysis.runs import Groups, group_runs, where
from losslab.records import Evaluation
from losslab.study.results import RunResult, StudyResults


def plain(results: StudyResults) -> Groups:
    """Optimizer -> its runs without dropout."""
    return group_runs(
        where(results.stages["compare"], "model.hidden_dropout", 0.0), ["optimizer.name"]
    )


def dropped(results: StudyResults) -> Groups:
    """Optimizer -> its runs with dropout."""
    return group_runs(
        where(results.stages["compare"], "model.hidden_dropout", 0.5), ["optimizer.name"]
    )


def ended(result: RunResult, status: str, message: str) -> RunResult:
    """The run as if it had ended in another way after its first evaluation."""
    kept = tuple(record for record in result.records if isinstance(record, Evaluation))[:1]
    return replace(result, status=status, message=message, records=kept)
