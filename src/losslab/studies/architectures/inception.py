"""The inception module: what comes out, what it costs, and what dimension reduction saves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from losslab.studies.architectures.ledgers import Ledger, Row, exact, filters, fraction, sides
from losslab.tables import Table
from losslab.text import measured, percent, shape


@dataclass(frozen=True)
class Comparison:
    """Both modules side by side.

    Attributes:
        dearest: MACs of the dearest layer of both, against which the drawings show costs.
        sides: height and width, which padding keeps.
        concatenation: which maps add up to the output.
        operations: every layer's cost, a table for each module.
        problem: why the naive module is dear.
        growth: what a second naive module would cost.
        savings: by branch.
        saved: in all, and where reduction costs more.
    """

    dearest: int
    sides: str
    concatenation: str
    operations: tuple[Table, ...]
    problem: str
    growth: str
    savings: Table
    saved: str


@dataclass(frozen=True)
class Inception:
    """Question 4.

    Attributes:
        sizes: the outputs after concatenation; empty before a module is counted.
        cost: what reduction saves; empty before both are compared.
        modules: label -> ledger.
        comparison: None before both modules are counted and compared.
    """

    sizes: str
    cost: str
    modules: Mapping[str, Ledger]
    comparison: Comparison | None


def inception_of(ledgers: Mapping[str, Ledger]) -> Inception:
    """Answer question 4.

    Args:
        ledgers: model -> ledger.
    """
    naive, reduced = ledgers.get("inception-naive"), ledgers.get("inception-reduced")
    modules = {}
    if naive:
        modules["naive"] = naive
    if reduced:
        modules["with reduction"] = reduced
    # The count of the naive one holds both side by side.
    compared = naive.get("compare") if naive else None
    comparison = (
        _comparison(naive, reduced, compared) if naive and reduced and compared else None
    )
    return Inception(_sizes(modules), _cost(compared) if compared else "", modules, comparison)


def _sizes(modules: Mapping[str, Ledger]) -> str:
    if not modules:
        return ""
    outputs = [f"{shape(_output(ledger))} ({label})" for label, ledger in modules.items()]
    return f"The outputs after concatenation are {' and '.join(outputs)}."


def _output(ledger: Ledger) -> list[int]:
    """The shape of one sample's output."""
    output: list[int] = ledger["output_shapes"][0][1:]
    return output


def _cost(compared: dict[str, Any]) -> str:
    saved = compared["macs_saved"]
    return (
        f"The naive module needs {exact(compared['model']['macs'])} multiply-accumulates, the one with dimension "
        f"reduction {exact(compared['other']['macs'])}: reduction {'saves' if saved >= 0 else 'costs'} "
        f"{exact(abs(saved))} of them, {percent(abs(compared['macs_saved_fraction']))}, a factor of "
        f"{measured(compared['macs_ratio'], 3)}."
    )


def _comparison(naive: Ledger, reduced: Ledger, compared: dict[str, Any]) -> Comparison:
    modules = {"naive": naive, "with reduction": reduced}
    return Comparison(
        dearest=max(row["macs"] for row in [*naive["rows"], *reduced["rows"]]),
        sides=shape(naive["input_shape"]).rpartition("×")[0],
        concatenation="; ".join(
            _concatenation(label, ledger) for label, ledger in modules.items()
        ),
        operations=tuple(_operations(label, ledger) for label, ledger in modules.items()),
        problem=_problem(naive, compared),
        growth=_growth(naive),
        savings=_savings(compared),
        saved=" ".join([*_dearer_branches(compared), _saved(naive, reduced, compared)]),
    )


def _concatenation(label: str, ledger: Ledger) -> str:
    # The last layer of a branch gives its maps, so that later rows replace earlier ones.
    maps = {_branch(row): row["output_shape"][0] for row in ledger["rows"][1:]}
    return f"{label} {' + '.join(map(str, maps.values()))} = {sum(maps.values())}"


