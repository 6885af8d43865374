"""How a batch-size range is found: steps that are run, documented and drawn from one tuple."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from losslab.ranges.curves import FALL_SHARE, Array, Fall, NoRange, find_fall
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


def _losses(facts: Facts) -> Array:
    """(size, seed); equal seeds share their weights, so the part of a loss that is the seed's own is taken out."""
    losses = np.array([[trace.closing_loss()[0] for trace in facts["traces"][size]] for size in facts["sizes"]])
    finite = np.isfinite(losses).all(axis=1)
    if not finite[0]:
        which = "every batch size" if not finite.any() else f"the smallest batch size, {facts['sizes'][0]}"
        raise NoRange(f"training diverges at {which}; try a smaller lr")
    return np.asarray(losses - losses[finite].mean(axis=0) + losses[finite].mean())


def _error(facts: Facts) -> float:
    """From what is left of the losses after size and seed; from the steps where there is one seed only."""
    losses = facts["losses"][np.isfinite(facts["losses"]).all(axis=1)]
    sizes, seeds = losses.shape
    if seeds == 1 or sizes == 1:
        return float(np.median([trace.closing_loss()[1] for traces in facts["traces"].values() for trace in traces]))
    rest = losses - losses.mean(axis=1, keepdims=True) - losses.mean(axis=0) + losses.mean()
    return float(np.sqrt((rest**2).sum() / ((sizes - 1) * (seeds - 1)) / seeds))


def _fall(facts: Facts) -> Fall:
    return find_fall(np.median(facts["losses"], axis=1), facts["error"])


ALGORITHM: tuple[AlgorithmStep, ...] = (
    AlgorithmStep(
        "traces",
        "Train at every batch size: the same initial weights, the same number of optimizer steps, the same lr; "
        "for each seed.",
        _train,
    ),
    AlgorithmStep(
        "losses",
        "Take the training loss that each training came to, the average over its last tenth of steps; take out what a "
        "seed adds to all its losses.",
        _losses,
        stops="the smallest size diverges",
    ),
    AlgorithmStep(
        "error",
        "Estimate the standard error of the loss at one size from what is left of its spread over seeds.",
        _error,
    ),
    AlgorithmStep(
        "fall",
        "Take the median over seeds as a function of the batch size, and find its fall: from the first to the lowest.",
        _fall,
        stops="the fall is not five standard errors deep",
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
