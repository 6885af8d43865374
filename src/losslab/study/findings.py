"""Findings of a stage, one for each group of its runs: the best run, a range of learning rates or of batch sizes."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from statistics import fmean
from typing import Any

from losslab.choice import Choice
from losslab.ranges.batch import BatchRange, find_batch_range
from losslab.ranges.lr import LrRange, find_lr_range
from losslab.ranges.trace import Trace, trace_of
from losslab.spec import RANGES
from losslab.study.fields import Fields
from losslab.study.results import RunResult, done, field_of


def best_runs(results: Sequence[RunResult], group: Sequence[str]) -> list[Fields]:
    """Find in each group the spec of lowest final validation loss, the mean over its seeds; all must have ended.

    Args:
        results: the runs of a stage.
        group: dotted fields of a run that are equal within a group.
    """
    return [
        _best(members).run.model_dump(mode="json")
        for members in _groups(_complete(results), group)
    ]


def _complete(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs that are done and whose spec is done for every other seed, too."""
    # A mean over the seeds that survived would favour a spec whose bad seeds diverged.
    complete = [
        members for members in _by_spec(results).values() if len(done(members)) == len(members)
    ]
    return list(chain.from_iterable(complete))


def _best(results: Sequence[RunResult]) -> RunResult:
    """The first run of the spec with the lowest mean loss; of equal ones the first."""
    candidates = _by_spec(results).values()
    best = min(candidates, key=lambda members: fmean(map(final_validation_loss, members)))
    return best[0]


def _by_spec(results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """Group runs that differ in their seed alone."""
    specs: dict[str, list[RunResult]] = defaultdict(list)
    for result in results:
        spec = result.run.model_copy(update={"seed": 0})
        specs[spec.id].append(result)
    return specs


def final_validation_loss(result: RunResult) -> float:
    """The validation loss of the last evaluation; infinite where there is none."""
    loss = result.evaluations[-1].validation_loss
    return float("inf") if loss is None else loss


def _ranges(finding: str, results: Sequence[RunResult], group: Sequence[str]) -> list[Fields]:
    """Add what a range test finds to the spec of each group; leave out a group without a range.

    Args:
        finding: which of `losslab.spec.RANGES`.
        results: the runs of a stage, over any number of seeds.
        group: dotted fields of a run that are equal within a group.
    """
    found = []
    for runs in _groups(conclusive(results), group):
        limits = RANGE_OF[finding](runs)
        if limits and limits.found:
            fields = {name: getattr(limits, name) for name in RANGES[finding]}
            found.append(runs[0].run.model_dump(mode="json") | fields)
    return found


def lr_range_of(results: Sequence[RunResult]) -> LrRange | None:
    """The learning-rate range of runs that differ in learning rate and seed only; None before one has ended."""
    ended = conclusive(results)
    if not ended:
        return None
    mode = "ramp" if isinstance(ended[0].run.lr, Choice) else "grid"
    return find_lr_range([_trace(result) for result in ended], mode=mode)


def batch_range_of(results: Sequence[RunResult]) -> BatchRange | None:
    """The batch-size range of runs that differ in batch size and seed only, over the sizes that ended for every seed.

    None before there are two such sizes.
    """
    by_size: dict[Any, dict[int, Trace]] = defaultdict(dict)
    for result in sorted(conclusive(results), key=lambda result: result.run.seed):
        by_size[result.run.batch][result.run.seed] = _trace(result)
    # A size that lacks a seed is left out: its mean over the other seeds would not compare.
    groups = Counter(frozenset(traces) for traces in by_size.values())
    seeds = max(groups, key=lambda seeds: (len(seeds), groups[seeds]), default=frozenset())
    sizes = sorted(size for size, traces in by_size.items() if traces.keys() == seeds)
    if len(sizes) < 2:
        return None
    return find_batch_range(sizes, lambda size: list(by_size[size].values()))


def conclusive(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs that a range is read from: to diverge is a result here."""
    return [
        result for result in results if result.start and result.status in ("done", "diverged")
    ]


def _trace(result: RunResult) -> Trace:
    return trace_of(result.records, result.run.seed, result.run.max_micro_batch)


def _groups(results: Sequence[RunResult], group: Sequence[str]) -> list[list[RunResult]]:
    """Group runs that are equal in some fields."""
    groups: dict[tuple[str, ...], list[RunResult]] = defaultdict(list)
    for result in results:
        # Values may be lists, which cannot be keys of a dict; their texts can.
        key = tuple(repr(field_of(result, path)) for path in group)
        groups[key].append(result)
    return list(groups.values())


RANGE_OF: dict[str, Callable[[Sequence[RunResult]], LrRange | BatchRange | None]] = {
    "lr_range": lr_range_of,
    "batch_range": batch_range_of,
}
"""Finding of a range test -> what reads it from the runs of a group."""
FINDINGS: dict[str, Callable[[Sequence[RunResult], Sequence[str]], list[Fields]]] = {
    "best": best_runs,
    **{finding: partial(_ranges, finding) for finding in RANGE_OF},
}
"""The findings of stages by the names that a study's TOML gives."""