def _branch(row: Row) -> str:
    name: str = row["name"]
    return name.partition(".")[0]


def _operations(label: str, ledger: Ledger) -> Table:
    whole = ledger["totals"]["macs"]
    rows = []
    for row in ledger["rows"][1:]:
        output, part = shape(row["output_shape"]), fraction(row["macs"], whole)
        rows.append((sides(_branch(row)), filters(row), output, row["work"]["macs"], part))
    rows.append(("total", "", shape(_output(ledger)), exact(whole), ""))
    return Table(
        f"{label.capitalize()}: output height × width × filters × (kernel × input maps)",
        ("branch", "layer", "output", "multiply-accumulates", "of the module"),
        tuple(rows),
        label=f"Operations of the module, {label}",
        lists=(1,),
        work=(3,),
        total=True,
    )


def _problem(naive: Ledger, compared: dict[str, Any]) -> str:
    costly = max(compared["groups"], key=lambda group: group["macs"])
    maps, outputs = naive["input_shape"][0], _output(naive)[0]
    return (
        f"The naive module is dear because its large kernels read all {maps} maps: the {sides(costly['name'])} branch "
        f"alone is {fraction(costly['macs'], naive['totals']['macs'])} of its cost. And it grows: pooling hands all "
        f"its maps on, so that {outputs} come out where {maps} went in."
    )


def _growth(naive: Ledger) -> str:
    maps, outputs = naive["input_shape"][0], _output(naive)[0]
    # Every kernel reads all maps, so that the cost is in proportion to them; pooling, which has no MACs, is not.
    second = naive["totals"]["macs"] * outputs // maps
    return (
        f"A second naive module of the same filters on these {outputs} maps would need {exact(second)} "
        f"multiply-accumulates, {measured(outputs / maps, 3)} times the first, and hand on "
        f"{exact(outputs + outputs - maps)} maps."
    )


def _savings(compared: dict[str, Any]) -> Table:
    naive, reduced = compared["model"], compared["other"]
    numbers = {"macs": naive["macs"], "other_macs": reduced["macs"]}
    parameters = {"parameters": naive["parameters"], "other_parameters": reduced["parameters"]}
    groups = [*compared["groups"], {"name": "total", **numbers, **parameters}]
    macs = ("naive, MACs", "reduced, MACs", "saved, MACs", "saved")
    return Table(
        "Multiply-accumulates and parameters by branch",
        ("branch", *macs, "naive, parameters", "reduced, parameters"),
        tuple(map(_saving, groups)),
        label="What reduction saves by branch",
        total=True,
    )


def _saving(group: dict[str, Any]) -> tuple[str, ...]:
    saved = group["macs"] - group["other_macs"]
    # Pooling alone costs nothing in the naive module, so that its share has no whole and is a dash.
    macs = (
        exact(group["macs"]),
        exact(group["other_macs"]),
        exact(saved),
        fraction(saved, group["macs"]),
    )
    return (
        sides(group["name"]),
        *macs,
        exact(group["parameters"]),
        exact(group["other_parameters"]),
    )


def _dearer_branches(compared: dict[str, Any]) -> list[str]:
    """Name the branches that a 1×1 convolution makes dearer, each the beginning of a sentence."""
    clauses = []
    for group in compared["groups"]:
        more = group["other_macs"] - group["macs"]
        if more > 0:
            branch = sides(group["name"])
            clauses.append(
                f"The {branch} branch costs {exact(more)} more than before, because of its 1×1 convolution;"
            )
    return clauses


def _saved(naive: Ledger, reduced: Ledger, compared: dict[str, Any]) -> str:
    work = percent(compared["macs_saved_fraction"])
    parameters = fraction(compared["parameters_saved"], compared["model"]["parameters"])
    return (
        f"in all {work} of the work and {parameters} of the parameters are saved, and {_output(reduced)[0]} maps are "
        f"handed on in place of {_output(naive)[0]}."
    )
