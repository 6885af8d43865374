"""A ledger in a notebook: table, DataFrame, figure."""

from typing import TYPE_CHECKING, Any

from losslab import notebook
from losslab.accounting.render import as_json, as_table
from losslab.plots.charts import by_layer
from losslab.plots.files import draw

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
    counted = {ledger.model: as_json(ledger)}
    macs = by_layer("macs", f"{ledger.model}: multiply-accumulates", counted, "macs", "MACs", unit=1)
    parameters = by_layer("parameters", f"{ledger.model}: parameters", counted, "parameters", "parameters", unit=1)
    return draw([macs, parameters], columns=2)
