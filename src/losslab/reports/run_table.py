"""The runs of a stage as a table: the fields in which they differ, how they ended, and what they scored."""

from collections.abc import Sequence
from typing import Any

from losslab.analysis.runs import display_value, varying_fields
from losslab.records import metrics_of
from losslab.reports.overview import TITLES
from losslab.study.fields import short_text
from losslab.study.results import RunResult, field_of
from losslab.tables import Table
from losslab.text import NONE, duration, measured, number, score

LOSS = "loss"


def run_table(name: str, runs: Sequence[RunResult]) -> Table:
    """The table of every run that has begun.

    Args:
        name: of the stage.
        runs: its runs; at least one.
    """
    fields, columns = varying_fields(runs), _columns(runs)
    rows = []
    for result in runs:
        values = [_value(field_of(result, path)) for path in fields]
        rows.append(
            (result.run.id, *values, result.status.replace("_", " "), *_end(result, columns))
        )
    headings = [f"{part} {metric}" for part, metric in columns]
    return Table(
        "",
        ("run", *fields, "status", "steps", "training loss", *headings, "training time"),
        tuple(rows),
        label=f"Runs of {name}",
        words=(1 + len(fields),),
        links={result.run.id: f"runs/{result.run.id}/records.jsonl" for result in runs},
    )


def scores(result: RunResult) -> dict[tuple[str, str], float | None]:
    """What a run scored at its end: (part of the data, metric) -> value, of each part its loss first.

    Only what the records hold is named, so that a task without accuracy has none here. A part is `validation`, or
    `training` where nothing was held out, and `test`.
    """
    found: dict[tuple[str, str], float | None] = {}
    if result.evaluations:
        last = result.evaluations[-1]
        if last.validation_loss is None:
            found |= {
                ("training", metric): value
                for metric, value in metrics_of(last, "train").items()
            }
        else:
            found["validation", LOSS] = last.validation_loss
            found |= {
                ("validation", metric): value
                for metric, value in metrics_of(last, "validation").items()
            }
    if result.final and result.final.test_loss is not None:
        found["test", LOSS] = result.final.test_loss
        found |= {
            ("test", metric): value
            for metric, value in metrics_of(result.final, "test").items()
        }
    return found


def _columns(runs: Sequence[RunResult]) -> list[tuple[str, str]]:
    # A run that failed early lacks its test: the columns are those of all runs together.
    columns = {("validation", LOSS): None}
    for result in runs:
        columns |= dict.fromkeys(scores(result))
    # A sort keeps the order of metrics within a part.
    return sorted(columns, key=lambda column: column[0] == "test")


def _value(value: Any) -> str:
    """A field's value in a cell."""
    if value is None:
        return NONE
    if isinstance(value, dict):
        return short_text(value)
    return number(value) if isinstance(value, float) else str(display_value(value, TITLES))


def _end(result: RunResult, columns: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Steps, losses, metrics and training time at the last evaluation."""
    if not result.evaluations:
        return (NONE,) * (len(columns) + 3)
    last, found = result.evaluations[-1], scores(result)
    cells = []
    for part, metric in columns:
        value = found.get((part, metric))
        cells.append(measured(value) if metric == LOSS else score(metric, value))
    return f"{last.step:,}", measured(last.train_loss), *cells, duration(last.train_seconds)
