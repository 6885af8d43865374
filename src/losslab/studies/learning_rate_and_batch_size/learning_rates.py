"""Question 2: between which learning rates the loss falls, by ramps and by separate runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from losslab.analysis.runs import ended_of
from losslab.analysis.sentences import why_absent
from losslab.ranges import RULES, LrRange
from losslab.ranges.curves import FALL_SHARE
from losslab.study.findings import lr_range_of
from losslab.study.results import RunResult, StudyResults
from losslab.tables import Table
from losslab.text import number, times


@dataclass(frozen=True)
class LrFindings:
    """Between which learning rates the loss falls.

    Attributes:
        answer: what both readings say.
        ramp: the range by the ramps; None before one has ended.
        grid: the range by separate runs.
        table: both readings; None without either.
        notes: what each seed of the ramp found, and how finely the separate runs resolve, where that is known.
        fall_percent: part of the fall that is done before lr_min.
    """

    answer: str
    ramp: LrRange | None
    grid: LrRange | None
    table: Table | None
    notes: tuple[str, ...]
    fall_percent: str


def lr_findings(results: StudyResults) -> LrFindings:
    """Find the learning-rate range by ramps and by separate runs."""
    ramp = lr_range_of(results.stages.get("lr-ramp", ()))
    separate = results.stages.get("lr-grid", ())
    grid = lr_range_of(separate)
    ended, planned = ended_of(results, "lr-grid")
    so_far = f"Of {planned} separate runs {ended} have ended so far, and the others may change this. "
    is_partial = grid is not None and ended < planned
    of_ramp = (
        _reading("the ramp", ramp)
        or f"The ramp gives no range. {why_absent(results, 'lr-ramp')}"
    )
    of_grid = (
        _reading("the ten separate runs", grid)
        or f"The ten separate runs give no range. {why_absent(results, 'lr-grid')}"
    )
    sentences = [of_ramp, f"{so_far}{of_grid}" if is_partial else of_grid]
    if ramp and ramp.found:
        suggestion = number(ramp.suggestion, 3)
        sentences.append(
            "Later stages train by the ramp: with lr_min as their lowest rate, and with its suggestion, "
            f"{suggestion}, as the constant one."
        )
    return LrFindings(
        answer=" ".join(sentences),
        ramp=ramp,
        grid=grid,
        table=_table(ramp, grid),
        notes=(*_each_seed(ramp), *_spacing(separate)),
        fall_percent=f"{100 * FALL_SHARE:.0f}",
    )


def _reading(name: str, found: LrRange | None) -> str:
    if found is None:
        return ""
    if not found.found:
        return f"By {name}, {found.reason}."
    begin, lowest = number(found.lr_min, 3), number(found.lr_max, 3)
    return (
        f"By {name}, the loss begins to fall at lr_min = {begin} and is lowest at lr_max = {lowest}"
        f"{remark(found.reason)}."
    )


def remark(reason: str) -> str:
    """Put what to know of a range in brackets; nothing where there is nothing."""
    return f" ({reason})" if reason else ""


def _table(ramp: LrRange | None, grid: LrRange | None) -> Table | None:
    rows = [_row(name, found) for name, found in (("ramp", ramp), ("ten runs", grid)) if found]
    if not rows:
        return None
    return Table(
        label="Learning-rate ranges",
        title="The two readings; medians over seeds",
        headings=(
            "reading",
            "lr_min",
            "lr_max",
            "suggestion",
            "rule of the suggestion",
            "spread, decades",
            "n",
        ),
        rows=tuple(rows),
        words=(4,),
    )


def _row(name: str, found: LrRange) -> tuple[str, ...]:
    # The rule in its own words, so that the page and the reference cannot say two things.
    rule = (RULES[found.rule].__doc__ or "").partition("\n")[0].rstrip(".")
    limits = (number(found.lr_min, 3), number(found.lr_max, 3), number(found.suggestion, 3))
    return (name, *limits, rule, number(found.spread_decades, 2), str(len(found.seeds)))


def _each_seed(ramp: LrRange | None) -> list[str]:
    if ramp is None or len(ramp.seeds) < 2:
        return []
    ranges = []
    for seed in ramp.seeds:
        ranges.append(
            f"{number(seed.lr_min, 3)} to {number(seed.lr_max, 3)}" if seed else "no range"
        )
    band = "The band in the ramp's figure is from the lowest to the highest seed."
    return [f"Each seed by itself: {'; '.join(ranges)}. {band}"]


def _spacing(runs: Sequence[RunResult]) -> list[str]:
    rates = sorted({result.run.lr for result in runs if isinstance(result.run.lr, float)})
    if len(rates) < 2:
        return []
    # Any two neighbours: candidates are evenly spaced on a logarithmic axis.
    ratio = times(rates[1] / rates[0])
    return [
        f"The separate runs lie {ratio} apart, so their ends are no finer than that. The ramp passes each rate in a "
        "moment, the runs stay there: the two differ by what training longer at a rate does."
    ]
