"""How far the runs of a study are, as rows and as a table."""

from itertools import chain
from math import isfinite
from typing import Any

from rich.table import Table

from losslab.cli.text_plot import sparkline
from losslab.study.fields import labels
from losslab.study.results import RunResult, StudyResults
from losslab.text import number

Row = dict[str, Any]


def status_rows(results: StudyResults) -> list[Row]:
    """List each run and count that has been started, a row each, and one row a stage for those that wait."""
    rows: list[Row] = []
    for stage in results.plan["stages"]:
        rows += _stage_rows(stage, results)
    return rows


def status_table(rows: list[Row]) -> Table:
    """Lay the rows out for a terminal; names fold where it is narrow, states do not."""
    table = Table(box=None)
    for name in rows[0] if rows else ():
        table.add_column(
            name, overflow="fold", no_wrap=name in ("status", "epoch", "loss", "course")
        )
    for row in rows:
        cells = {key: "" if row[key] is None else number(row[key]) for key in ("epoch", "loss")}
        table.add_row(*map(str, (row | cells).values()))
    return table


def _stage_rows(stage: dict[str, Any], results: StudyResults) -> list[Row]:
    """List each run and count of a stage that has been started, a row each, and one row for those that wait."""
    nothing = {
        "stage": stage["name"],
        "id": "",
        "run": "count",
        "status": "waiting",
        "epoch": None,
        "loss": None,
    }
    nothing |= {"course": "", "message": ""}
    started = results.stages[stage["name"]]
    names = labels([result.run for result in started])
    rows = [nothing | {"run": names[result.run.id], **_course(result)} for result in started]
    counted = {result.count.id for result in results.counts[stage["name"]]}
    for count_id in stage.get("counts", ()):
        status = "done" if count_id in counted else "waiting"
        rows.append(nothing | {"id": count_id, "status": status})
    waiting = len(stage["runs"]) - len(started)
    if waiting:
        rows.append(nothing | {"run": f"{waiting:,} more"})
    return rows


def _course(result: RunResult) -> Row:
    """Say how a run stands, with its training loss batch by batch as a line of bars."""
    batches = chain.from_iterable(record.loss for record in result.steps)
    # The last of a run that diverged is NaN, which JSON lacks.
    losses = [loss for loss in batches if isfinite(loss)]
    return {
        "id": result.run.id,
        "status": result.status,
        "epoch": result.evaluations[-1].epoch if result.evaluations else 0.0,
        "loss": losses[-1] if losses else None,
        "course": sparkline(losses),
        "message": result.message,
    }
