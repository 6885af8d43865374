"""Which learning rate each method got, and whether all were searched for with the same budget."""

from collections.abc import Mapping
from dataclasses import dataclass

from losslab.analysis.curves import Search, equal_budget, searches
from losslab.analysis.estimates import Estimate
from losslab.analysis.runs import group_runs
from losslab.spec import Run
from losslab.studies.adaptive_optimizers.methods import TITLES
from losslab.study.results import StudyResults
from losslab.tables import Table
from losslab.text import count, number, spread


@dataclass(frozen=True)
class LearningRates:
    """The learning rates that the methods are compared at.

    Attributes:
        answer: that of each method.
        budget: how much each method's search was given.
        edges: methods whose best lies at the end of those tried; may be empty.
        transfer: in what the runs compared at these rates differ from those of the search; may be empty.
        tried: method -> what was tried.
        table: every candidate with its loss; None before a run has begun.
    """

    answer: str
    budget: str
    edges: str
    transfer: str
    tried: Mapping[str, Search]
    table: Table | None


def learning_rates(results: StudyResults) -> LearningRates:
    """Read what the stage `search` found."""
    tried = searches(
        group_runs(results.stages.get("search", ()), ["optimizer.name"], TITLES), "lr"
    )
    return LearningRates(
        answer=_answer(tried),
        budget=_budget(tried),
        edges=_edges(tried),
        transfer=_transfer(results),
        tried=tried,
        table=_table(tried) if tried else None,
    )


def _answer(tried: Mapping[str, Search]) -> str:
    rates = [f"{label} {number(search.best)}" for label, search in tried.items() if search.best]
    if not rates:
        return "No search has ended yet, so no learning rate is chosen."
    return f"{', '.join(rates)}."


def _budget(tried: Mapping[str, Search]) -> str:
    # A method that had more candidates or longer trials would win by its search; so this is computed, not promised.
    if set(TITLES.values()) - tried.keys() or not equal_budget(tried):
        return "with budgets that are not equal, because runs are missing"
    candidates = max((len(search.tried) for search in tried.values()), default=0)
    return f"with the same budget for each ({count(candidates, 'candidate')} a method, equal epochs and images)"


def _edges(tried: Mapping[str, Search]) -> str:
    sentences = []
    for label, search in tried.items():
        if search.edge:
            sentences.append(
                f"{label}'s learning rate, {number(search.best)}, is the {search.edge} of those tried, so a better one "
                "may lie beyond."
            )
    return " ".join(sentences)


def _transfer(results: StudyResults) -> str:
    """Say in what the runs that are compared at the rates found differ from those of the search."""
    searched = [result.run for result in results.stages.get("search", ())]
    compared = [result.run for result in results.stages.get("compare", ())]
    if not searched or not compared:
        return ""
    differences = []
    epochs = max(run.epochs or 0 for run in searched)
    if any((run.epochs or 0) > epochs for run in compared):
        differences.append(f"for {count(round(epochs), 'epoch')}")
    if any(map(_drops_units, compared)) and not any(map(_drops_units, searched)):
        differences.append("without dropout")
    if not differences:
        return ""
    return (
        f"The search trained {' and '.join(differences)}: for the other runs, which take the same rates, others may "
        "be better."
    )


def _drops_units(run: Run) -> bool:
    return bool(run.model.options.get("hidden_dropout"))


def _table(tried: Mapping[str, Search]) -> Table:
    rows, strong = [], set()
    for index, (label, search) in enumerate(tried.items()):
        entries = {lr: _entry(lr, estimate) for lr, estimate in search.tried.items()}
        end = f" ({search.edge} tried)" if search.edge else ""
        rows.append((label, "; ".join(entries.values()), f"{number(search.best)}{end}"))
        if search.best is not None:
            strong.add((index, entries[search.best]))
    return Table(
        "Final validation loss of each candidate, in the order of the learning rates; the chosen in bold",
        ("method", "tried: learning rate → loss", "chosen"),
        tuple(rows),
        label="Learning rates tried",
        lists=(1,),
        strong=frozenset(strong),
    )


def _entry(lr: float, loss: Estimate | None) -> str:
    return f"{number(lr)} → {spread(loss) if loss else 'no result'}"
