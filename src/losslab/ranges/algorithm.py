"""The steps by which a range of batch sizes is found, in words: the report draws its diagram from them."""

from dataclasses import dataclass

from losslab.ranges.curves import (
    FALL_SHARE,
)


@dataclass(frozen=True)
class AlgorithmStep:
    """One step of the algorithm in words, and one box of its diagram.

    Attributes:
        name: what the step finds.
        does: the step in a sentence.
        stops: when the algorithm ends here without a range; empty for a step that always goes on.
    """

    name: str
    does: str
    stops: str = ""


ALGORITHM: tuple[AlgorithmStep, ...] = (
    AlgorithmStep(
        "traces",
        "Train at every batch size: the same initial weights, the same number of optimizer steps, the same lr; "
        "for each seed.",
    ),
    AlgorithmStep(
        "losses",
        "Take the training loss that each training came to, the average over its last tenth of steps; take out what a "
        "seed adds to all its losses.",
        stops="the smallest size diverges",
    ),
    AlgorithmStep(
        "error",
        "Estimate the standard error of the loss at one size from what is left of its spread over seeds.",
    ),
    AlgorithmStep(
        "fall",
        "Take the median over seeds as a function of the batch size, and find its fall: from the first to the lowest.",
        stops="the fall is not five standard errors deep",
    ),
    AlgorithmStep(
        "b_min",
        f"b_min: the largest size before which less than {FALL_SHARE:.0%} of the fall is done.",
    ),
    AlgorithmStep(
        "b_max",
        f"b_max: the smallest size at which {1 - FALL_SHARE:.0%} of the fall is done; larger batches gain little.",
    ),
)
"""The six steps of :func:`find_batch_range` in words, for a diagram; the function has their numbers."""
