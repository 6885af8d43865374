"""The ranges that a stage of a study finds, one for each group of its runs."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from losslab.choice import Choice
from losslab.ranges.batch import BatchRange, find_batch_range
from losslab.ranges.lr import LrRange, find_lr_range
from losslab.ranges.trace import Trace, trace_of
from losslab.study.results import RunResult
from losslab.study.stages import Fields, get_field


def lr_ranges(results: Sequence[RunResult], group: Sequence[str]) -> list[Fields]:
    """The spec of each group with `lr_min`, `lr_max` and `suggestion`; a group without a range is left out.

    Args:
        results: ramps of the learning rate, or runs at constant rates, over any number of seeds.
        group: dotted fields of a run that tell the groups apart.
    """
    found = [(runs[0], lr_range_of(runs)) for runs in _groups(results, group)]
    return [
        _fields(first, lr_min=one.lr_min, lr_max=one.lr_max, suggestion=one.suggestion)
        for first, one in found
        if one and one.found
    ]


def batch_ranges(results: Sequence[RunResult], group: Sequence[str]) -> list[Fields]:
    """The spec of each group with `b_min` and `b_max`; a group without a range is left out."""
    found = [(runs[0], batch_range_of(runs)) for runs in _groups(results, group)]
    return [_fields(first, b_min=one.b_min, b_max=one.b_max) for first, one in found if one and one.found]


def _fields(result: RunResult, **found: float | None) -> Fields:
    return {**result.run.model_dump(mode="json"), **found}


def lr_range_of(results: Sequence[RunResult]) -> LrRange | None:
    """The learning-rate range of runs that differ in learning rate and seed only; None before one has ended."""
    ended = _ended(results)
    if not ended:
        return None
    mode = "ramp" if isinstance(ended[0].run.lr, Choice) else "grid"
    return find_lr_range([_trace(result) for result in ended], mode=mode)


def batch_range_of(results: Sequence[RunResult]) -> BatchRange | None:
    """The batch-size range of runs that differ in batch size and seed only, over the sizes that ended for every seed.

    None before there are two such sizes.
    """
    by_size: dict[Any, list[Trace]] = defaultdict(list)
    for result in sorted(_ended(results), key=lambda result: result.run.seed):
        by_size[result.run.batch].append(_trace(result))
    seeds = max(map(len, by_size.values()), default=0)
    sizes = sorted(size for size, traces in by_size.items() if len(traces) == seeds)
    return find_batch_range(sizes, by_size.__getitem__) if len(sizes) > 1 else None


def _ended(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs that have something to tell: to diverge is a result here."""
    return [result for result in results if result.start and result.status in ("done", "diverged")]


def _trace(result: RunResult) -> Trace:
    return trace_of(result.records, result.run.seed, result.run.max_micro_batch)


def _groups(results: Sequence[RunResult], group: Sequence[str]) -> list[list[RunResult]]:
    groups: dict[tuple[str, ...], list[RunResult]] = defaultdict(list)
    for result in _ended(results):
        fields = result.run.model_dump(mode="json")
        groups[tuple(repr(get_field(fields, key)) for key in group)].append(result)
    return list(groups.values())
