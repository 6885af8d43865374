"""Records to findings: values with their rule, computed without torch."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from losslab.ranges.findings import batch_ranges, lr_ranges
from losslab.study.results import RunResult
from losslab.study.stages import Fields, get_field


def best_runs(results: Sequence[RunResult], group: Sequence[str]) -> list[Fields]:
    """The spec of the run with the lowest final validation loss in each group; runs that did not end are left out.

    Args:
        results: the runs of a stage.
        group: dotted fields of a run that tell the groups apart.
    """
    groups: dict[tuple[Any, ...], list[RunResult]] = defaultdict(list)
    for result in results:
        if result.status == "done" and result.evaluations:
            groups[tuple(get_field(result.run.model_dump(mode="json"), key) for key in group)].append(result)
    return [min(members, key=_final_validation_loss).run.model_dump(mode="json") for members in groups.values()]


def _final_validation_loss(result: RunResult) -> float:
    loss = result.evaluations[-1].validation_loss
    return float("inf") if loss is None else loss


FINDINGS: dict[str, Callable[[Sequence[RunResult], Sequence[str]], list[Fields]]] = {
    "best": best_runs,
    "lr_range": lr_ranges,
    "batch_range": batch_ranges,
}
"""What a stage can find, by the name that a study's TOML gives."""
