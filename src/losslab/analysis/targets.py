"""Time to a target accuracy: how soon a run is good enough, and how good it was where it never is."""

from collections.abc import Sequence
from dataclasses import dataclass

from losslab.analysis.measures import Measure
from losslab.records import Evaluation


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


def time_to_target(evaluations: Sequence[Evaluation], *, accuracy: float) -> TimeToTarget:
    """The first evaluation whose validation accuracy is at least ``accuracy``, and the best one.

    A run is evaluated at the ends of epochs, so that its time to the target is known to one epoch.

    Args:
        evaluations: those of one run, in order; at least one.
        accuracy: the target as a fraction; 0 < accuracy <= 1.
    Raises:
        ValueError: when the target is no fraction, or there is no validation accuracy to compare it with.
    """
    if not 0 < accuracy <= 1:
        hint = f"; {accuracy:g} % is {accuracy / 100:g}" if 1 < accuracy <= 100 else ""
        raise ValueError(f"`accuracy` (={accuracy}) must be a fraction above 0 and at most 1{hint}")
    scored = [(_score(evaluation), evaluation) for evaluation in evaluations]
    if not scored:
        raise ValueError("`evaluations` (=[]) must hold at least one; has the run been evaluated yet?")
    best_accuracy, best = max(scored, key=lambda pair: pair[0])
    first = next((evaluation for score, evaluation in scored if score >= accuracy), None)
    return TimeToTarget(
        accuracy=accuracy,
        reached=first is not None,
        epoch=None if first is None else first.epoch,
        step=None if first is None else first.step,
        samples=None if first is None else first.samples,
        train_seconds=None if first is None else first.train_seconds,
        best_accuracy=best_accuracy,
        best_epoch=best.epoch,
        best_train_seconds=best.train_seconds,
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
