"""When the runs reached an accuracy, and how good those were that never did."""

from collections.abc import Callable, Mapping
from itertools import chain
from math import floor

from losslab.analysis.clocks import Clock, times_compare
from losslab.analysis.curves import rank
from losslab.analysis.estimates import Estimate
from losslab.analysis.measures import estimates, lowest, reading
from losslab.analysis.runs import Groups, run_ids
from losslab.analysis.sentences import NO_ANSWER, interval
from losslab.studies.batch_augmentation.runs import time_spent
from losslab.tables import Table
from losslab.text import NONE, duration, names, number, percent

TARGET = 0.94


def reached(groups: Groups, accuracy: float, clock: Clock) -> str:
    """Say which of the groups reached an accuracy and when; where none did, the best of them."""
    # Means are over the seeds that reached it; the table says how many of all these are.
    hits = estimates(groups, reading("epoch", accuracy=accuracy))
    if not groups:
        return NO_ANSWER
    if not hits:
        return _nearest(groups, accuracy, clock)
    best = estimates(groups, reading("best_accuracy", accuracy=accuracy))
    misses = [label for label in groups if label not in hits]
    partial = [label for label in hits if hits[label].n < best[label].n]
    others = f"; {names(misses)} did not" if misses else ""
    shares = [f"{label}{_share(hits[label], best[label])}" for label in hits]
    answer = f"{names(shares)} reached {_goal(accuracy)}{others}."
    # The seeds that reached it say nothing of those that did not.
    whole = {label: hit for label, hit in hits.items() if label not in partial}
    if not whole:
        return answer
    times = estimates(
        {label: groups[label] for label in whole}, reading(clock.field, accuracy=accuracy)
    )
    if len(whole) == 1:
        (label,) = whole
        epochs = number(whole[label].mean, 3)
        length = f"{epochs} epoch{'' if epochs == '1' else 's'}"
        every = " with every seed" if partial else ""
        return f"{answer} {label} did so{every} after {length} and {time_spent(times[label].mean, clock)}."
    soonest, epochs = _leaders(whole, lambda value: number(value, 3))
    among = "Of those that did with every seed, " if partial else ""
    by_epochs = f"{answer} {among}{soonest} did so in the fewest epochs{epochs}"
    if not times_compare(chain.from_iterable(groups.values())):
        return f"{by_epochs}; as the runs were trained on different machines, their times do not compare."
    fastest, seconds = _leaders(times, duration)
    return f"{by_epochs}, and {fastest} in the least {clock.name}{seconds}."


def _leaders(found: Mapping[str, Estimate], form: Callable[[float], str]) -> tuple[str, str]:
    """Name those that share the lowest value, each with its own, or with one after them where all read alike."""
    leaders = {label: form(found[label].mean) for label in rank(found).leaders}
    values = list(dict.fromkeys(leaders.values()))
    if len(values) == 1:
        return names(list(leaders)), f", {values[0]}"
    return names([f"{label} ({value})" for label, value in leaders.items()]), ""


def _nearest(groups: Groups, accuracy: float, clock: Clock) -> str:
    best = estimates(groups, reading("best_accuracy", accuracy=accuracy))
    label = rank(best, highest=True).order[0]
    epoch = estimates(groups, reading("best_epoch", accuracy=accuracy))[label]
    seconds = estimates(groups, reading(f"best_{clock.field}", accuracy=accuracy))[label]
    return (
        f"No M reached {_goal(accuracy)}, so there is no time to it. The best was {_below(best[label].mean, accuracy)} "
        f"({label}, epoch {number(epoch.mean, 3)}, after {time_spent(seconds.mean, clock)})."
    )


def _below(value: float, goal: float) -> str:
    """A fraction that missed a goal, with as many digits as show that."""
    if percent(value) != percent(goal):
        return percent(value)
    return f"{floor(1e4 * value) / 100:.2f} %"


def _goal(accuracy: float) -> str:
    return f"{number(100 * accuracy, 3)} % validation accuracy"


