"""What a page says of any stage of a study: its answer, its scale, and a table of every run or network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import fmean
from typing import Any

from losslab.analysis.curves import Curve, curves, rank
from losslab.analysis.estimates import Estimate
from losslab.analysis.measures import estimates, final, known
from losslab.analysis.runs import Groups, group_runs, varying_fields
from losslab.analysis.sentences import certainty, lead
from losslab.plots.figures import Figure
from losslab.reports.ledger_table import ledger_table
from losslab.reports.overview import TITLES
from losslab.reports.range_answer import range_answer
from losslab.reports.run_table import run_table, scores
from losslab.spec import RANGES
from losslab.study.findings import conclusive
from losslab.study.results import CountResult, RunResult, StudyResults, done
from losslab.tables import Table
from losslab.text import count, measured, number, score, shape

QUANTITIES = {"validation_loss": "validation loss", "train_loss": "training loss"}
"""Field of an evaluation that a stage may be judged on -> what a page calls it."""
LOSSES = {
    "cross_entropy": "cross-entropy",
    "mse": "mean squared error",
    "bce": "binary cross-entropy",
    "causal_lm": "cross-entropy of a token",
}
"""Loss of a run -> what an axis calls it; one of the user's own has its function's name."""
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
        answer: who reached the lowest final loss.
        scores: the metrics of all that share this place; empty where the task has none.
        certainty: how certain that is.
        quantity: the loss that the answer is by, such as "validation loss".
        loss: what the runs minimise, such as "cross-entropy".
        course: label -> loss over epochs; empty where it is drawn as points.
        losses: label -> final loss.
        ranges: in the place of both, of a range test, the curve of each group and what was read off it.
        counted: whether it counts networks.
        table: every run or network; None before the first.
        ledgers: name and input of each network that is counted, and its rows.
    """

    name: str
    question: str = ""
    scale: str = "This part had not begun when the study stopped."
    noun: str = "run"
    answer: str = ""
    scores: str = ""
    certainty: str = ""
    quantity: str = ""
    loss: str = ""
    course: Mapping[str, Curve] = field(default_factory=dict)
    losses: Mapping[str, Estimate] = field(default_factory=dict)
    ranges: tuple[Figure, ...] = ()
    counted: bool = False
    table: Table | None = None
    ledgers: tuple[tuple[str, Table], ...] = ()


def stage_views(results: StudyResults) -> dict[str, StageView]:
    """Name -> view of each stage of the plan, in order."""
    return {stage["name"]: _view(stage, results) for stage in results.plan["stages"]}


def _view(stage: dict[str, Any], results: StudyResults) -> StageView:
    name, question = stage["name"], stage.get("question") or stage["name"]
    if stage.get("counts"):
        networks = results.counts.get(name, ())
        scale, noun = _counted_scale(stage, networks), "network" if networks else "run"
        return StageView(
            name,
            question,
            scale,
            noun,
            counted=True,
            table=_networks(name, networks) if networks else None,
            ledgers=tuple((_title(each), ledger_table(each.ledger)) for each in networks),
        )
    runs = results.stages.get(name, ())
    table = run_table(name, runs) if runs else None
    answer = range_answer(stage, runs)
    if answer:
        return StageView(
            name,
            question,
            _scale(stage, runs),
            answer=answer.text,
            ranges=answer.figures,
            table=table,
        )
    groups, quantity = _groups(runs), _judged_by(runs)
    losses = estimates(groups, final(quantity))
    course = _course(groups, quantity)
    return StageView(
        name,
        question,
        _scale(stage, runs),
        answer=_answer(runs, losses, quantity),
        scores=_scores(groups, losses),
        certainty=certainty(losses, with_spread=not course),
        quantity=QUANTITIES[quantity],
        loss=_loss_name(runs),
        course=course,
        losses=losses,
        table=table,
    )


def _answer(runs: Sequence[RunResult], losses: Mapping[str, Estimate], quantity: str) -> str:
    if len(_loss_kinds(runs)) > 1:
        return "These runs minimise different losses, which have no common unit: they are not ranked by them."
    # What group_runs calls all runs where they differ in nothing but the seed.
    losses = {
        label if label != "all runs" else "The only setting": losses[label] for label in losses
    }
    return lead(losses, f"final {QUANTITIES[quantity]}", measured)


def _judged_by(runs: Sequence[RunResult]) -> str:
    """The loss that says who is ahead."""
    # A low training loss may be learnt by heart; held-out samples tell. Runs are compared by one kind of loss alone,
    # so that one run without validation leaves the training loss for all.
    validated = all(result.evaluations[-1].validation_loss is not None for result in done(runs))
    return "validation_loss" if validated else "train_loss"


