"""What dropout changes: training loss and training time, method by method."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from losslab.analysis.clocks import PROCESSOR, Clock, clock_for, of_one_machine
from losslab.analysis.estimates import Estimate, differ
from losslab.analysis.measures import estimates, known, lowest, ratios
from losslab.analysis.runs import Groups
from losslab.analysis.sentences import between, certainty
from losslab.studies.adaptive_optimizers.losses import FIT, TRAIN
from losslab.study.results import RunResult, done
from losslab.tables import Table
from losslab.text import count, names, percent, spread, times


@dataclass(frozen=True)
class Dropout:
    """What dropout changes in training.

    Attributes:
        rise: by how much the loss rises; empty where no method has ended both ways.
        time: how much longer training takes.
        clock: by what it is measured.
        ratios: method -> training time with dropout over that without.
        table: training times; None where there is nothing to compare.
        note: how certain losses and times are.
    """

    rise: str
    time: str
    clock: str
    ratios: Mapping[str, Estimate]
    table: Table | None
    note: str


def dropout_changes(plain: Groups, dropped: Groups, *, workers: int) -> Dropout:
    """Compare training with dropout and without.

    Args:
        plain: method -> runs without dropout.
        dropped: method -> runs with dropout.
        workers: how many runs were trained at once.
    """
    # One clock for both sides of a ratio, by all of their runs.
    runs = list(chain(*plain.values(), *dropped.values()))
    clock = clock_for(runs, workers=workers)
    found = ratios(dropped, plain, clock.seconds, key=of_one_machine)
    return Dropout(
        rise=_rise(plain, dropped),
        time=" ".join(
            filter(
                None,
                [_time(found, clock, _drift(runs, clock)), _elsewhere(plain, dropped, found)],
            )
        ),
        clock=clock.name,
        ratios=found,
        table=_table(plain, dropped, found, clock) if found else None,
        note=f"{certainty(estimates(dropped, lowest(TRAIN)))} {_measured_with(workers, clock)}".strip(),
    )


def _rise(plain: Groups, dropped: Groups) -> str:
    # With dropout the training loss is that of a network in part; the loss at rest shows what the whole one has learnt.
    rises, rises_at_rest = (
        ratios(dropped, plain, lowest(TRAIN)),
        ratios(dropped, plain, lowest(FIT)),
    )
    if not rises:
        return ""
    at_rest = ""
    if rises_at_rest:
        at_rest = (
            f" In evaluation mode, where no unit is dropped, it is higher for {_raised(plain, dropped, FIT)} of "
            f"{len(rises_at_rest)}: {between(rises_at_rest, times)}."
        )
    methods = count(len(rises), "method")
    return (
        f"Dropout raised the lowest training loss of {_raised(plain, dropped, TRAIN)} of {methods}: it is "
        f"{between(rises, times)} that without.{at_rest}"
    )


def _raised(plain: Groups, dropped: Groups, quantity: str) -> int:
    """How many methods have a higher loss with dropout, by more than seeds and rounding explain."""
    before, after = (estimates(groups, lowest(quantity)) for groups in (plain, dropped))
    common = [(before[label], after[label]) for label in before.keys() & after.keys()]
    return sum(second.mean > first.mean and differ(first, second) for first, second in common)


def _time(found: Mapping[str, Estimate], clock: Clock, drift: float) -> str:
    if not found:
        return "No method has ended both with and without dropout on one machine yet, so no times can be compared."
    sentence = f"Training with dropout {clock.took} {between(found, times)} as long as training without."
    # A ratio nearer to 1 than the pace of one run was steady tells nothing.
    doubtful = [label for label, ratio in found.items() if abs(ratio.mean - 1) <= drift]
    if not doubtful:
        return sentence
    noun = "ratio" if len(doubtful) == 1 else "ratios"
    return (
        f"{sentence} The pace of a run drifted by up to {percent(drift)} while it ran, so the {noun} of "
        f"{names(doubtful)} cannot be told from 1 here."
    )


def _elsewhere(plain: Groups, dropped: Groups, found: Mapping[str, Estimate]) -> str:
    """Name the methods whose two runs were trained on different machines, whose times do not compare."""
    apart = [
        label
        for label in dropped
        if label not in found and done(dropped[label]) and done(plain.get(label, ()))
    ]
    if not apart:
        return ""
    return f"{names(apart)} trained with dropout on another machine than without: those times do not compare."


def _drift(runs: list[RunResult], clock: Clock) -> float:
    return max(known(map(clock.drift, done(runs))), default=0.0)


def _measured_with(workers: int, clock: Clock) -> str:
    at_once = f"{count(workers, 'run')} at once on one machine"
    if clock is PROCESSOR:
        return f"Processor times were measured with {at_once}; what other work takes is not in them."
    return f"Times were measured with {at_once}; other work on it shows in them."


def _table(
    plain: Groups, dropped: Groups, found: Mapping[str, Estimate], clock: Clock
) -> Table:
    without, with_dropout = estimates(plain, clock.seconds), estimates(dropped, clock.seconds)
    rows = [
        (label, spread(without[label]), spread(with_dropout[label]), spread(found[label]))
        for label in found
    ]
    title = f"{clock.name.capitalize()}, evaluation not counted"
    headings = ("method", "without, s", "with dropout, s", "ratio")
    return Table(title, headings, tuple(rows), label=clock.name.capitalize())
