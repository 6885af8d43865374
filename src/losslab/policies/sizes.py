"""Batch sizes over epochs: an epoch uses each sample once, and its last batch is what is left, or is dropped."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from losslab.errors import InvalidInput

Size = Callable[[int], int]
"""Optimizer step -> the scheduled size of its batch."""


def epoch_sizes(size: Size, step: int, left: int, *, drop_last: bool = False) -> Iterator[int]:
    """The sizes of the batches from a step to the end of its epoch.

    Args:
        size: the scheduled sizes.
        step: of the first batch, counted over all epochs.
        left: samples of the epoch that are not used yet.
        drop_last: leave out a last batch that is short of its scheduled size; it takes no step.
    Example:
        >>> list(epoch_sizes(lambda step: 4 + step, step=0, left=12))
        [4, 5, 3]
        >>> list(epoch_sizes(lambda step: 5, step=0, left=12, drop_last=True))
        [5, 5]
    """
    while left > 0:
        scheduled = size(step)
        if scheduled > left and drop_last:
            return
        yield min(scheduled, left)
        left -= scheduled
        step += 1


def batches(size: Size, samples: int, *, drop_last: bool = False) -> Iterator[tuple[int, int]]:
    """Batch sizes without end, each with the samples that are seen or left out by then.

    Raises:
        ValueError: when an epoch has no batch.
    Example:
        >>> from itertools import islice
        >>> list(islice(batches(lambda step: 4, samples=10), 4))
        [(4, 4), (4, 8), (2, 10), (4, 14)]
    """
    step = begin = 0
    while True:
        *all_but_last, last = epoch_of(size, step, samples, drop_last=drop_last)
        seen = begin
        for batch in all_but_last:
            seen += batch
            yield batch, seen
        # What the last batch leaves out of the epoch is not used any more.
        begin += samples
        yield last, begin
        step += len(all_but_last) + 1


def epoch_of(size: Size, step: int, samples: int, *, drop_last: bool = False) -> list[int]:
    """The batch sizes of a whole epoch that begins with a step.

    Raises:
        ValueError: when it has no batch.
    """
    sizes = list(epoch_sizes(size, step, samples, drop_last=drop_last))
    if not sizes:
        raise ValueError(
            f"`batch_size` (={size(step)}) at step {step} exceeds `dataset_size` (={samples}): with `drop_last` that "
            "epoch has no batch; lower it or keep the short batch"
        )
    return sizes


def sizes_to_see(
    wanted: int, size: Size, samples: int, *, drop_last: bool = False
) -> list[int]:
    """The batch sizes up to the first step by which so many samples are seen.

    Example:
        >>> sizes_to_see(15, lambda step: 4, samples=10)
        [4, 4, 2, 4, 4]
    """
    sizes = []
    for batch, seen in batches(size, samples, drop_last=drop_last):
        sizes.append(batch)
        if seen >= wanted:
            break
    return sizes


def steps_to_see(wanted: int, sizes_over: Callable[[int], Sequence[int]]) -> int:
    """The number of steps over which a batch policy is laid out to see so many samples.

    A policy is laid out over a number of steps, which in turn depends on its batch sizes: it is the smallest over which
    the policy sees enough.

    Args:
        wanted: samples.
        sizes_over: number of steps that a policy is laid out over -> the batch sizes by which it sees enough.
    """

    def are_enough(steps: int) -> bool:
        try:
            return len(sizes_over(steps)) <= steps
        except (InvalidInput, ValueError):
            # Too few for the phases of the policy, or for a batch that an epoch holds; over more they may fit.
            return False

    # From 2, the least for a ramp. Where some number of steps is enough a larger one is, too, so bisect.
    return 2 + bisect_left(range(2, wanted), True, key=are_enough)
