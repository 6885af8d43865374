"""Measures: what is read of a run, and estimates of it over the seeds of each group of runs; no torch.

Runs that failed count in no estimate; `losslab.analysis.runs.failed_runs` names them.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from losslab.analysis.estimates import Estimate
from losslab.analysis.runs import Groups
from losslab.records import Evaluation
from losslab.study.results import RunResult, done

Measure = Callable[[RunResult], float | None]
"""A run that is done -> what is read of it, None where it is not known."""


def value_of(evaluation: Evaluation, name: str) -> float | None:
    """Read a number of an evaluation by name; two are computed, `regularised_loss` and `validation_error`.

    The first is `train_loss` plus the penalty, the second 1 minus `validation_accuracy`.
    """
    if name == "regularised_loss":
        parts = (evaluation.train_loss, evaluation.penalty)
        return None if None in parts else sum(parts)
    if name == "validation_error":
        return (
            None
            if evaluation.validation_accuracy is None
            else 1 - evaluation.validation_accuracy
        )
    value: float | None = getattr(evaluation, name)
    return value


def final(name: str) -> Measure:
    """The measure that reads the last evaluation."""
    return lambda result: value_of(result.evaluations[-1], name)


def within(name: str, seconds: float, *, clock: str = "train_seconds") -> Measure:
    """The measure that reads the last evaluation by so many seconds of training, if there was one.

    Args:
        name: of what is read.
        seconds: the limit.
        clock: the field of an evaluation that holds its time.
    """

    def measure(result: RunResult) -> float | None:
        in_time = [
            evaluation
            for evaluation in result.evaluations
            if getattr(evaluation, clock) <= seconds
        ]
        return value_of(in_time[-1], name) if in_time else None

    return measure


def lowest(name: str) -> Measure:
    """The measure that reads the lowest value over all evaluations."""
    return lambda result: min(_values(result, name), default=None)


def highest(name: str) -> Measure:
    """The measure that reads the highest value over all evaluations."""
    return lambda result: max(_values(result, name), default=None)


def epoch_of_lowest(name: str) -> Measure:
    """The measure that tells at which epoch that lowest value was first reached."""

    def measure(result: RunResult) -> float:
        return min(
            result.evaluations, key=lambda evaluation: _or_infinity(value_of(evaluation, name))
        ).epoch

    return measure


def epochs(result: RunResult) -> float | None:
    """Epochs at the last evaluation."""
    return result.evaluations[-1].epoch


def steps(result: RunResult) -> float | None:
    """Optimizer steps at the last evaluation."""
    return result.evaluations[-1].step


def accuracy(result: RunResult) -> float | None:
    """Fraction of test images classified correctly by the final weights."""
    return result.final.test_accuracy if result.final else None


def estimates(
    groups: Groups, measure: Measure, *, images: int | None = None
) -> dict[str, Estimate]:
    """Take the measure of each group over its seeds; a group without a run that is done is left out.

    Args:
        groups: label -> runs.
        measure: what to read of a run.
        images: where the measure is a fraction of so many images, their number.
    """
    values = {label: known(map(measure, done(runs))) for label, runs in groups.items()}
    return {label: Estimate(numbers, images) for label, numbers in values.items() if numbers}


def ratios(
    groups: Groups,
    bases: Groups,
    measure: Measure,
    *,
    key: Callable[[RunResult], Hashable] = lambda result: result.run.seed,
) -> dict[str, Estimate]:
    """Divide the measure of each group by that of the group of the same label in ``bases``, run by run.

    Args:
        groups: label -> runs.
        bases: label -> runs to divide by.
        measure: of a run.
        key: what the two runs of a quotient have in common; their seed unless it says more.
    """
    found = {}
    # A quotient of one seed leaves out what the two runs share by it: weights, order of images.
    for label, runs in groups.items():
        base = {key(result): measure(result) for result in done(bases.get(label, ()))}
        pairs = [(measure(result), base.get(key(result))) for result in done(runs)]
        quotients = tuple(
            above / below for above, below in pairs if above is not None and below
        )
        if quotients:
            found[label] = Estimate(quotients)
    return found


def side_by_side(found: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Estimate]:
    """Join several findings: each label gets the name of its finding behind it."""
    together: dict[str, Estimate] = {}
    for name, row in found.items():
        together |= {f"{label} {name}": estimate for label, estimate in row.items()}
    return together


def known(values: Iterable[float | None]) -> tuple[float, ...]:
    """Leave out the values that are None."""
    return tuple(value for value in values if value is not None)


def _values(result: RunResult, name: str) -> tuple[float, ...]:
    return known(value_of(evaluation, name) for evaluation in result.evaluations)


def _or_infinity(value: float | None) -> float:
    return float("inf") if value is None else value


@dataclass(frozen=True)
class TimeToTarget:
    """When the validation accuracy first was at the target, or that it never was.

    Attributes:
        accuracy: the target, a fraction.
        reached: whether an evaluation was at or above it.
        epoch: epochs until then; this and the next three are None where the target was not reached.
        step: optimizer steps, that is updates, until then.
        samples: training images seen until then, M copies of one in a step as one.
        train_seconds: seconds of training until then; evaluation is off this clock.
        best_accuracy: the highest validation accuracy of the run, reached or not.
        best_epoch: epochs until it was first had.
        best_train_seconds: seconds of training until then.
        train_processor_seconds: processor time until the target; None also where it was not measured.
        best_train_processor_seconds: processor time until the best.
    """

    accuracy: float
    reached: bool
    epoch: float | None
    step: int | None
    samples: int | None
    train_seconds: float | None
    best_accuracy: float
    best_epoch: float
    best_train_seconds: float
    train_processor_seconds: float | None = None
    best_train_processor_seconds: float | None = None


def time_to_target(evaluations: Sequence[Evaluation], *, accuracy: float) -> TimeToTarget:
    """Find the first evaluation whose validation accuracy is at least ``accuracy``, and the best one.

    A run is evaluated at the ends of epochs, so that its time to the target is known to one epoch.

    Args:
        evaluations: those of one run, in order; at least one.
        accuracy: the target as a fraction; 0 < accuracy <= 1.
    Raises:
        ValueError: when the target is no fraction, or there is no validation accuracy to compare it with.
    """
    if not 0 < accuracy <= 1:
        hint = f"; {accuracy:g} % is {accuracy / 100:g}" if 1 < accuracy <= 100 else ""
        raise ValueError(
            f"`accuracy` (={accuracy}) must be a fraction above 0 and at most 1{hint}"
        )
    if not evaluations:
        raise ValueError(
            "`evaluations` (=[]) must hold at least one; has the run been evaluated yet?"
        )
    # Of equal ones the first, as max has it: later training did not help.
    best = max(evaluations, key=_score)
    first = next(
        (evaluation for evaluation in evaluations if _score(evaluation) >= accuracy), None
    )
    return TimeToTarget(
        accuracy=accuracy,
        reached=first is not None,
        epoch=None if first is None else first.epoch,
        step=None if first is None else first.step,
        samples=None if first is None else first.samples,
        train_seconds=None if first is None else first.train_seconds,
        best_accuracy=_score(best),
        best_epoch=best.epoch,
        best_train_seconds=best.train_seconds,
        train_processor_seconds=None if first is None else first.train_processor_seconds,
        best_train_processor_seconds=best.train_processor_seconds,
    )


def reading(name: str, *, accuracy: float) -> Measure:
    """The measure that reads a field of a run's time to the target; None where it is about reaching it and none did."""
    return lambda result: getattr(time_to_target(result.evaluations, accuracy=accuracy), name)


def _score(evaluation: Evaluation) -> float:
    if evaluation.validation_accuracy is None:
        raise ValueError(
            f"`evaluations` (step {evaluation.step}) must have a validation accuracy; "
            "run with `validation_fraction` above 0"
        )
    return evaluation.validation_accuracy
