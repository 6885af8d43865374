"""How well all ten runs classify test images, and what dropout gains."""

from collections.abc import Mapping
from dataclasses import dataclass

from losslab.analysis.curves import Ranking, rank
from losslab.analysis.estimates import Estimate, differ
from losslab.analysis.measures import accuracy, estimates, side_by_side
from losslab.analysis.runs import Groups
from losslab.analysis.sentences import certainty, interval, lead
from losslab.studies.adaptive_optimizers.methods import TITLES, not_ranked
from losslab.tables import Table
from losslab.text import count, names, percent


@dataclass(frozen=True)
class Accuracy:
    """Test accuracy of the final weights.

    Attributes:
        answer: who has the highest.
        gain: for which methods dropout raised or lowered it; empty where no method has ended both ways.
        found: "without dropout", "with dropout" -> method -> accuracy.
        table: all of them.
        note: what the intervals are, and how certain the numbers.
    """

    answer: str
    gain: str
    found: Mapping[str, Mapping[str, Estimate]]
    table: Table
    note: str


def accuracies(plain: Groups, dropped: Groups, images: int | None) -> Accuracy:
    """Compare test accuracies without and with dropout.

    Args:
        plain: method -> runs without dropout.
        dropped: method -> runs with dropout.
        images: in the test set; None before a run has begun.
    """
    without, with_dropout = (
        estimates(plain, accuracy, images=images),
        estimates(dropped, accuracy, images=images),
    )
    found = {"without dropout": without, "with dropout": with_dropout}
    together = side_by_side(found)  # one ranking of all ten: the question is who is best at all
    planned = [f"{title} {way}" for way in found for title in TITLES.values()]
    return Accuracy(
        answer=lead(together, "test accuracy", percent, highest=True)
        + not_ranked(planned, together),
        gain=_gain(without, with_dropout),
        found=found,
        table=_table(together, rank(together, highest=True)),
        note=_note(together, images or 0),
    )


def _gain(without: Mapping[str, Estimate], with_dropout: Mapping[str, Estimate]) -> str:
    """Put every method that ended both ways in one sentence of up to three clauses."""
    verbs: dict[str, list[str]] = {"raised": [], "lowered": [], "left": []}
    for label, estimate in without.items():
        if label in with_dropout:
            verbs[_verb(estimate, with_dropout[label])].append(label)
    clauses = [(verb, labels) for verb, labels in verbs.items() if labels]
    # "test accuracy" is named once, in the first clause.
    subjects = ["test accuracy", *["it"] * len(clauses)]
    texts = [
        _clause(verb, subject, labels)
        for (verb, labels), subject in zip(clauses, subjects, strict=False)
    ]
    return f"Dropout {'; it '.join(texts)}." if texts else ""


def _verb(without: Estimate, with_dropout: Estimate) -> str:
    if not differ(without, with_dropout):
        return "left"
    return "raised" if with_dropout.mean > without.mean else "lowered"


def _clause(verb: str, subject: str, labels: list[str]) -> str:
    state = " the same within chance" if verb == "left" else ""
    return f"{verb} {subject}{state} for {names(labels)}"


def _table(found: Mapping[str, Estimate], ranking: Ranking) -> Table:
    rows = []
    for label in ranking.order:
        estimate = found[label]
        rows.append((label, percent(estimate.mean), interval(estimate), str(estimate.n)))
    return Table(
        "Test accuracy, highest first; bold where none is higher beyond chance",
        ("method", "test accuracy", "95 % interval", "n"),
        tuple(rows),
        label="Test accuracy",
        bold=tuple(
            index for index, label in enumerate(ranking.order) if label in ranking.leaders
        ),
    )


def _note(found: Mapping[str, Estimate], images: int) -> str:
    several = any(estimate.n > 1 for estimate in found.values())
    or_seeds = ", or Student's t over seeds where that is wider" if several else ""
    sentences = [
        f"Intervals are Wilson's for {count(images, 'test image')}, how much another draw of them would change the "
        f"number{or_seeds}."
        if images
        else "",
        certainty(found),
        "The final weights are tested, once; no epoch was picked by its test accuracy.",
    ]
    return " ".join(filter(None, sentences))
