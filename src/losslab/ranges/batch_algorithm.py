"""How a batch-size range is found: steps that are run, documented and drawn from one tuple."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from losslab.ranges.curves import FALL_SHARE, Fall, NoRange, find_fall
from losslab.ranges.trace import Trace

Facts = dict[str, Any]
"""What the algorithm knows so far: each step adds what it found under its own name."""


@dataclass(frozen=True)
class AlgorithmStep:
    """One step of the algorithm, and one box of its diagram.

    Attributes:
        name: what the step finds; later steps read it by this name.
        does: the step in a sentence.
        find: computes it from the facts so far.
        stops: when the algorithm ends here without a range; empty for a step that always goes on.
    """

    name: str
    does: str
    find: Callable[[Facts], Any]
    stops: str = ""


def _train(facts: Facts) -> dict[int, list[Trace]]:
    return {size: facts["train"](size) for size in facts["sizes"]}


def _losses(facts: Facts) -> list[list[float]]:
    return [[trace.closing_loss()[0] for trace in facts["traces"][size]] for size in facts["sizes"]]


def _error(facts: Facts) -> float:
    """Of a size's median loss, the same for all sizes: from the seeds where there are several, else from the steps."""
    finite = [losses for losses in facts["losses"] if np.isfinite(losses).all()]
    if not finite:
        raise NoRange("training diverges at every batch size; try a smaller lr")
    if len(finite[0]) > 1:
        return float(np.sqrt(np.mean([np.var(losses, ddof=1) for losses in finite]) / len(finite[0])))
    return float(np.median([trace.closing_loss()[1] for traces in facts["traces"].values() for trace in traces]))


def _curve(facts: Facts) -> list[float]:
    medians = [float(np.median(losses)) for losses in facts["losses"]]
    if not np.isfinite(medians[0]):
        raise NoRange(f"training diverges at the smallest batch size, {facts['sizes'][0]}; try a smaller lr")
    return medians


def _fall(facts: Facts) -> Fall:
    curve = np.array(facts["curve"])
    return find_fall(np.where(np.isfinite(curve), curve, np.inf), facts["error"])


ALGORITHM: tuple[AlgorithmStep, ...] = (
    AlgorithmStep(
        "traces",
        "Train at every batch size: the same initial weights, the same number of optimizer steps, the same lr; "
        "for each seed.",
        _train,
    ),
    AlgorithmStep(
        "losses",
        "Take the training loss that each training came to: the average over its last tenth of steps.",
        _losses,
    ),
    AlgorithmStep(
        "error",
        "Estimate the standard error of a size's loss from its spread over seeds.",
        _error,
        stops="every size diverges",
    ),
    AlgorithmStep(
        "curve",
        "Take the median over seeds: the loss as a function of the batch size.",
        _curve,
        stops="the smallest size diverges",
    ),
    AlgorithmStep(
        "fall",
        "Find the fall of the curve, from its first to its lowest value.",
        _fall,
        stops="the fall is not five times deeper than its standard error",
    ),
    AlgorithmStep(
        "b_min",
        f"b_min: the largest size before which less than {FALL_SHARE:.0%} of the fall is done.",
        lambda facts: facts["sizes"][facts["fall"].begin],
    ),
    AlgorithmStep(
        "b_max",
        f"b_max: the smallest size at which {1 - FALL_SHARE:.0%} of the fall is done; larger batches buy nothing.",
        lambda facts: facts["sizes"][facts["fall"].end],
    ),
)
"""The algorithm, in order; :func:`find_batch_range` runs these very steps."""
