"""A ledger in a notebook: table, DataFrame, figure."""

from typing import TYPE_CHECKING, Any

from losslab import notebook
from losslab.accounting.render import as_json, as_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.accounting.ledger import Ledger


def html(ledger: "Ledger") -> str:
    """The table that ``losslab count`` prints."""
    table = as_table(ledger)
    return notebook.html(table.rows, table.headings)


def frame(ledger: "Ledger") -> Any:
    """A row for each layer."""
    rows = as_json(ledger)["rows"]
    return notebook.frame({key: [row[key] for row in rows] for key in rows[0]})


def figure(ledger: "Ledger") -> "Figure":
    """MACs and parameters by layer, as bars; layers without either are left out."""
    from matplotlib.figure import Figure

    rows = [row for row in ledger.rows if int(row.macs) or int(row.parameters)]
    made = Figure(figsize=(9, 1.2 + 0.22 * len(rows)), layout="constrained")
    for axes, quantity in zip(made.subplots(1, 2, sharey=True), ("macs", "parameters"), strict=True):
        axes.barh([row.name.replace("$", r"\$") for row in rows], [int(getattr(row, quantity)) for row in rows])
        axes.set_xlabel("MACs" if quantity == "macs" else quantity)
    axes.invert_yaxis()
    made.suptitle(ledger.model.replace("$", r"\$"))
    return made
