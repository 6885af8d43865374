"""What the study found about five adaptive optimizers: sentences, tables, numbers to draw."""

from dataclasses import dataclass

from losslab.analysis.runs import Groups, group_runs, where
from losslab.analysis.sentences import certainty
from losslab.studies.adaptive_optimizers.accuracy import Accuracy, accuracies
from losslab.studies.adaptive_optimizers.dropout import Dropout, dropout_changes
from losslab.studies.adaptive_optimizers.losses import Losses, losses
from losslab.studies.adaptive_optimizers.methods import TITLES, Rule, rules
from losslab.studies.adaptive_optimizers.search import LearningRates, learning_rates
from losslab.study.results import StudyResults


@dataclass(frozen=True)
class Findings:
    """The answers of the study.

    Attributes:
        summary: (subject, what was found).
        order: the methods, which gives each its colour.
        rules: question 1.
        search: the learning rates.
        plain: question 2, without dropout.
        dropped: question 3, with dropout.
        dropout: what dropout changes in loss and time.
        accuracy: question 4.
    """

    summary: tuple[tuple[str, str], ...]
    order: tuple[str, ...]
    rules: tuple[Rule, ...]
    search: LearningRates
    plain: Losses
    dropped: Losses
    dropout: Dropout
    accuracy: Accuracy


def findings(results: StudyResults) -> Findings:
    """Find all that the page of the study says of its records."""
    search = learning_rates(results)
    plain, dropped = _groups(results, hidden_dropout=0.0), _groups(results, hidden_dropout=0.5)
    plain_losses, dropped_losses = (
        losses(plain, "without dropout"),
        losses(dropped, "with dropout"),
    )
    dropout = dropout_changes(plain, dropped, workers=results.workers)
    accuracy = accuracies(plain, dropped, _test_images(results))
    summary = (
        ("Training loss.", plain_losses.answer),
        ("With dropout.", dropped_losses.answer),
        ("What dropout changes.", dropout.rise),
        ("Time.", dropout.time),
        ("Test accuracy.", f"{accuracy.answer} {accuracy.gain}".strip()),
        # Last, as it limits all above: a best rate at the edge of its search, and how many seeds there are.
        ("Caution.", f"{search.edges} {certainty(plain_losses.lowest)}".strip()),
    )
    return Findings(
        summary=tuple((subject, sentences) for subject, sentences in summary if sentences),
        # Of all methods, so that one keeps its colour where another has no run; then those that a copy has added.
        order=tuple(dict.fromkeys([*TITLES.values(), *search.tried, *plain, *dropped])),
        rules=rules(),
        search=search,
        plain=plain_losses,
        dropped=dropped_losses,
        dropout=dropout,
        accuracy=accuracy,
    )


def _groups(results: StudyResults, *, hidden_dropout: float) -> Groups:
    """Group the runs with this much dropout by method."""
    runs = where(results.stages.get("compare", ()), "model.hidden_dropout", hidden_dropout)
    return group_runs(runs, ["optimizer.name"], TITLES)


def _test_images(results: StudyResults) -> int | None:
    starts = [result.start for result in results.stages.get("compare", ()) if result.start]
    return starts[0].test_images if starts else None
