"""The five methods: their update rules, terms and hyperparameters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from losslab.analysis.estimates import Estimate
from losslab.optimizers import OPTIMIZERS
from losslab.optimizers.method import Method
from losslab.tables import Table
from losslab.text import names

METHODS = ("adagrad", "rmsprop", "rmsprop-nesterov", "adadelta", "adam")
TITLES = {name: OPTIMIZERS[name].title for name in METHODS}
"""Name -> what a reader knows the method by."""

FEW = 4
"""So many names make a sentence; more are counted."""


def not_ranked(labels: Iterable[str], found: Mapping[str, Estimate]) -> str:
    """Name those that cannot be ranked, where some can; begins with a blank."""
    # A method that diverged is no loser by its number; left out in silence it would look like one that was not tried.
    missing = [label for label in labels if label not in found]
    if not missing or not found:
        return ""
    if len(missing) == 1:
        return f" {missing[0]} has no finished run here and is not ranked."
    if len(missing) > FEW:
        return f" {len(missing)} others have no finished run here and are not ranked."
    return f" {names(missing)} have no finished run here and are not ranked."


@dataclass(frozen=True)
class Rule:
    """A method.

    Attributes:
        name: in specs.
        title: for readers.
        equations: the update of one step, LaTeX, a line each.
        hyperparameters: name, default, and what it is.
        terms: symbol and what it is.
        versus_rmsprop: what it does otherwise than RMSProp; may be empty.
        differences: where other libraries define or default it differently.
        reference: the paper or book.
    """

    name: str
    title: str
    equations: tuple[str, ...]
    hyperparameters: Table
    terms: Table
    versus_rmsprop: str
    differences: str
    reference: str


def rules() -> tuple[Rule, ...]:
    """Describe the five methods in their order."""
    return tuple(_rule(name, OPTIMIZERS[name]) for name in METHODS)


def _rule(name: str, method: type[Method]) -> Rule:
    return Rule(
        name,
        method.title,
        method.equations,
        _hyperparameters(method),
        _terms(method),
        method.versus_rmsprop,
        method.differences,
        method.reference,
    )


def _hyperparameters(method: type[Method]) -> Table:
    rows = [
        (
            "lr",
            str(method.default_lr),
            "learning rate; searched for below, not left at its default",
        )
    ]
    for name, field in method.model_fields.items():
        if name != "name":  # it says which method, and is no option of one
            rows.append((name, str(field.default), field.description or ""))
    headings = ("name", "default", "what, and whose default")
    return Table(
        "", headings, tuple(rows), label=f"Hyperparameters of {method.title}", words=(1, 2)
    )


def _terms(method: type[Method]) -> Table:
    rows = tuple(method.terms.items())
    return Table(
        "",
        ("symbol", "what it is"),
        rows,
        label=f"Terms of {method.title}",
        formulas=(0,),
        words=(1,),
    )
