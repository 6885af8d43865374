"""The learning-rate range: from where the loss begins to fall to where it stops, and one suggestion between."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any

import numpy as np

from losslab import tables
from losslab.plots.figures import Figure
from losslab.ranges.answer import Answer
from losslab.ranges.charts import lr_figure
from losslab.ranges.curves import (
    Array,
    NoRange,
    beta_for,
    find_fall,
    smooth,
    standard_error,
    steps_before_divergence,
    without_spikes,
)
from losslab.ranges.lr_rules import RULES, Rule, check_rule
from losslab.ranges.race import Race
from losslab.ranges.trace import Setting, Trace
from losslab.text import cell

RAMP_FRACTION = 0.02
"""Part of a ramp over which its loss is averaged on either side: 0.2 decades of ten."""
OPEN_START = (
    "the loss falls from the start: lr_min is where the test started, try a smaller start"
)
OPEN_END = "the loss still falls at the end: lr_max is where the test ended, try a larger end"

TRY_MORE = "more steps, or a start and an end nearer to where the loss moves, may show a range"


@dataclass(frozen=True)
class SeedRange:
    """What one seed found."""

    lr_min: float
    lr_max: float
    suggestion: float


@dataclass(frozen=True)
class LrCurve:
    """Medians over the seeds that have not diverged yet, and the band of their smoothed losses."""

    lr: list[float]
    loss: list[float]
    smoothed_loss: list[float]
    accuracy: list[float]
    loss_low: list[float]
    loss_high: list[float]


@dataclass(frozen=True, repr=False)
class LrRange(Answer):
    """The learning rates between which the loss falls.

    Attributes:
        found: whether there is a range; without one all its values are None.
        reason: why there is none, or what to know of it: an end that the test did not reach.
        lr_min: where the loss begins to fall, median over seeds.
        lr_max: where it stops falling, median over seeds.
        suggestion: the learning rate to train with by ``rule``, median over seeds.
        rule: name in :data:`RULES`, or ``race``.
        mode: ``ramp`` or ``grid``.
        spread_decades: from the lowest to the highest suggestion of the seeds; None for a single seed.
        seeds: what each seed found; None for a seed that found nothing.
        curve: loss and accuracy against learning rate.
        setting: how it was tested; None where it was read from the records of runs, whose specs say it.
        race: the trainings whose winner is the suggestion, of the rule ``race``; None where none were run.
    """

    found: bool
    reason: str
    lr_min: float | None
    lr_max: float | None
    suggestion: float | None
    rule: str
    mode: str
    spread_decades: float | None
    seeds: list[SeedRange | None]
    curve: LrCurve
    setting: Setting | None = None
    race: Race | None = None

    @property
    def values(self) -> str:
        """Both ends, the suggestion and how sure it is."""
        spread = "of one seed"
        if self.spread_decades is not None:
            spread = f"spread over the seeds {self.spread_decades:.2f} decades"
        return (
            f"lr_min {cell(self.lr_min)}, lr_max {cell(self.lr_max)}; "
            f"suggestion {cell(self.suggestion)} by rule {self.rule}, {spread}"
        )

    def figure(self, title: str = "") -> Figure:
        """Loss against learning rate, the band over seeds and the range."""
        return lr_figure("lr-range", title or "Range of learning rates", self)

    def to_pandas(self) -> Any:
        """The curve as a pandas DataFrame; needs pandas."""
        return tables.frame(
            {name: values for name, values in asdict(self.curve).items() if values}
        )


@dataclass(frozen=True)
class Curve:
    """Loss against learning rate for one seed, up to where it diverged.

    Attributes:
        lr: increasing learning rates.
        loss: a step's loss in a ramp, the closing loss of a training in a grid.
        smoothed_loss: what the range is read from.
        accuracy: as the loss; empty when not measured.
        error: standard error of the smoothed loss.
        width: steps on either side that a smoothed loss averages over; 0 in a grid.
        cut: whether the test went on to learning rates that diverged.
    """

    lr: Array
    loss: Array
    smoothed_loss: Array
    accuracy: Array
    error: float
    width: int
    cut: bool


@dataclass(frozen=True)
class SeedReading:
    """The curve of one seed, its range, and why there is none or what to know of it."""

    curve: Curve | None
    found: SeedRange | None
    note: str


def find_lr_range(
    traces: Sequence[Trace],
    *,
    mode: str = "ramp",
    rule: str | None = None,
    beta: float | None = None,
    setting: Setting | None = None,
) -> LrRange:
    """The learning-rate range of a range test.

    Args:
        traces: a ramp for each seed, or trainings at constant rates, any number for each seed.
        mode: ``ramp`` or ``grid``.
        rule: of the suggestion, a name in :data:`RULES`; by default ``valley`` for a ramp, ``minimum`` for a grid.
        beta: of the average along a ramp.
        setting: how it was tested, to be stated with the answer.
    Raises:
        ValueError: unknown mode or rule.
    """
    rule = check_rule(mode, rule)
    readings = []
    for seed in sorted({trace.seed for trace in traces}):
        of_seed = [trace for trace in traces if trace.seed == seed]
        readings.append(_read_seed(of_seed, mode, RULES[rule], beta))
    return replace(_over_seeds(readings, rule, mode), setting=setting)


def confirmed(found: LrRange, race: Race | None) -> LrRange:
    """The range with the winner of a race for its suggestion; its spread is that of the winners of each seed."""
    if race is None and not found.found:
        return found
    if race is None:
        note = "the suggestion is not confirmed: every rate of the race diverged"
        return replace(found, reason="; ".join(filter(None, [found.reason, note])))
    spread = float(np.ptp(np.log10(race.seed_winners)))
    return replace(
        found,
        reason="; ".join(filter(None, [found.reason, race.note])),
        suggestion=race.winner,
        rule="race",
        spread_decades=spread if len(race.seed_winners) > 1 else None,
        race=race,
    )


def check_ramp(start: float, end: float, steps: int, seeds: int, candidates: int) -> None:
    """Raise ValueError when these make no range test."""
    for name, rate in (("start", start), ("end", end)):
        if not 0 < rate < inf:
            raise ValueError(f"`{name}` (={rate}) must be a number above 0, such as 1e-3")
    if start >= end:
        raise ValueError(f"`end` (={end}) must exceed `start` (={start}); swap them?")
    for name, number, usual in (("steps", steps, 300), ("candidates", candidates, 10)):
        if number < 2:
            raise ValueError(f"`{name}` (={number}) must be at least 2; {usual} is usual")
    if seeds < 1:
        raise ValueError(f"`seeds` (={seeds}) must be at least 1")


def ramp_curve(trace: Trace, beta: float | None = None) -> Curve:
    """The curve of a training whose learning rate rose.

    Losses are cut at ``2 * first - lowest``, as far above the first as the lowest is below it: how far a loss explodes
    says nothing, and would weigh on the average of the steps before.

    Args:
        trace: one training.
        beta: of the average; looks over 2 % of the steps on either side when None.
    """
    beta = beta_for(len(trace.loss), RAMP_FRACTION) if beta is None else beta
    steps = steps_before_divergence(trace.loss, beta)
    if not steps:
        raise NoRange(
            f"the loss is {trace.loss[0] if trace.loss else 'missing'} at the first step; no learning rate has acted "
            "there yet: look at the data and the loss"
        )
    loss = np.asarray(trace.loss[:steps], dtype=np.float64)
    course = without_spikes(loss)
    # From the smoothed course: the very first loss is one batch's.
    first = smooth(course, beta)[0]
    ceiling = 2 * first - course.min()
    smoothed = smooth(np.minimum(course, ceiling), beta)
    return Curve(
        lr=np.asarray(trace.lr[:steps]),
        loss=loss,
        smoothed_loss=smoothed,
        accuracy=np.asarray(trace.accuracy[:steps], dtype=np.float64),
        error=standard_error(loss, smoothed, beta),
        width=round(1 / (1 - beta)),
        cut=steps < len(trace.loss),
    )


def grid_curve(traces: Iterable[Trace]) -> Curve:
    """The curve of separate trainings of one seed, each at one learning rate."""
    traces = sorted(traces, key=lambda trace: trace.lr[0])
    closing = [trace.closing_loss() for trace in traces]
    # Rates above the first that diverges are left out, also those that happened to end.
    diverged = [index for index, (loss, _) in enumerate(closing) if not np.isfinite(loss)]
    count = diverged[0] if diverged else len(traces)
    if not count:
        raise NoRange(
            f"training diverges at the lowest learning rate already, {traces[0].lr[0]:.3g}; try a smaller start"
        )
    loss = np.array([loss for loss, _ in closing[:count]])
    last_tenths = [
        trace.accuracy[-max(1, len(trace.accuracy) // 10) :] for trace in traces[:count]
    ]
    return Curve(
        lr=np.array([trace.lr[0] for trace in traces[:count]]),
        loss=loss,
        smoothed_loss=loss,
        accuracy=np.array(
            [np.mean(accuracies) for accuracies in last_tenths if len(accuracies)]
        ),
        error=float(np.median([error for _, error in closing[:count]])),
        width=0,
        cut=count < len(traces),
    )


def _read_seed(traces: list[Trace], mode: str, rule: Rule, beta: float | None) -> SeedReading:
    curve = None
    try:
        curve = grid_curve(traces) if mode == "grid" else ramp_curve(traces[0], beta)
        return _read(curve, rule)
    except NoRange as none:
        return SeedReading(curve, None, str(none))


def _read(curve: Curve, rule: Rule) -> SeedReading:
    """The range on one curve, and what to know of it."""
    fall = find_fall(curve.smoothed_loss, curve.error, TRY_MORE)
    log_lr = np.log10(curve.lr)
    # An average at either end of the curve looks to one side only: within its width nothing tells the end of the
    # range from the end of the test.
    notes = []
    if fall.begin <= curve.width:
        notes.append(OPEN_START)
    if fall.lowest >= len(log_lr) - 1 - curve.width and not curve.cut:
        notes.append(OPEN_END)
    found = SeedRange(
        lr_min=float(curve.lr[fall.begin]),
        lr_max=float(curve.lr[fall.lowest]),
        suggestion=float(10 ** rule(log_lr, curve.smoothed_loss, fall)),
    )
    return SeedReading(curve, found, "; ".join(notes))


def _over_seeds(readings: Sequence[SeedReading], rule: str, mode: str) -> LrRange:
    """The median of the seeds, when more than half of them found a range."""
    seeds = [reading.found for reading in readings]
    found = [seed for seed in seeds if seed]
    majority = 2 * len(found) > len(seeds)
    # The reason is what most seeds say, among those that agree with the majority.
    notes = sorted(
        reading.note for reading in readings if (reading.found is not None) == majority
    )
    reason = max(notes, key=notes.count, default="nothing was trained")
    curve = _median_curve([reading.curve for reading in readings if reading.curve])
    if not majority:
        return LrRange(
            found=False,
            reason=f"no range found, because {reason}",
            lr_min=None,
            lr_max=None,
            suggestion=None,
            rule=rule,
            mode=mode,
            spread_decades=None,
            seeds=seeds,
            curve=curve,
        )
    log_suggestions = np.log10([seed.suggestion for seed in found])
    return LrRange(
        found=True,
        reason=reason,
        lr_min=_median_rate([seed.lr_min for seed in found]),
        lr_max=_median_rate([seed.lr_max for seed in found]),
        suggestion=_median_rate([seed.suggestion for seed in found]),
        rule=rule,
        mode=mode,
        spread_decades=float(np.ptp(log_suggestions)) if len(found) > 1 else None,
        seeds=seeds,
        curve=curve,
    )


def _median_rate(rates: Sequence[float]) -> float:
    """The median of learning rates, of two middle ones their geometric mean."""
    return float(10 ** np.median(np.log10(rates)))


def _median_curve(curves: Sequence[Curve]) -> LrCurve:
    """The curve over seeds: at each rate, of the seeds that had not diverged before it."""
    rates = np.unique(np.concatenate([np.empty(0), *(curve.lr for curve in curves)]))

    def over_seeds(name: str, statistic: Callable[..., Any]) -> list[float]:
        rows = []
        for curve in curves:
            values = getattr(curve, name)
            if len(values):
                row = np.full(len(rates), np.nan)
                row[np.searchsorted(rates, curve.lr[: len(values)])] = values
                rows.append(row)
        return [float(value) for value in statistic(np.array(rows), axis=0)] if rows else []

    return LrCurve(
        lr=[float(rate) for rate in rates],
        loss=over_seeds("loss", np.nanmedian),
        smoothed_loss=over_seeds("smoothed_loss", np.nanmedian),
        accuracy=over_seeds("accuracy", np.nanmedian),
        loss_low=over_seeds("smoothed_loss", np.nanmin),
        loss_high=over_seeds("smoothed_loss", np.nanmax),
    )
