"""Loss against learning rate, from the traces of a range test."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from losslab.ranges.curves import (
    Array,
    NoRange,
    beta_for,
    smooth,
    standard_error,
    steps_before_divergence,
    without_spikes,
)
from losslab.ranges.trace import Trace

RAMP_FRACTION = 0.02
"""Part of a ramp over which its loss is averaged on either side: 0.2 decades of ten."""


@dataclass(frozen=True)
class Curve:
    """Loss against learning rate for one seed, up to where it diverged.

    Attributes:
        lr: increasing learning rates.
        loss: a step's loss in a ramp, the closing loss of a training in a grid.
        smoothed_loss: what the range is read from.
        accuracy: as the loss; empty when not measured.
        error: standard error of the smoothed loss.
        width: places on either side that a smoothed loss averages over; 0 in a grid.
        cut: whether the test went on to learning rates that diverged.
    """

    lr: Array
    loss: Array
    smoothed_loss: Array
    accuracy: Array
    error: float
    width: int
    cut: bool


def ramp_curve(trace: Trace, beta: float | None = None) -> Curve:
    """The curve of a training whose learning rate rose.

    Losses further above the first one than the lowest is below it count as just so high: how far a loss explodes says
    nothing, and would weigh on the average of the steps before.

    Args:
        trace: one training.
        beta: of the average; looks over 2 % of the steps on either side when None.
    """
    beta = beta_for(len(trace.loss), RAMP_FRACTION) if beta is None else beta
    steps = steps_before_divergence(trace.loss, beta)
    if not steps:
        raise NoRange(f"the loss is {trace.loss[0] if trace.loss else 'missing'} at the first step")
    loss = np.asarray(trace.loss[:steps], dtype=np.float64)
    course = without_spikes(loss)
    first = smooth(course, beta)[0]
    smoothed = smooth(np.minimum(course, 2 * first - course.min()), beta)
    error = standard_error(loss, smoothed, beta)
    accuracy = np.asarray(trace.accuracy[:steps], dtype=np.float64)
    return Curve(
        np.asarray(trace.lr[:steps]), loss, smoothed, accuracy, error, round(1 / (1 - beta)), steps < len(trace.loss)
    )


def grid_curve(traces: Iterable[Trace]) -> Curve:
    """The curve of separate trainings of one seed, each at one learning rate."""
    traces = sorted(traces, key=lambda trace: trace.lr[0])
    closing = [trace.closing_loss() for trace in traces]
    steps = next((place for place, (loss, _) in enumerate(closing) if not np.isfinite(loss)), len(traces))
    if not steps:
        raise NoRange(f"training diverges at the lowest learning rate already, {traces[0].lr[0]:.3g}")
    loss = np.array([loss for loss, _ in closing[:steps]])
    last = [trace.accuracy[-max(1, len(trace.accuracy) // 10) :] for trace in traces[:steps]]
    accuracy = np.array([np.mean(part) for part in last if len(part)])
    error = float(np.median([error for _, error in closing[:steps]]))
    lr = np.array([trace.lr[0] for trace in traces[:steps]])
    return Curve(lr, loss, loss, accuracy, error, 0, steps < len(traces))
