"""Question 7: which cyclical policy reaches the better accuracy, and how constant ones do beside them."""

from collections.abc import Mapping
from dataclasses import dataclass

from losslab.analysis import measures
from losslab.analysis.clocks import Clock
from losslab.analysis.curves import rank
from losslab.analysis.estimates import Estimate
from losslab.analysis.measures import estimates
from losslab.analysis.runs import Groups, where
from losslab.analysis.sentences import certainty, interval, lead
from losslab.studies.learning_rate_and_batch_size.cycles import STAGES, cyclical_runs, why_no
from losslab.studies.learning_rate_and_batch_size.times import clock_of, clock_remark
from losslab.study.results import RunResult, StudyResults
from losslab.tables import Table
from losslab.text import NONE, measured, number, percent

SAME_IMAGES = 1.02
"""A run ends with a whole step, so that as many images are the same to a batch or so."""
BEST = "validation accuracy of any epoch"


@dataclass(frozen=True)
class Winner:
    """Which policy reaches the best accuracy.

    Attributes:
        answer: which of the cyclical ones, by validation and by test images.
        beside_constants: who is first among them and the constant ones; empty without a constant one.
        accuracies: which images -> policy -> accuracy.
        table: all policies, the best first.
        images: whether all saw as many images.
        certainty: how certain the numbers are.
        clock: what to know of the times; empty where they are wall times.
    """

    answer: str
    beside_constants: str
    accuracies: Mapping[str, Mapping[str, Estimate]]
    table: Table
    images: str
    certainty: str
    clock: str


def winner(results: StudyResults, images: int | None, test_images: int | None) -> Winner:
    """Find which policy reaches the best accuracy, the cyclical ones by themselves and beside constant ones.

    Args:
        results: of the study.
        images: how many validation images there are.
        test_images: how many test images.
    """
    policies = {**cyclical_runs(results), **_constant_runs(results)}
    validation = estimates(policies, measures.highest("validation_accuracy"), images=images)
    test = estimates(policies, measures.accuracy, images=test_images)
    cyclical = _cyclical(validation)
    clock = clock_of(results)
    beside_constants = ""
    if len(validation) > len(cyclical):
        beside_constants = (
            f"With the constants beside them: {lead(validation, BEST, percent, highest=True)}"
        )
    return Winner(
        answer=" ".join(_duel(cyclical, _cyclical(test), results)),
        beside_constants=beside_constants,
        accuracies={"best epoch, validation": validation, "final weights, test": test},
        table=_table(policies, validation, test, clock),
        images=_images(policies, validation),
        certainty=certainty(validation),
        clock=clock_remark(clock),
    )


def _images(policies: Groups, validation: Mapping[str, Estimate]) -> str:
    """Say whether the policies saw as many images; a budget may have shortened a later stage."""
    seen = estimates({name: policies[name] for name in validation}, _samples)
    amounts = [estimate.mean for estimate in seen.values()]
    if not amounts:
        return ""
    if max(amounts) <= SAME_IMAGES * min(amounts):
        return "All saw the same number of images; larger batches made fewer steps of them."
    most, least = (pick(seen, key=lambda name: seen[name].mean) for pick in (max, min))
    return (
        f"They did not see as many images, {number(seen[most].mean)} with {most} and {number(seen[least].mean)} with "
        f"{least}, so that a longer training may be what is ahead."
    )


def _samples(result: RunResult) -> float | None:
    return float(result.evaluations[-1].samples) if result.evaluations else None


def _constant_runs(results: StudyResults) -> Groups:
    """Select the runs at constant rates and constant sizes that the cyclical ones are compared with."""
    constant = {}
    by_rate, by_size = (
        results.stages.get("cyclical-lr", ()),
        results.stages.get("cyclical-batch", ()),
    )
    for result in by_rate:
        if isinstance(result.run.lr, float):
            constant[f"constant lr {number(result.run.lr, 3)}"] = where(
                by_rate, "lr", result.run.lr
            )
    for result in by_size:
        if isinstance(result.run.batch, int):
            constant[f"constant batch size {result.run.batch}"] = where(
                by_size, "batch", result.run.batch
            )
    return constant


def _cyclical(found: Mapping[str, Estimate]) -> dict[str, Estimate]:
    return {name: estimate for name, estimate in found.items() if name in STAGES}


def _duel(
    validation: Mapping[str, Estimate], test: Mapping[str, Estimate], results: StudyResults
) -> list[str]:
    first = lead(validation, BEST, percent, highest=True)
    # `capitalize` would lower the letters of a policy's name.
    sentences = [first[0].upper() + first[1:]]
    for name in STAGES:
        if name not in validation:
            sentences.append(f"There is no {name}. {why_no(name, results)}")
    # Epochs were picked by validation accuracy, which flatters it; the test set was read once, by final weights.
    if test:
        first = lead(test, "test accuracy", percent, highest=True)
        sentences.append(f"On the test set, with the final weights: {first}")
    return sentences


def _table(
    policies: Groups,
    validation: Mapping[str, Estimate],
    test: Mapping[str, Estimate],
    clock: Clock,
) -> Table:
    ranking = rank(validation, highest=True)
    steps, seconds = estimates(policies, measures.steps), estimates(policies, clock.seconds)
    rows = []
    for name in ranking.order:
        estimate, lr = validation[name], policies[name][0].run.lr
        rows.append(
            (
                name,
                number(lr, 3) if isinstance(lr, float) else "cycle",
                percent(estimate.mean),
                interval(estimate),
                percent(test[name].mean) if name in test else NONE,
                number(steps[name].mean),
                measured(seconds[name].mean, 3),
                str(estimate.n),
            )
        )
    headings = (
        "policy",
        "lr",
        "best validation",
        "95 % interval",
        "test",
        "steps",
        f"{clock.name}, s",
        "n",
    )
    return Table(
        label="Best accuracy",
        title="Validation accuracy at its best epoch, highest first; bold where none is higher beyond chance",
        headings=headings,
        rows=tuple(rows),
        bold=tuple(
            index for index, name in enumerate(ranking.order) if name in ranking.leaders
        ),
    )
