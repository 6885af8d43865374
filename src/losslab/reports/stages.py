"""What a page says of any stage of a study: its answer, its scale, and a table of every run or network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from losslab.analysis.curves import Curve, curves
from losslab.analysis.estimates import Estimate
from losslab.analysis.measures import estimates, final
from losslab.analysis.runs import Groups, display_value, group_runs, varying_fields
from losslab.analysis.sentences import certainty, lead
from losslab.reports.overview import TITLES
from losslab.study.results import CountResult, RunResult, StudyResults, done, field_of
from losslab.tables import Table
from losslab.text import NONE, count, duration, measured, number, shape

LOSS = "train_loss"
MOST_LINES, LONGEST_LABEL = 6, 28
"""Of a figure of curves; more groups, or longer labels, are drawn as points beside their names."""


@dataclass(frozen=True)
class StageView:
    """A stage as a page shows it.

    Attributes:
        name: of the stage.
        question: that it answers.
        scale: how much of it was run.
        noun: "run" or "network".
        answer: who reached the lowest final training loss.
        certainty: how certain that is.
        course: label -> training loss over epochs; empty where it is drawn as points.
        losses: label -> final training loss.
        counted: whether it counts networks.
        table: every run or network; None before the first.
    """

    name: str
    question: str = ""
    scale: str = "This part had not begun when the study stopped."
    noun: str = "run"
    answer: str = ""
    certainty: str = ""
    course: Mapping[str, Curve] = field(default_factory=dict)
    losses: Mapping[str, Estimate] = field(default_factory=dict)
    counted: bool = False
    table: Table | None = None


def stage_views(results: StudyResults) -> dict[str, StageView]:
    """Name -> view of each stage of the plan, in order."""
    return {stage["name"]: _view(stage, results) for stage in results.plan["stages"]}


def _view(stage: dict[str, Any], results: StudyResults) -> StageView:
    name, question = stage["name"], stage.get("question") or stage["name"]
    if stage.get("counts"):
        networks = results.counts.get(name, ())
        scale, noun = _counted_scale(stage, networks), "network" if networks else "run"
        return StageView(
            name, question, scale, noun, counted=True, table=_networks(name, networks) if networks else None
        )
    runs = results.stages.get(name, ())
    groups = _groups(runs)
    losses = estimates(groups, final(LOSS))
    return StageView(
        name,
        question,
        _scale(stage, runs),
        answer=lead(losses, "final training loss", measured),
        certainty=certainty(losses),
        course=_course(groups),
        losses=losses,
        table=_runs(name, runs) if runs else None,
    )


def _groups(runs: Sequence[RunResult]) -> Groups:
    """The runs by all fields in which they differ but the seed."""
    fields = [path for path in varying_fields(runs) if path != "seed"]
    return group_runs(runs, fields, TITLES)


def _course(groups: Groups) -> Mapping[str, Curve]:
    found = curves(groups, LOSS)
    short = all(len(label) <= LONGEST_LABEL for label in found)
    drawable = len(found) <= MOST_LINES and short and any(len(curve.epochs) > 1 for curve in found.values())
    return found if drawable else {}


def _counted_scale(stage: dict[str, Any], networks: Sequence[CountResult]) -> str:
    if stage.get("skipped"):
        return _skipped(stage)
    planned = count(len(stage["counts"]), "network")
    return f"{len(networks)} of {planned} counted, in evaluation mode; nothing was trained."


def _skipped(stage: dict[str, Any]) -> str:
    return f"Skipped, because {stage['skipped']}."


def _scale(stage: dict[str, Any], runs: Sequence[RunResult]) -> str:
    if stage.get("skipped"):
        return _skipped(stage)
    # A budget shortens what the study asks for; what it asks for may be unknown in plans of earlier versions.
    full, planned = stage.get("asked") or {}, stage.get("planned") or {}
    parts = [
        f"{number(planned[unit])} of {number(full.get(unit))} {unit}"
        for unit in ("epochs", "steps")
        if planned.get(unit)
    ]
    if planned.get("train_images"):
        parts.append(count(planned["train_images"], "training image"))
    if planned.get("seeds"):
        parts.append(_seeds(planned["seeds"], full.get("seeds", planned["seeds"])))
    parts.append(f"{len(done(runs))} of {count(len(stage['runs']), 'run')} ended well")
    return f"{', '.join(parts)}."


def _seeds(planned: int, full: int) -> str:
    return count(planned, "seed") if planned == full else f"{count(planned, 'seed')} of {full}"


def _runs(name: str, runs: Sequence[RunResult]) -> Table:
    fields = varying_fields(runs)
    rows = []
    for result in runs:
        values = [_value(field_of(result, path)) for path in fields]
        rows.append((result.run.id, *values, result.status.replace("_", " "), *_end(result)))
    return Table(
        "",
        ("run", *fields, "status", "steps", "training loss", "validation loss", "training time"),
        tuple(rows),
        label=f"Runs of {name}",
        words=(1 + len(fields),),
        links={result.run.id: f"runs/{result.run.id}/records.jsonl" for result in runs},
    )


def _value(value: Any) -> str:
    """A field's value in a cell."""
    if value is None:
        return NONE
    if isinstance(value, dict):
        return str(value["name"])
    return number(value) if isinstance(value, float) else str(display_value(value, TITLES))


def _end(result: RunResult) -> tuple[str, str, str, str]:
    """Steps, losses and training time at the last evaluation."""
    if not result.evaluations:
        return NONE, NONE, NONE, NONE
    last = result.evaluations[-1]
    losses = measured(last.train_loss), measured(last.validation_loss)
    return f"{last.step:,}", *losses, duration(last.train_seconds)


def _networks(name: str, networks: Sequence[CountResult]) -> Table:
    headings = ("ledger", "network", "input", "batch", "biases", "parameters", "MACs", "activations", "status")
    return Table(
        "",
        headings,
        tuple(_network(result) for result in networks),
        label=f"Networks of {name}",
        lists=(1,),
        links={result.count.id: f"counts/{result.count.id}.json" for result in networks},
    )


def _network(result: CountResult) -> tuple[str, ...]:
    ledger, totals = result.ledger, result.ledger["totals"]
    inputs = (shape(ledger["input_shape"]), str(ledger["batch_size"]))
    numbers = [f"{totals[name]:,}" for name in ("parameters", "macs", "activations")]
    biases = "counted" if result.count.include_bias else "left out"
    return (result.count.id, str(result.count.model), *inputs, biases, *numbers, ledger["status"])
