"""How a range test's curve runs, in one word, so that two of them can be compared."""

from typing import Literal

from losslab.ranges import BatchRange, LrRange

Shape = Literal["flat", "falling", "valley"]

RISE_SHARE = 0.2
"""A curve rises again when it gives back this part of its fall."""


def shape(losses: list[float | None], *, found: bool) -> Shape:
    """Say whether a curve never falls (flat), falls and stays low (falling), or falls and rises again (valley).

    Args:
        losses: by learning rate or batch size; None where training diverged, which is a rise.
        found: whether the loss falls by more than its noise.
    Example:
        >>> shape([2.3, 2.3, 0.9, 0.5, 0.52], found=True), shape([2.3, 0.5, 1.9], found=True)
        ('falling', 'valley')
    """
    values = [float("inf") if loss is None else loss for loss in losses]
    if not found:
        return "flat"
    # A share of the fall, since losses of several tasks have several scales.
    lowest = min(values)
    after = max(values[values.index(lowest) :])
    return "valley" if after - lowest >= RISE_SHARE * (values[0] - lowest) else "falling"


def lr_shape(found: LrRange, tried: int) -> Shape:
    """Name the shape of loss against learning rate, of which so many were tried; those beyond the curve diverged."""
    losses: list[float | None] = [*found.curve.smoothed_loss]
    return shape(losses + [None] * (tried - len(losses)), found=found.found)


def batch_shape(found: BatchRange) -> Shape:
    """Name the shape of loss against batch size."""
    return shape(found.curve.loss, found=found.found)
