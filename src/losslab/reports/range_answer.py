"""What a page says of a stage that is a range test: the range of each group, or why there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from losslab.analysis.runs import group_runs
from losslab.analysis.sentences import NO_ANSWER
from losslab.plots.figures import Figure
from losslab.reports.overview import TITLES
from losslab.study.findings import RANGE_OF
from losslab.study.results import RunResult

NOT_ENDED = "too few runs have ended to read a range"


@dataclass(frozen=True)
class RangeAnswer:
    """The ranges of a stage.

    Attributes:
        text: a sentence for each group.
        figures: the curve of each group whose runs have ended, and what was read off it.
    """

    text: str
    figures: tuple[Figure, ...]


def range_answer(stage: Mapping[str, Any], runs: Sequence[RunResult]) -> RangeAnswer | None:
    """Read the ranges of a stage; None where it is no range test: its runs are then ranked by their loss.

    Args:
        stage: as `study.json` has it.
        runs: of the stage.
    """
    read = RANGE_OF.get(stage.get("finding") or "")
    if read is None:
        return None
    groups = group_runs(runs, stage.get("group") or (), TITLES)
    sentences, figures = [], []
    for index, (label, members) in enumerate(groups.items(), start=1):
        found = read(members)
        title = label if stage.get("group") else "All runs"
        sentences.append(f"{title}: {found.sentence if found else NOT_ENDED}.")
        if found:
            name = f"{stage['name']}-range-{index}"
            figures.append(replace(found.figure(title), name=name))
    return RangeAnswer(" ".join(sentences) or NO_ANSWER, tuple(figures))
