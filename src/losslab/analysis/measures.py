"""Records to findings: values with their rule, computed without torch.

A measure of each group of runs is an `Estimate` over its seeds, and findings are made of those. Runs that did not end
well count in no estimate; `selection.unended` names them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from losslab.analysis.estimates import Estimate, differ
from losslab.analysis.runs import Groups, where
from losslab.records import Evaluation
from losslab.spec import Run
from losslab.study.findings import final_validation_loss
from losslab.study.results import RunResult, done, field_of

Measure = Callable[[RunResult], float | None]


def loss(evaluation: Evaluation, name: str) -> float | None:
    """A number of an evaluation by name; two are computed, `regularised_loss` and `validation_error`.

    The first is `train_loss` plus the penalty, the second 1 minus `validation_accuracy`.
    """
    if name == "regularised_loss":
        parts = (evaluation.train_loss, evaluation.penalty)
        return None if None in parts else sum(parts)
    if name == "validation_error":
        return None if evaluation.validation_accuracy is None else 1 - evaluation.validation_accuracy
    value: float | None = getattr(evaluation, name)
    return value


def final(name: str) -> Measure:
    """The measure that reads the last evaluation."""
    return lambda result: loss(result.evaluations[-1], name)


def within(name: str, seconds: float) -> Measure:
    """The measure that reads the last evaluation by so many seconds of training, if there was one."""
    return lambda result: next(
        (loss(each, name) for each in reversed(result.evaluations) if each.train_seconds <= seconds), None
    )


def lowest(name: str) -> Measure:
    """The measure that reads the lowest value over all evaluations."""
    return lambda result: min(_numbers(loss(each, name) for each in result.evaluations), default=None)


def highest(name: str) -> Measure:
    """The measure that reads the highest value over all evaluations."""
    return lambda result: max(_numbers(loss(each, name) for each in result.evaluations), default=None)


def epoch_of_lowest(name: str) -> Measure:
    """The measure that tells at which epoch that lowest value was first reached."""
    return lambda result: min(result.evaluations, key=lambda each: _or_infinity(loss(each, name))).epoch


def epochs(result: RunResult) -> float | None:
    """Epochs at the last evaluation."""
    return result.evaluations[-1].epoch


def steps(result: RunResult) -> float | None:
    """Optimizer steps at the last evaluation."""
    return result.evaluations[-1].step


def train_seconds(result: RunResult) -> float | None:
    """Time spent training; evaluation is not in it."""
    return result.evaluations[-1].train_seconds


def drift(result: RunResult) -> float | None:
    """By how much the pace differed between the two halves of the run, as a fraction; None with one evaluation.

    It tells how far a training time can be trusted: other work on the machine changes the pace.
    """
    marks = [(each.epoch, each.train_seconds) for each in result.evaluations]
    half, end = marks[len(marks) // 2 - 1], marks[-1]
    paces = sorted((half[1] / half[0], (end[1] - half[1]) / (end[0] - half[0]))) if half[0] < end[0] else [0.0]
    return paces[1] / paces[0] - 1 if paces[0] > 0 else None


def accuracy(result: RunResult) -> float | None:
    """Fraction of test images classified correctly by the final weights."""
    return result.final.test_accuracy if result.final else None


def estimates(groups: Groups, measure: Measure, *, images: int | None = None) -> dict[str, Estimate]:
    """The measure of each group over its seeds; a group without a finished run is left out.

    Args:
        groups: label -> runs.
        measure: what to read of a run.
        images: where the measure is a fraction of so many images, their number.
    """
    values = {label: _numbers(map(measure, done(runs))) for label, runs in groups.items()}
    return {label: Estimate(numbers, images) for label, numbers in values.items() if numbers}


def ratios(groups: Groups, bases: Groups, measure: Measure) -> dict[str, Estimate]:
    """The measure of each group over that of the group of the same label in ``bases``, seed by seed."""
    found = {}
    for label, runs in groups.items():
        base = {result.run.seed: measure(result) for result in done(bases.get(label, ()))}
        pairs = [(measure(result), base.get(result.run.seed)) for result in done(runs)]
        quotients = tuple(above / below for above, below in pairs if above is not None and below)
        if quotients:
            found[label] = Estimate(quotients)
    return found


def side_by_side(found: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Estimate]:
    """Several findings as one, each label told apart by which finding it is from."""
    return {f"{label} {which}": estimate for which, row in found.items() for label, estimate in row.items()}


@dataclass(frozen=True)
class Ranking:
    """Labels from best to worst.

    Attributes:
        order: all that could be ranked, by their means.
        leaders: the first and all those that `differ` does not tell from it.
    """

    order: tuple[str, ...]
    leaders: tuple[str, ...]


def rank(found: Mapping[str, Estimate], *, highest: bool = False) -> Ranking:
    """Order estimates, the lowest first unless the highest is best; ties with the first are kept as ties."""
    order = sorted(found, key=lambda label: found[label].mean, reverse=highest)
    leaders = [label for label in order if not differ(found[order[0]], found[label])]
    return Ranking(tuple(order), tuple(leaders))


@dataclass(frozen=True)
class Curve:
    """A number over epochs, or another measure of length: mean over seeds, and their lowest and highest if several."""

    epochs: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None


def curves(groups: Groups, name: str, *, along: str = "epoch") -> dict[str, Curve]:
    """The course of a number of the evaluations in each group that has a finished run, along another of them.

    Where that one differs between seeds, as times do, its mean over them counts.
    """
    found = {label: _curve(done(runs), name, along) for label, runs in groups.items()}
    return {label: curve for label, curve in found.items() if curve.epochs}


@dataclass(frozen=True)
class Search:
    """What a group tried of one field, and what was chosen.

    Attributes:
        tried: value -> final validation loss over seeds, None where no run with it ended well.
        chosen: the value of the run with the lowest final validation loss.
        budget: what each trial was given: (epochs, steps, batch, training images).
    """

    tried: dict[float, Estimate | None]
    chosen: float | None
    budget: tuple[tuple[Any, ...], ...]

    @property
    def edge(self) -> str | None:
        """Which end of the values tried was chosen; beyond it there may be a better one."""
        if self.chosen is None or len(self.tried) < 2:
            return None
        return {min(self.tried): "lowest", max(self.tried): "highest"}.get(self.chosen)


def searches(groups: Groups, field: str) -> dict[str, Search]:
    """What each group tried of a numeric field, judged by final validation loss."""
    return {label: _search(runs, field) for label, runs in groups.items()}


def equal_budget(found: Mapping[str, Search]) -> bool:
    """Whether every group made equally many trials of equally many values, with equal means."""
    return len({(len(search.tried), search.budget) for search in found.values()}) <= 1


def _search(runs: Sequence[RunResult], field: str) -> Search:
    trials = {value: where(runs, field, value) for value in sorted({field_of(result, field) for result in runs})}
    found = estimates({str(value): trial for value, trial in trials.items()}, final("validation_loss"))
    best = min(done(runs), key=final_validation_loss, default=None)
    return Search(
        {value: found.get(str(value)) for value in trials},
        None if best is None else field_of(best, field),
        tuple(sorted((_means(result.run) for result in runs), key=repr)),
    )


def _means(run: Run) -> tuple[Any, ...]:
    return run.epochs, run.steps, run.batch, run.data.train_images


def _curve(results: Sequence[RunResult], name: str, along: str) -> Curve:
    rows = [
        (
            fmean(getattr(evaluation, along) for evaluation in each),
            _numbers(loss(evaluation, name) for evaluation in each),
        )
        for each in zip(*(result.evaluations for result in results), strict=False)
    ]
    rows = [(epoch, values) for epoch, values in rows if values]
    epochs, means = tuple(epoch for epoch, _ in rows), tuple(fmean(values) for _, values in rows)
    if len(results) < 2:
        return Curve(epochs, means)
    return Curve(epochs, means, tuple(min(v) for _, v in rows), tuple(max(v) for _, v in rows))


def _numbers(values: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None)


def _or_infinity(value: float | None) -> float:
    return float("inf") if value is None else value
