"""Questions 3 and 6: how the cyclical policies of learning rate and batch size train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

from losslab.analysis import measures
from losslab.analysis.curves import Curve, curves
from losslab.analysis.estimates import Estimate
from losslab.analysis.measures import estimates
from losslab.analysis.runs import Groups, where
from losslab.analysis.sentences import certainty, why_absent
from losslab.study.results import RunResult, StudyResults, done
from losslab.text import measured, number, percent

CYCLICAL_LR, CYCLICAL_BATCH = "cyclical lr", "cyclical batch size"
STAGES = {CYCLICAL_LR: "cyclical-lr", CYCLICAL_BATCH: "cyclical-batch"}
"""Cyclical policy -> the stage that trains with it."""
STILL_FALLING = 0.95
"""A loss that is lowest after this part of its epochs may not have reached its lowest yet."""


@dataclass(frozen=True)
class Course:
    """How the runs of a cyclical policy went.

    Attributes:
        answer: best accuracy and lowest loss, and whether longer training would help.
        policy: as a study's TOML has it; empty without a run.
        setting: what stayed constant, and how the policy moved.
        loss: training and validation loss over epochs.
        accuracy: likewise.
        first: the run of the first seed, by the policy's name.
        certainty: how certain the numbers are.
    """

    answer: str
    policy: str
    setting: str
    loss: Mapping[str, Curve]
    accuracy: Mapping[str, Curve]
    first: Mapping[str, RunResult]
    certainty: str


def cyclical_runs(results: StudyResults) -> Groups:
    """Select the runs of both cyclical policies; their stages hold constant ones, too."""
    return {
        CYCLICAL_LR: where(results.stages.get("cyclical-lr", ()), "lr.name", "exp_range"),
        CYCLICAL_BATCH: where(
            results.stages.get("cyclical-batch", ()), "batch.name", "exp_range"
        ),
    }


def course(results: StudyResults, name: str, images: int | None) -> Course:
    """Say how a cyclical policy trained.

    Args:
        results: of the study.
        name: of the policy.
        images: how many validation images there are.
    """
    # Of runs that are under way, or diverged, no sentence tells.
    runs = done(cyclical_runs(results)[name])
    return Course(
        answer=_course_answer(runs, name, images)
        or f"There is no {name} to tell of. {why_no(name, results)}",
        policy=_policy(runs, name),
        setting=_setting(runs, name),
        loss=_both(runs, "loss"),
        accuracy=_both(runs, "accuracy"),
        first={name: runs[0]} if runs else {},
        certainty=certainty(
            estimates({name: runs}, measures.final("validation_loss")), with_spread=False
        ),
    )


def why_no(name: str, results: StudyResults) -> str:
    """Say why a cyclical policy has no result."""
    return why_absent(results, STAGES[name])


def _course_answer(runs: Sequence[RunResult], name: str, images: int | None) -> str:
    """Say the best accuracy and the lowest loss; nothing where no run has ended."""
    best = _over_seeds(runs, measures.highest("validation_accuracy"), images)
    lowest = _over_seeds(runs, measures.lowest("validation_loss"))
    epoch = _over_seeds(runs, measures.epoch_of_lowest("validation_loss"))
    final = _over_seeds(runs, measures.final("validation_loss"))
    length = _over_seeds(runs, measures.epochs)
    if not (best and lowest and epoch and final and length):
        return ""
    reached = f"The {name} reached {percent(best.mean)} validation accuracy."
    at_end = [value > STILL_FALLING * length.mean for value in epoch.values]
    if any(at_end):
        where = "" if all(at_end) else " in at least one seed"
        return (
            f"{reached} Its validation loss was lowest at the end{where}, {measured(lowest.mean)}: it may still have "
            "been falling, so this length does not show convergence."
        )
    return (
        f"{reached} Its validation loss was lowest at epoch {number(epoch.mean, 3)} of {number(length.mean, 3)}, "
        f"{measured(lowest.mean)}, and {measured(final.mean)} at the end: it rose after that."
    )


def _over_seeds(
    runs: Sequence[RunResult], measure: measures.Measure, images: int | None = None
) -> Estimate | None:
    return estimates({"runs": runs}, measure, images=images).get("runs")


def _policy(runs: Sequence[RunResult], name: str) -> str:
    if not runs:
        return ""
    run = runs[0].run
    return str(run.lr if name == CYCLICAL_LR else run.batch)


def _setting(runs: Sequence[RunResult], name: str) -> str:
    """Say what stayed constant; of a cycle of batch sizes also how its mean grew, as its dips decay."""
    if not runs:
        return ""
    run = runs[0].run
    if name == CYCLICAL_LR:
        return f"at batch size {run.batch}"
    # An entry of a packed study stands for several steps.
    sizes: list[int] = []
    for part in runs[0].steps:
        for size, steps in zip(part.batch_size, part.count or repeat(1), strict=False):
            sizes += [size] * steps
    if not sizes:
        return ""
    # A growing mean is to noise what a falling learning rate is (Smith et al. 2018, arXiv:1711.00489); thirds of the
    # run even out single cycles.
    third = max(len(sizes) // 3, 1)
    first, last = sum(sizes[:third]) / third, sum(sizes[-third:]) / third
    lr = number(run.lr, 3) if isinstance(run.lr, float) else str(run.lr)
    return (
        f"at learning rate {lr}: a mean of {number(first, 3)} images over the first third of the steps, "
        f"{number(last, 3)} over the last"
    )


def _both(runs: Sequence[RunResult], quantity: str) -> dict[str, Curve]:
    training = curves({"training": runs}, f"train_{quantity}")
    return {**training, **curves({"validation": runs}, f"validation_{quantity}")}
