"""One row of a ledger: its numbers as formulas, and what it is as JSON."""

from dataclasses import dataclass
from typing import Any

from losslab.accounting.formulas import NOTHING, Formula
from losslab.accounting.receptive_field import Field

Fields = tuple[tuple[int, Field | None], ...]
"""Number of an input's axis and what a unit sees along it; None where that is unbounded or cannot be known."""


@dataclass(frozen=True)
class Row:
    """One line of a ledger; its numbers are formulas, so what is printed is what was computed.

    Attributes:
        name: path of the module, and what it did there when that is not clear from the path.
        kind: ``conv``, ``linear``, ``matmul``, ``pool``, ``norm``, ``embedding`` and so on.
        output_shape: of one sample, where the result has the batch in front; else the whole.
        activations: elements of the result; 0 for elementwise work and copies, which are rows only where they use
            parameters first.
        parameters: those that no row above has used.
        macs: multiply-accumulates.
        operations: elements that other arithmetic reads.
        fields: what a unit sees, for each axis of the inputs that reaches it.
        detail: kernel, stride and the like in words.
        sizes: the arithmetic of the output's sides, where a window slides.
        status: ``counted``, ``not counted`` (no rule knows the operation) or ``not run`` (parameters of a part that
            this run did not use).
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    activations: Formula
    parameters: Formula = NOTHING
    macs: Formula = NOTHING
    operations: Formula = NOTHING
    fields: Fields = ()
    detail: str = ""
    sizes: tuple[Formula, ...] = ()
    status: str = "counted"

    @property
    def work(self) -> dict[str, str]:
        """The arithmetic of every number as text."""
        parts = {
            "activations": self.activations,
            "parameters": self.parameters,
            "macs": self.macs,
        }
        shown = {name: formula.shown for name, formula in parts.items()}
        if self.sizes:
            shown["output_size"] = "; ".join(size.shown for size in self.sizes)
        return shown

    def to_dict(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "name": self.name,
            "kind": self.kind,
            "output_shape": list(self.output_shape),
            "activations": int(self.activations),
            "parameters": int(self.parameters),
            "macs": int(self.macs),
            "receptive_field": _receptive_field(self.fields),
            "status": self.status,
            "detail": self.detail,
            "work": self.work,
        }


def _receptive_field(fields: Fields) -> dict[str, list[Any]] | str | None:
    """Per axis of the input; the word alone where every axis is unbounded; None where no axis reaches the row."""
    along_axes = [seen for _, seen in fields]
    if not along_axes:
        return None
    if not any(along_axes):
        return "unbounded"
    return {
        "size": [seen.size if seen else "unbounded" for seen in along_axes],
        "stride": [float(seen.stride) if seen else None for seen in along_axes],
        "padding": [seen.padding if seen else None for seen in along_axes],
        "centre": [seen.centre if seen else None for seen in along_axes],
        "at_most": [seen.at_most if seen else False for seen in along_axes],
    }