def target_table(label: str, groups: Groups, clock: Clock, images: int | None) -> Table:
    """Tabulate when each group reached the target, beside the best accuracy that it had.

    Args:
        label: what the table shows, for those who do not see it.
        groups: label -> runs.
        clock: what their times are compared by.
        images: how many validation images there are.
    """
    hits = estimates(groups, reading("epoch", accuracy=TARGET))
    steps = estimates(groups, reading("step", accuracy=TARGET))
    times = estimates(groups, reading(clock.field, accuracy=TARGET))
    best = estimates(groups, reading("best_accuracy", accuracy=TARGET), images=images)
    epochs = estimates(groups, reading("best_epoch", accuracy=TARGET))
    seconds = estimates(groups, reading(f"best_{clock.field}", accuracy=TARGET))
    rows = []
    for group in groups:
        first = ("missed", NONE, NONE)  # no time is made up for a run that never got there
        if group in hits:
            first = (
                f"{number(hits[group].mean, 3)}{_share(hits[group], best[group])}",
                number(steps[group].mean),
                duration(times[group].mean),
            )
        mean = best[group].mean
        shown = percent(mean) if group in hits else _below(mean, TARGET)
        accuracy = (shown, interval(best[group]))
        when = (number(epochs[group].mean, 3), duration(seconds[group].mean))
        rows.append((group, *first, *accuracy, *when, str(best[group].n)))
    return Table(
        label=label,
        title=(
            "To 94 % validation accuracy; a miss is a miss. Beside it the best accuracy of each run, with its epoch "
            f"and {clock.name}"
        ),
        headings=(
            *("copies", "epochs to 94 %", "updates", clock.name),
            *("best accuracy", "95 % interval", "at epoch", "after", "n"),
        ),
        rows=tuple(rows),
        records=run_ids(groups.values()),
    )


def highest_common(groups: Groups) -> float:
    """Find the highest whole percentage of validation accuracy that every run reached; a fraction, 0 without runs."""
    lowest_errors = estimates(groups, lowest("validation_error"))
    hardest = max((max(estimate.values) for estimate in lowest_errors.values()), default=1.0)
    # An accuracy of 0.29 is 28.999... percent in binary; the small summand keeps it at 29.
    return int(100 * (1 - hardest) + 1e-9) / 100


def common_table(groups: Groups, accuracy: float, clock: Clock) -> Table:
    """Tabulate when each group reached an accuracy that all of them reached."""
    goal = number(100 * accuracy)
    hits = estimates(groups, reading("epoch", accuracy=accuracy))
    steps = estimates(groups, reading("step", accuracy=accuracy))
    times = estimates(groups, reading(clock.field, accuracy=accuracy))
    rows = []
    for group in groups:
        rows.append(
            (
                group,
                number(hits[group].mean, 3),
                number(steps[group].mean),
                duration(times[group].mean),
            )
        )
    return Table(
        label=f"Time to {goal} percent",
        title="The highest whole percentage that all runs reached: it compares them where 94 % is out of reach",
        headings=("copies", f"epochs to {goal} %", "updates", clock.name),
        rows=tuple(rows),
    )


def near_drop(literal: Groups) -> str:
    """Say which groups reached the target right after the learning rate's first drop; nothing where none did."""
    if not literal:
        return ""
    lr = next(iter(literal.values()))[0].run.lr
    if isinstance(lr, float):
        return ""
    drop = lr.options["epochs"][0]
    hits = estimates(literal, reading("epoch", accuracy=TARGET))
    # Error falls steeply within an epoch or two of a drop, whatever M is.
    near = [group for group, hit in hits.items() if drop < hit.mean <= drop + 2]
    if not near:
        return ""
    by_drop = f"{names(near)} did so within two epochs of the drop at epoch {drop}"
    return f"{by_drop}: that time measures the schedule, not M."


def _share(hits: Estimate, runs: Estimate) -> str:
    return f" ({hits.n} of {runs.n} seeds)" if hits.n < runs.n else ""
