"""Who is ahead after equal updates and after equal training time, and what M copies cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain

from losslab.analysis import measures
from losslab.analysis.clocks import PROCESSOR, Clock, of_one_machine, times_compare
from losslab.analysis.curves import rank
from losslab.analysis.estimates import Estimate
from losslab.analysis.measures import estimates, ratios, within
from losslab.analysis.runs import Groups
from losslab.analysis.sentences import between, certainty, lead
from losslab.studies.batch_augmentation.runs import (
    BASELINE,
    ERROR,
    Material,
    Setting,
    time_spent,
)
from losslab.study.results import RunResult
from losslab.tables import Table
from losslab.text import NONE, count, duration, names, number, percent, times

Estimates = Mapping[str, Estimate]


@dataclass(frozen=True)
class Comparison:
    """The runs with M copies beside each other.

    Attributes:
        answer: all that was found.
        after_updates: who is ahead after equal updates.
        after_time: who is ahead after the training time of the shortest run; empty before one has ended.
        cost: how much longer equal epochs took with more copies; empty without one to compare.
        cost_range: the factors alone.
        caution: what equal updates and equal training time leave out.
        errors: what is equal -> label -> validation error.
        table: all of it.
        note: how certain it is.
        certainty: how certain errors are.
    """

    answer: str
    after_updates: str
    after_time: str
    cost: str
    cost_range: str
    caution: str
    errors: Mapping[str, Estimates]
    table: Table
    note: str
    certainty: str


@dataclass(frozen=True)
class _Numbers:
    """What was measured of each group; `shortest` is the training time of the group that took least, in seconds."""

    errors: Estimates
    tests: Estimates
    seconds: Estimates
    cost: Estimates
    shortest: float
    errors_in_time: Estimates
    epochs_in_time: Estimates


def comparison_of(material: Material, setting: Setting | None, workers: int) -> Comparison:
    """Compare the runs with M copies after equal updates and after equal training time.

    Args:
        material: the runs that ended.
        setting: what they share; None before one has ended.
        workers: how many ran at once.
    """
    groups = material.copies
    clock = material.clock
    numbers = _numbers(groups, setting, clock)
    dearer = {label: ratio for label, ratio in numbers.cost.items() if label != BASELINE}
    cost_range = between(dearer, times) if dearer else ""
    after_updates = lead(numbers.errors, "validation error after equal updates", percent)
    after_time = " ".join(_after_time(groups, numbers, clock))
    cost = f"Equal epochs {clock.took} {cost_range} as long as with M = 1." if dearer else ""
    return Comparison(
        answer=" ".join(filter(None, [after_updates, after_time, cost])),
        after_updates=after_updates,
        after_time=after_time,
        cost=cost,
        cost_range=cost_range,
        caution=_caution(numbers, clock),
        errors={"equal updates": numbers.errors, f"equal {clock.name}": numbers.errors_in_time},
        table=_table(groups, numbers, clock),
        note=_note(material, workers),
        certainty=certainty(numbers.errors),
    )


def _numbers(groups: Groups, setting: Setting | None, clock: Clock) -> _Numbers:
    images, tested = (
        (setting.validation_images, setting.test_images) if setting else (None, None)
    )
    seconds = estimates(groups, clock.seconds)
    # Of the group that took least the slowest seed: by then all of its seeds have ended.
    shortest = max(seconds[rank(seconds).order[0]].values) if seconds else 0.0
    compared = groups if times_compare(chain.from_iterable(groups.values())) else {}
    # Every group is divided by the baseline of its own seeds.
    baselines = dict.fromkeys(groups, groups.get(BASELINE, ()))
    return _Numbers(
        errors=estimates(groups, measures.final(ERROR), images=images),
        tests=estimates(groups, measures.accuracy, images=tested),
        seconds=seconds,
        cost=ratios(groups, baselines, clock.seconds, key=of_one_machine),
        shortest=shortest,
        errors_in_time=estimates(
            compared, within(ERROR, shortest, clock=clock.field), images=images
        ),
        epochs_in_time=estimates(compared, within("epoch", shortest, clock=clock.field)),
    )


def _after_time(groups: Groups, numbers: _Numbers, clock: Clock) -> list[str]:
    if not times_compare(chain.from_iterable(groups.values())):
        return [
            "The runs were trained on different machines, so that equal times do not compare."
        ]
    if not numbers.errors_in_time:
        return []
    first = lead(numbers.errors_in_time, "validation error", percent)
    if len(numbers.errors_in_time) == 1:
        # The others have ended too, but for none of their epochs by then.
        ((label, error),) = numbers.errors_in_time.items()
        first = f"{label} had a validation error of {percent(error.mean)}."
    sentences = [
        f"Within {time_spent(numbers.shortest, clock)}, all that the shortest run took: {first}"
    ]
    late = [label for label in groups if label not in numbers.errors_in_time]
    if late:
        sentences.append(f"{names(late)} had not ended one epoch by then.")
    return sentences


def _caution(numbers: _Numbers, clock: Clock) -> str:
    sentences = [
        "The same runs look different by what is held equal. After equal updates, which are equal epochs here, a run "
        f"with M copies has processed M times the images of the baseline. In equal {clock.name} it has made fewer "
        "updates."
    ]
    if len(numbers.errors_in_time) > 1:
        sentences.append(
            "The runs with more copies are then early in their schedule, before the learning rate has come down: runs "
            "planned for that time alone, whose rate falls within it, would do better, so this comparison favours "
            f"{min(numbers.seconds, key=lambda label: numbers.seconds[label].mean)}."
        )
    return " ".join(sentences)


def _table(groups: Groups, numbers: _Numbers, clock: Clock) -> Table:
    leaders = rank(numbers.errors).leaders
    first = (
        "copies",
        "updates",
        "images processed",
        "validation error",
        "test accuracy",
        clock.name,
    )
    within_time = f"epochs in {duration(numbers.shortest)}" if groups else "epochs in that time"
    then = ("against M = 1", within_time, "validation error then")
    return Table(
        label="Equal comparisons",
        title="In bold where no validation error after equal updates is lower beyond chance",
        headings=(*first, *then),
        rows=tuple(_row(label, runs[0], numbers) for label, runs in groups.items()),
        bold=tuple(index for index, label in enumerate(groups) if label in leaders),
    )


def _row(label: str, result: RunResult, numbers: _Numbers) -> tuple[str, ...]:
    end = result.evaluations[-1]
    return (
        label,
        f"{end.step:,}",
        f"{end.samples * result.run.repeats:,}",
        _mean(numbers.errors.get(label), percent),
        _mean(numbers.tests.get(label), percent),
        _mean(numbers.seconds.get(label), duration),
        _mean(numbers.cost.get(label), times),
        _mean(
            numbers.epochs_in_time.get(label), lambda epochs: number(epochs, 3), missing="none"
        ),
        _mean(numbers.errors_in_time.get(label), percent),
    )


def _mean(estimate: Estimate | None, form: Callable[[float], str], missing: str = NONE) -> str:
    return missing if estimate is None else form(estimate.mean)


def _note(material: Material, workers: int) -> str:
    """Say how certain times are; nothing before a run has ended."""
    if not material.compared:
        return ""
    paces = estimates({"all": material.compared}, material.clock.drift)
    kind, exclusion = "Times", ""
    if material.clock is PROCESSOR:
        kind, exclusion = "Processor times", "what other work takes is not in them; "
    drift = "how far the pace of a run drifted is not known."
    if paces:
        drift = (
            f"the pace of a run drifted by up to {percent(max(paces['all'].values))} while it ran, so ratios of times "
            "are no more certain than that."
        )
    return f"{kind} were measured with {count(workers, 'run')} at once on one machine; {exclusion}{drift}"
