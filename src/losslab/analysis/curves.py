"""Curves over epochs, rankings of groups, and what a search tried; no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from losslab.analysis.estimates import Estimate, differ
from losslab.analysis.measures import estimates, final, known, value_of
from losslab.analysis.runs import Groups, where
from losslab.spec import Run
from losslab.study.fields import get_field
from losslab.study.findings import best_runs
from losslab.study.results import RunResult, done, field_of


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
    """Follow a number of the evaluations in each group along another of them, such as the epoch or the time.

    A group without a run that is done is left out. Where seeds differ in the other number, as in times, take its mean.
    """
    found = {label: _curve(done(runs), name, along) for label, runs in groups.items()}
    return {label: curve for label, curve in found.items() if curve.epochs}


def _curve(results: Sequence[RunResult], name: str, along: str) -> Curve:
    lengths: list[float] = []
    points: list[tuple[float, ...]] = []
    # Seeds of one spec are evaluated at the same steps; a shorter run ends the curve.
    for evaluations in zip(*(result.evaluations for result in results), strict=False):
        values = known(value_of(evaluation, name) for evaluation in evaluations)
        if values:
            lengths.append(fmean(getattr(evaluation, along) for evaluation in evaluations))
            points.append(values)
    curve = Curve(tuple(lengths), tuple(map(fmean, points)))
    if len(results) < 2:
        return curve
    return Curve(curve.epochs, curve.mean, tuple(map(min, points)), tuple(map(max, points)))


@dataclass(frozen=True)
class Search:
    """What a group tried of one field, and the best of it.

    Attributes:
        tried: value -> final validation loss over seeds, None where no run with it is done.
        best: the value of the lowest final validation loss, a mean over seeds.
        budgets: what each trial was given: (epochs, steps, batch, training images).
    """

    tried: dict[float, Estimate | None]
    best: float | None
    budgets: tuple[tuple[Any, ...], ...]

    @property
    def edge(self) -> str | None:
        """Which end of the values tried is the best; beyond it there may be a better one."""
        if self.best is None or len(self.tried) < 2:
            return None
        ends = {min(self.tried): "lowest", max(self.tried): "highest"}
        return ends.get(self.best)


def searches(groups: Groups, field: str) -> dict[str, Search]:
    """Read what each group tried of a numeric field, judged by final validation loss."""
    return {label: _search(runs, field) for label, runs in groups.items()}


def equal_budget(found: Mapping[str, Search]) -> bool:
    """Whether every group tried equally many values in runs of the same lengths and images."""
    return len({(len(search.tried), search.budgets) for search in found.values()}) <= 1


def _search(runs: Sequence[RunResult], field: str) -> Search:
    # A policy is no number to search along.
    runs = [result for result in runs if isinstance(field_of(result, field), int | float)]
    values = sorted({field_of(result, field) for result in runs})
    by_value = {str(value): where(runs, field, value) for value in values}
    losses = estimates(by_value, final("validation_loss"))
    # As the stage's finding picks it: the page names the value that later stages trained with.
    best = next(iter(best_runs(runs, ())), None)
    return Search(
        tried={value: losses.get(str(value)) for value in values},
        best=None if best is None else get_field(best, field),
        budgets=tuple(sorted((_budget_of(result.run) for result in runs), key=repr)),
    )


def _budget_of(run: Run) -> tuple[Any, ...]:
    return run.epochs, run.steps, run.batch, run.data.train_images
