"""Sentences about estimates that several studies share: plain text, computed."""

from collections.abc import Callable, Mapping

from losslab.analysis.curves import rank
from losslab.analysis.estimates import Estimate
from losslab.analysis.runs import ended_of
from losslab.study.results import StudyResults
from losslab.text import NONE, names, percent

NO_ANSWER = "No run that belongs here has ended well, so there is no answer."
Form = Callable[[float], str]
"""Writes a value."""


def lead(found: Mapping[str, Estimate], what: str, form: Form, *, highest: bool = False) -> str:
    """Say which group is first, and by how much, or which ones share the first rank.

    Args:
        found: label -> estimate.
        what: the quantity, as in "training loss".
        form: writes a value of it.
        highest: whether the highest is best.
    Example:
        >>> lead({"Adam": Estimate((0.5,)), "SGD": Estimate((0.7,))}, "loss", str)
        'Adam reached the lowest loss, 0.5, ahead of SGD with 0.7.'
    """
    if not found:
        return NO_ANSWER
    ranking = rank(found, highest=highest)
    values = {label: form(found[label].mean) for label in ranking.order}
    if len(found) == 1:
        ((label, value),) = values.items()
        return f"{label} has a {what} of {value}; nothing else has ended to compare it with."
    best = "highest" if highest else "lowest"
    if len(ranking.leaders) == 1:
        first, second = ranking.order[:2]
        return f"{first} reached the {best} {what}, {values[first]}, ahead of {second} with {values[second]}."
    # By label: a leader of wide spread may stand behind a group that is no leader.
    leading = [values[label] for label in ranking.leaders]
    # Compared as they are printed: two values that read alike are one to the reader.
    if len(set(leading)) == 1:
        share = f"share the {best} {what}, {leading[0]}"
        return f"{names(ranking.leaders)} {share}: what was measured does not tell them apart."
    leaders = [
        f"{label} ({value})" for label, value in zip(ranking.leaders, leading, strict=True)
    ]
    return f"{names(leaders)} have the {best} {what}, too close to rank."


def between(found: Mapping[str, Estimate], form: Form) -> str:
    """Write the range of estimates, with the groups at its ends.

    Example:
        >>> between({"Adam": Estimate((1.5,)), "SGD": Estimate((1.25,))}, str)
        '1.25 (SGD) to 1.5 (Adam)'
    """
    order = rank(found).order
    least, most = form(found[order[0]].mean), form(found[order[-1]].mean)
    return least if least == most else f"{least} ({order[0]}) to {most} ({order[-1]})"


def interval(estimate: Estimate) -> str:
    """Write the 95 % interval of a fraction, in percent; a dash where it is not known."""
    if estimate.interval is None:
        return NONE
    low, high = estimate.interval
    return f"{percent(low)} to {percent(high)}"


def certainty(found: Mapping[str, Estimate], *, with_spread: bool = True) -> str:
    """Say how certain the estimates are, by their number of seeds; empty where there are none.

    Args:
        found: label -> estimate.
        with_spread: whether their spread or intervals stand beside this sentence, which then says what they are.
    """
    seeds = [estimate.n for estimate in found.values()]
    if not seeds:
        return ""
    if max(seeds) == 1:
        return (
            "One seed each (n = 1): how much another seed would change these numbers is not known, so no interval over "
            "seeds is given."
        )
    amount = str(min(seeds)) if min(seeds) == max(seeds) else f"{min(seeds)} to {max(seeds)}"
    spread = (
        "; ± is the standard deviation over seeds, intervals are 95 %" if with_spread else ""
    )
    return f"Means over {amount} seeds{spread}."


def why_absent(results: StudyResults, name: str) -> str:
    """Say why a stage has no result: it was skipped, or too few of its runs have ended well.

    Args:
        results: of the study.
        name: of the stage.
    """
    for stage in results.plan["stages"]:
        # Where a part alone was skipped, the rest has runs, and their end is what is missing.
        if stage["name"] == name and stage.get("skipped") and not stage.get("runs"):
            return f"It was skipped, because {stage['skipped']}."
    if results.plan.get("ended"):
        return "Too few of its runs have ended well: the list of failed runs says why."
    ended, _ = ended_of(results, name)
    return (
        "Too few of its runs have ended so far." if ended else "None of its runs has ended yet."
    )