def _loss_name(runs: Sequence[RunResult]) -> str:
    names = _loss_kinds(runs)
    if len(names) != 1:
        return "loss"
    name = names.pop()
    return LOSSES.get(name) or name.rpartition(":")[2]


def _loss_kinds(runs: Sequence[RunResult]) -> set[str]:
    """The names of what the runs minimise: losses of several kinds have no common unit."""
    return {result.run.loss.name for result in runs}


def _scores(groups: Groups, losses: Mapping[str, Estimate]) -> str:
    """What those that lead, or all of several losses, scored beside the loss they are judged by: means over seeds."""
    if not losses:
        return ""
    kinds = _loss_kinds(list(chain.from_iterable(groups.values())))
    labels = rank(losses).leaders if len(kinds) == 1 else tuple(losses)
    return " ".join(filter(None, [_score(label, groups[label]) for label in labels]))


def _score(label: str, runs: Sequence[RunResult]) -> str:
    by_seed = [scores(result) for result in done(runs)]
    words: dict[str, list[str]] = {}
    for part, metric in by_seed[0]:
        values = known(found.get((part, metric)) for found in by_seed)
        # The loss of this part is in the answer already.
        if values and (part, metric) != ("validation", "loss"):
            words.setdefault(part, []).append(f"{metric} {score(metric, fmean(values))}")
    parts = [f"{part} {', '.join(metrics)}" for part, metrics in words.items()]
    return f"{label}: {'; '.join(parts)}." if parts else ""


def _groups(runs: Sequence[RunResult]) -> Groups:
    """Group the runs by all fields in which they differ but the seed."""
    fields = [path for path in varying_fields(runs) if path != "seed"]
    return group_runs(runs, fields, TITLES)


def _course(groups: Groups, quantity: str) -> Mapping[str, Curve]:
    found = curves(groups, quantity)
    # Labels stand at the ends of curves, where there is room for few and short ones; one point is no curve.
    short = all(len(label) <= LONGEST_LABEL for label in found)
    has_course = any(len(curve.epochs) > 1 for curve in found.values())
    return found if len(found) <= MOST_LINES and short and has_course else {}


def _counted_scale(stage: dict[str, Any], networks: Sequence[CountResult]) -> str:
    if stage.get("skipped"):
        return _skipped(stage)
    planned = count(len(stage["counts"]), "network")
    return f"{len(networks)} of {planned} counted, in evaluation mode; nothing was trained."


def _skipped(stage: dict[str, Any]) -> str:
    return f"Skipped, because {stage['skipped']}."


def _scale(stage: dict[str, Any], runs: Sequence[RunResult]) -> str:
    if stage.get("skipped") and not runs:
        return _skipped(stage)
    # A budget shortens what the study asks for; what it asks for may be unknown in plans of earlier versions.
    full, planned = stage.get("asked") or {}, stage.get("planned") or {}
    parts = []
    for unit in ("epochs", "steps"):
        if planned.get(unit):
            # A reference, or a field of the grid, asks for no one number.
            whole = full.get(unit)
            of = f" of {number(whole)}" if isinstance(whole, int | float) else ""
            parts.append(f"{number(planned[unit])}{of} {unit}")
    if planned.get("train_images"):
        parts.append(count(planned["train_images"], f"training {_sample_noun(runs)}"))
    if planned.get("seeds"):
        parts.append(_seeds(planned["seeds"], full.get("seeds", planned["seeds"])))
    # To diverge is a result of a range test.
    ended = conclusive(runs) if stage.get("finding") in RANGES else done(runs)
    parts.append(f"{len(ended)} of {count(len(stage['runs']), 'run')} ended well")
    others = (
        f" Others were skipped, because {stage['skipped']}." if stage.get("skipped") else ""
    )
    return f"{', '.join(parts)}.{others}"


def _sample_noun(runs: Sequence[RunResult]) -> str:
    # The plan does not say; steps on images count those classified correctly, and other samples have metrics instead.
    steps = [record for result in runs for record in result.steps]
    return "sample" if steps and not any(record.correct for record in steps) else "image"


def _seeds(planned: int, full: int) -> str:
    return count(planned, "seed") if planned >= full else f"{count(planned, 'seed')} of {full}"


def _title(network: CountResult) -> str:
    """Tell a network of a stage from the others, which may have its name."""
    return f"{network.count.model}, input {shape(network.ledger['input_shape'])}"


def _networks(name: str, networks: Sequence[CountResult]) -> Table:
    headings = (
        "ledger",
        "network",
        "input",
        "batch",
        "biases",
        "parameters",
        "MACs",
        "activations",
        "status",
    )
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
    return (
        result.count.id,
        str(result.count.model),
        *inputs,
        biases,
        *numbers,
        ledger["status"],
    )
