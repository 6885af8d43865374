"""The account of a network: one row for each operation that forms units, and totals that are their sums."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from losslab.accounting.formulas import NOTHING, Formula, repeated, times, units
from losslab.accounting.inputs import Inputs
from losslab.accounting.layout import Layout
from losslab.accounting.operations import APART
from losslab.accounting.receptive_field import Field
from losslab.accounting.trace import Step, Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONVENTION = (
    "MACs are the multiply-accumulates of convolutions and matrix products; MACs exclude bias; FLOPs = 2 MACs. "
    "Evaluation mode. Padding is counted as if it were data. Other arithmetic is listed apart."
)

Fields = tuple[tuple[int, Field | None], ...]
"""Number of an input's axis and what a unit sees along it; None where that is unbounded or cannot be known."""


@dataclass(frozen=True)
class Row:
    """One line of a ledger; its numbers are formulas, so what is printed is what was computed.

    Attributes:
        name: path of the module, and what it did there when that is not clear from the path.
        kind: ``conv``, ``linear``, ``matmul``, ``pool``, ``norm``, ``embedding`` and so on.
        output_shape: of one sample, where the result has the batch in front; else the whole.
        activations: elements of the result.
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
        parts = {"activations": self.activations, "parameters": self.parameters, "macs": self.macs}
        shown = {name: formula.shown for name, formula in parts.items()}
        return shown | ({"output_size": "; ".join(size.shown for size in self.sizes)} if self.sizes else {})


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
    """

    model: str
    inputs: Inputs
    batch_size: int
    rows: tuple[Row, ...]
    apart: tuple[Row, ...]
    axes: tuple[tuple[str, int], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    output_fields: tuple[Fields, ...]

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

    def totals(self, bytes_per_number: int = 4) -> dict[str, int]:
        """The sums of the rows; bytes for numbers of this size, float32 unless told."""
        return {
            "parameters": self.parameters,
            "macs": self.macs,
            "flops": self.flops,
            "activations": self.activations,
            "parameter_bytes": self.parameters * bytes_per_number,
            "activation_bytes": self.activations * bytes_per_number,
        }

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row for each layer; needs pandas."""
        from losslab.accounting.notebook import frame

        return frame(self)

    def plot(self) -> "Figure":
        """MACs and parameters by layer, as a matplotlib figure."""
        from losslab.accounting.notebook import figure

        return figure(self)

    def _repr_html_(self) -> str:
        from losslab.accounting.notebook import html

        return html(self)


def make_ledger(model: str, trace: Trace, batch_size: int) -> Ledger:
    """The ledger of a trace: equal steps within one call of a module become one row, and every name is its own."""
    merged = _merged(trace.steps)
    names = _named([step for step, _ in merged])
    rows = [_row(name, *group, batch_size) for name, group in zip(names, merged, strict=True)]
    rows += [
        Row(name, "parameters", shape, NOTHING, times(*shape), status="not run", detail="not used in evaluation mode")
        for name, shape in trace.unused.items()
    ]
    listed = [row for row in rows if row.kind not in APART or row.parameters]
    apart = [row for row in rows if row.kind in APART and not row.parameters]
    return Ledger(
        model=model,
        inputs=trace.inputs,
        batch_size=batch_size,
        rows=tuple(listed),
        apart=tuple(apart),
        axes=tuple(trace.axes),
        output_shapes=tuple(shape for shape, _ in trace.outputs),
        output_fields=tuple(_fields(layout) for _, layout in trace.outputs),
    )


def _merged(steps: Iterable[Step]) -> list[tuple[Step, int]]:
    """Equal steps within one call of a module (the time steps of a recurrent layer, say), with their count."""
    groups: list[tuple[Step, int]] = []
    latest: dict[Hashable, int] = {}
    for step in steps:
        key = (step.module, step.visit, step.work, step.shape, _fields(step.layout))
        if key in latest and not step.parameters:
            first, count = groups[latest[key]]
            groups[latest[key]] = (first, count + 1)
        else:
            latest[key] = len(groups)
            groups.append((step, 1))
    return groups


def _fields(layout: Layout) -> Fields:
    return tuple((axis, layout.fields.get(axis)) for axis in sorted(layout.axes))


def _row(name: str, step: Step, count: int, batch_size: int) -> Row:
    work, shape = step.work, step.shape
    in_batches = bool(shape) and shape[0] == batch_size
    sample = shape[1:] if in_batches else shape
    return Row(
        name=name,
        kind=work.kind,
        output_shape=sample,
        activations=repeated(count, units(sample, batch_size if in_batches else 1)),
        parameters=step.parameters,
        macs=repeated(count, work.macs),
        operations=repeated(count, work.operations),
        fields=_fields(step.layout),
        detail=work.detail,
        sizes=work.sizes,
        status="counted" if work.counted else "not counted",
    )


def _named(steps: Sequence[Step]) -> list[str]:
    """A name of its own for each step: the module's path, with what it did there where it did several things."""
    per_call = Counter((step.module, step.visit) for step in steps)
    used: Counter[str] = Counter()
    names = []
    for step in steps:
        did = step.work.detail if step.work.kind in APART and step.work.detail else step.work.kind
        alone = step.module and per_call[step.module, step.visit] == 1
        name = step.module if alone else ".".join(filter(None, (step.module, did)))
        used[name] += 1
        names.append(name if used[name] == 1 else f"{name}#{used[name]}")
    return names
