"""The account of a network: its rows, and totals that are their sums."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from losslab.accounting.inputs import Inputs
from losslab.accounting.row import Fields, Row
from losslab.plots.files import draw
from losslab.plots.ledger_charts import by_layer
from losslab.tables import Table, frame
from losslab.tables.folding import HEADINGS, Line, lines_of, total_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONVENTION = (
    "MACs are the multiply-accumulates of convolutions and matrix products; MACs exclude bias; FLOPs = 2 MACs. "
    "Evaluation mode. Padding is counted as if it were data. Other arithmetic is listed apart."
)
SCREEN = 40
"""Rows that are read at a glance."""


@dataclass(frozen=True)
class Ledger:
    """What a network costs for one batch.

    Attributes:
        model: its name.
        inputs: what it was fed.
        batch_size: samples in the batch; every number is for the whole batch.
        rows: every operation that forms units or uses parameters, in the order in which they ran, the input first.
        apart: elementwise work and data movement, kept apart from MACs; their activations count nowhere.
        axes: for each number in a row's ``fields`` the input and the dimension.
        output_shapes: of the outputs, batch included.
        output_fields: what their units see, as in a row's ``fields``.
        notes: what a reader must know, such as the values of inputs under which the ledger holds, where the model
            looked at them.
        dtype: of the model's floats.
    """

    model: str
    inputs: Inputs
    batch_size: int
    rows: tuple[Row, ...]
    apart: tuple[Row, ...]
    axes: tuple[tuple[str, int], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    output_fields: tuple[Fields, ...]
    notes: tuple[str, ...] = ()
    dtype: torch.dtype = torch.float32

    @property
    def parameters(self) -> int:
        """Parameters, shared ones once."""
        return sum(int(row.parameters) for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and matrix products, bias excluded."""
        return sum(int(row.macs) for row in self.rows)

    @property
    def flops(self) -> int:
        """Two for each multiply-accumulate."""
        return 2 * self.macs

    @property
    def activations(self) -> int:
        """Elements of all rows, the input included."""
        return sum(int(row.activations) for row in self.rows)

    @property
    def status(self) -> str:
        """``complete``, or ``partial`` when an operation was not counted."""
        return "partial" if self.not_counted else "complete"

    @property
    def not_counted(self) -> tuple[Row, ...]:
        """The operations that no rule knows."""
        return tuple(row for row in self.rows if row.status == "not counted")

    @property
    def is_long(self) -> bool:
        """Whether it has more rows than are read at a glance; what a person reads has equal blocks folded then."""
        return len(self.rows) > SCREEN

    def totals(self, bytes_per_number: int | None = None) -> dict[str, int]:
        """The sums of the rows; bytes for numbers of this size, that of the model's dtype by default."""
        each = self.dtype.itemsize if bytes_per_number is None else bytes_per_number
        return {
            "parameters": self.parameters,
            "macs": self.macs,
            "flops": self.flops,
            "activations": self.activations,
            "parameter_bytes": self.parameters * each,
            "activation_bytes": self.activations * each,
        }

    def to_dict(self) -> dict[str, Any]:
        """The object that ``losslab count --format json`` prints."""
        shapes = {entry.name: list(entry.shape) for entry in self.inputs.each}
        return {
            "model": self.model,
            "input_shape": next(iter(shapes.values())) if len(shapes) == 1 else shapes,
            "batch_size": self.batch_size,
            "dtype": str(self.dtype).removeprefix("torch."),
            "convention": CONVENTION,
            "output_shapes": [list(shape) for shape in self.output_shapes],
            "rows": [row.to_dict() for row in self.rows],
            "apart": list(map(_apart, self.apart)),
            **self._sums,
        }

    @property
    def _sums(self) -> dict[str, Any]:
        """What the JSON object says of all rows together."""
        notes = {"notes": list(self.notes)} if self.notes else {}
        return {"status": self.status, "totals": self.totals(), **notes}

    def lines(self, *, fold: bool = False, depth: int | None = None) -> list[Line]:
        """The rows for reading: all of them, or with equal blocks folded, or each module of a depth in one line.

        Example:
            >>> from losslab.accounting import count
            >>> ledger = count("resnet-44")
            >>> [line.name for line in ledger.lines(depth=1)]
            ['input', 'conv1', 'bn1', 'stage1', 'stage2', 'stage3', 'average', 'fc']
        """
        return lines_of([row.to_dict() for row in self.rows], fold=fold, depth=depth)

    def table(
        self, *, show_work: bool = False, fold: bool = False, depth: int | None = None
    ) -> Table:
        """The rows and their total.

        Args:
            show_work: each number after the arithmetic that gave it.
            fold: equal blocks that follow each other in one line, ``x 32``.
            depth: parts of a name that remain, each module in one line; its equal neighbours fold.
        """
        lines = self.lines(fold=fold, depth=depth)
        rows = [line.cells(show_work=show_work) for line in lines]
        return Table(self.model, HEADINGS, (*rows, total_cells(self._sums)))

    def work_table(self, *, fold: bool = False, depth: int | None = None) -> Table:
        """Each line in words, and below it the arithmetic of its numbers: narrow enough for a terminal."""
        pairs: list[tuple[str, str]] = []
        for line in self.lines(fold=fold, depth=depth):
            pairs.append((line.name, line.words))
            pairs += [("", arithmetic) for arithmetic in line.arithmetic]
        totals = total_cells(self._sums)
        totals_in_words = (
            f"{totals[3]} activations, {totals[4]} parameters, {totals[5]} MACs; {totals[-1]}"
        )
        return Table(self.model, ("layer", "arithmetic"), (*pairs, ("total", totals_in_words)))

    def apart_table(self, *, fold: bool = False, depth: int | None = None) -> Table:
        """Elementwise work and data movement: elements read, kept apart from MACs."""
        lines = lines_of(list(map(_apart, self.apart)), fold=fold, depth=depth)
        rows = [(*line.cells()[:3], line.operations) for line in lines]
        return Table("apart from MACs", ("layer", "kind", "output", "operations"), tuple(rows))

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row for each layer; needs pandas."""
        rows = [row.to_dict() for row in self.rows]
        columns: dict[str, list[Any]] = {key: [] for key in rows[0]}
        for row in rows:
            for key, value in row.items():
                columns[key].append(value)
        return frame(columns)

    def plot(self) -> "Figure":
        """A matplotlib figure: MACs and parameters by layer, as bars; layers without either are left out."""
        counted = {self.model: self.to_dict()}
        macs = by_layer(
            "macs", f"{self.model}: multiply-accumulates", counted, "macs", "MACs", unit=1
        )
        parameters = by_layer(
            "parameters",
            f"{self.model}: parameters",
            counted,
            "parameters",
            "parameters",
            unit=1,
        )
        return draw([macs, parameters], columns=2)

    def _repr_html_(self) -> str:
        return self.table(fold=self.is_long).html()


def _apart(row: Row) -> dict[str, Any]:
    """A row of work apart from MACs as JSON, with the elements that it reads."""
    facts = row.to_dict()
    work = {**facts["work"], "operations": row.operations.shown}
    return {**facts, "operations": int(row.operations), "work": work}
