"""Questions 3, 6 and 7: how the cyclical policies train, and which of them reaches the better accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from losslab.analysis import measures
from losslab.analysis.estimates import Estimate
from losslab.analysis.measures import Curve, curves, estimates, rank
from losslab.analysis.runs import where
from losslab.analysis.sentences import certainty, lead, why_absent
from losslab.study.results import RunResult, StudyResults
from losslab.tables import Table
from losslab.text import NONE, measured, number, percent

CYCLICAL_LR, CYCLICAL_BATCH = "cyclical lr", "cyclical batch size"
STAGES = {CYCLICAL_LR: "cyclical-lr", CYCLICAL_BATCH: "cyclical-batch"}
BEST = "validation accuracy at its best epoch"
STILL_FALLING = 0.95
"""A loss that is lowest after this part of its epochs may not have reached its lowest yet."""

Policies = Mapping[str, Sequence[RunResult]]
"""Name of a policy -> its runs, over any number of seeds."""


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


@dataclass(frozen=True)
class Winner:
    """Which policy reaches the best accuracy.

    Attributes:
        answer: which of the cyclical ones, by validation and by test images.
        beside_constants: who is first among them and the constant ones; empty without a constant one.
        accuracies: which images -> policy -> accuracy.
        table: all policies, the best first.
        certainty: how certain the numbers are.
    """

    answer: str
    beside_constants: str
    accuracies: Mapping[str, Mapping[str, Estimate]]
    table: Table
    certainty: str


def cyclical_runs(results: StudyResults) -> Policies:
    """The runs of both cyclical policies."""
    return {
        CYCLICAL_LR: where(results.stages.get("cyclical-lr", ()), "lr.name", "exp_range"),
        CYCLICAL_BATCH: where(results.stages.get("cyclical-batch", ()), "batch.name", "exp_range"),
    }


def constant_runs(results: StudyResults) -> Policies:
    """The runs at constant rates and constant sizes that the cyclical ones are compared with."""
    constant = {}
    by_rate, by_size = results.stages.get("cyclical-lr", ()), results.stages.get("cyclical-batch", ())
    for result in by_rate:
        if isinstance(result.run.lr, float):
            constant[f"constant lr {number(result.run.lr, 3)}"] = where(by_rate, "lr", result.run.lr)
    for result in by_size:
        if isinstance(result.run.batch, int):
            constant[f"constant batch size {result.run.batch}"] = where(by_size, "batch", result.run.batch)
    return constant


def course(results: StudyResults, name: str, images: int | None) -> Course:
    """How a cyclical policy trained.

    Args:
        results: of the study.
        name: of the policy.
        images: how many validation images there are.
    """
    runs = cyclical_runs(results)[name]
    return Course(
        answer=_course_answer(runs, name, images) or f"There is no {name} to tell of. {_why_no(name, results)}",
        policy=_policy(runs, name),
        setting=_setting(runs, name),
        loss=_both(runs, "loss"),
        accuracy=_both(runs, "accuracy"),
        first={name: runs[0]} if runs else {},
        certainty=certainty(estimates({name: runs}, measures.final("validation_loss"))),
    )


def winner(results: StudyResults, images: int | None, test_images: int | None) -> Winner:
    """Which policy reaches the best accuracy, the cyclical ones by themselves and beside constant ones.

    Args:
        results: of the study.
        images: how many validation images there are.
        test_images: how many test images.
    """
    policies = {**cyclical_runs(results), **constant_runs(results)}
    validation = estimates(policies, measures.highest("validation_accuracy"), images=images)
    test = estimates(policies, measures.accuracy, images=test_images)
    cyclical = _cyclical(validation)
    beside_constants = ""
    if len(validation) > len(cyclical):
        beside_constants = f"With the constants beside them: {lead(validation, BEST, percent, highest=True)}"
    return Winner(
        answer=" ".join(_duel(cyclical, _cyclical(test), results)),
        beside_constants=beside_constants,
        accuracies={"best epoch, validation": validation, "final weights, test": test},
        table=_table(policies, validation, test),
        certainty=certainty(validation),
    )


def _course_answer(runs: Sequence[RunResult], name: str, images: int | None) -> str:
    """Best accuracy and lowest loss; empty where no run has ended."""
    best = _over_seeds(runs, measures.highest("validation_accuracy"), images)
    lowest = _over_seeds(runs, measures.lowest("validation_loss"))
    epoch = _over_seeds(runs, measures.epoch_of_lowest("validation_loss"))
    final = _over_seeds(runs, measures.final("validation_loss"))
    length = _over_seeds(runs, measures.epochs)
    if not (best and lowest and epoch and final and length):
        return ""
    reached = f"The {name} reached {percent(best.mean)} validation accuracy."
    if epoch.mean > STILL_FALLING * length.mean:
        return (
            f"{reached} Its validation loss was lowest at the end, {measured(lowest.mean)}: it may still have been "
            "falling, so this length does not show convergence."
        )
    return (
        f"{reached} Its validation loss was lowest at epoch {number(epoch.mean, 3)} of {number(length.mean, 3)}, "
        f"{measured(lowest.mean)}, and {measured(final.mean)} at the end: longer training would not have lowered it."
    )


def _over_seeds(runs: Sequence[RunResult], measure: measures.Measure, images: int | None = None) -> Estimate | None:
    return estimates({"runs": runs}, measure, images=images).get("runs")


def _policy(runs: Sequence[RunResult], name: str) -> str:
    if not runs:
        return ""
    run = runs[0].run
    return str(run.lr if name == CYCLICAL_LR else run.batch)


def _setting(runs: Sequence[RunResult], name: str) -> str:
    """What stayed constant; of a cycle of batch sizes also how its mean grew, which the decay of the dips makes it."""
    if not runs:
        return ""
    run = runs[0].run
    if name == CYCLICAL_LR:
        return f"at batch size {run.batch}"
    sizes = [size for part in runs[0].steps for size in part.batch_size]
    if not sizes:
        return ""
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


def _cyclical(found: Mapping[str, Estimate]) -> dict[str, Estimate]:
    return {name: estimate for name, estimate in found.items() if name in STAGES}


def _duel(validation: Mapping[str, Estimate], test: Mapping[str, Estimate], results: StudyResults) -> list[str]:
    first = lead(validation, BEST, percent, highest=True)
    sentences = [first[0].upper() + first[1:]]
    for name in STAGES:
        if name not in validation:
            sentences.append(f"There is no {name}. {_why_no(name, results)}")
    if test:
        first = lead(test, "test accuracy", percent, highest=True)
        sentences.append(f"On the test set, with the final weights: {first}")
    return sentences


def _why_no(name: str, results: StudyResults) -> str:
    return why_absent(results.plan, STAGES[name])


def _table(policies: Policies, validation: Mapping[str, Estimate], test: Mapping[str, Estimate]) -> Table:
    ranking = rank(validation, highest=True)
    steps, seconds = estimates(policies, measures.steps), estimates(policies, measures.train_seconds)
    rows = []
    for name in ranking.order:
        estimate, lr = validation[name], policies[name][0].run.lr
        low, high = estimate.interval or (None, None)
        rows.append(
            (
                name,
                number(lr, 3) if isinstance(lr, float) else "cycle",
                percent(estimate.mean),
                f"{percent(low)} to {percent(high)}",
                percent(test[name].mean) if name in test else NONE,
                number(steps[name].mean),
                measured(seconds[name].mean, 3),
                str(estimate.n),
            )
        )
    headings = ("policy", "lr", "best validation", "95 % interval", "test", "steps", "training time, s", "n")
    return Table(
        label="Best accuracy",
        title="Validation accuracy at its best epoch, highest first; bold where none is higher beyond chance",
        headings=headings,
        rows=tuple(rows),
        bold=tuple(index for index, name in enumerate(ranking.order) if name in ranking.leaders),
    )
