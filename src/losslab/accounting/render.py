"""A ledger as one JSON object and as tables."""

from typing import Any

from losslab.accounting.compare import Comparison, Group
from losslab.accounting.ledger import CONVENTION, Ledger, Row
from losslab.accounting.memory import TrainingMemory
from losslab.accounting.table import Table


def as_json(ledger: Ledger, *, memory: TrainingMemory | None = None, comparison: Comparison | None = None) -> Any:
    """The object that ``losslab count --format json`` prints."""
    shapes = {one.name: list(one.shape) for one in ledger.inputs.each}
    return {
        "model": ledger.model,
        "input_shape": next(iter(shapes.values())) if len(shapes) == 1 else shapes,
        "batch_size": ledger.batch_size,
        "dtype": "float32",
        "convention": CONVENTION,
        "status": ledger.status,
        "output_shapes": [list(shape) for shape in ledger.output_shapes],
        "rows": [_row(row) for row in ledger.rows],
        "apart": [_row(row) | {"operations": int(row.operations)} for row in ledger.apart],
        "totals": ledger.totals(),
        **({"memory": memory.as_dict()} if memory else {}),
        **({"compare": comparison.as_dict()} if comparison else {}),
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "kind": row.kind,
        "output_shape": list(row.output_shape),
        "activations": int(row.activations),
        "parameters": int(row.parameters),
        "macs": int(row.macs),
        "receptive_field": _receptive_field(row),
        "status": row.status,
        "detail": row.detail,
        "work": row.work,
    }


def _receptive_field(row: Row) -> dict[str, list[Any]] | str | None:
    """Per axis of the input; the word alone where every axis is unbounded; None where no axis reaches the row."""
    fields = [seen for _, seen in row.fields]
    if not any(fields):
        return "unbounded" if fields else None
    return {
        "size": [seen.size if seen else "unbounded" for seen in fields],
        "stride": [float(seen.stride) if seen else None for seen in fields],
        "padding": [seen.padding if seen else None for seen in fields],
        "centre": [seen.centre if seen else None for seen in fields],
    }


def as_table(ledger: Ledger, *, show_work: bool = False) -> Table:
    """The rows and their total; with ``show_work`` each number after the arithmetic that gave it."""
    headings = ("layer", "kind", "output", "activations", "parameters", "MACs", "receptive field", "detail")
    totals = (f"{total:,}" for total in (ledger.activations, ledger.parameters, ledger.macs))
    total = ("total", "", "", *totals, "", f"{ledger.status}; {ledger.flops:,} FLOPs")
    return Table(ledger.model, headings, (*(_cells(row, show_work) for row in ledger.rows), total))


def _cells(row: Row, show_work: bool) -> tuple[str, ...]:
    formulas = (row.activations, row.parameters, row.macs)
    activations, parameters, macs = (one.shown if show_work else f"{int(one):,}" for one in formulas)
    if row.status == "not counted":
        macs = row.status
    shape = "x".join(map(str, row.output_shape)) or "1"
    sides = ["side " + ", ".join(dict.fromkeys(size.shown for size in row.sizes))] * bool(show_work and row.sizes)
    notes = [row.detail, *sides, "" if row.status == "counted" else row.status]
    return row.name, row.kind, shape, activations, parameters, macs, _size(row), ", ".join(filter(None, notes))


def _size(row: Row) -> str:
    sizes = [str(seen.size) if seen else "unbounded" for _, seen in row.fields]
    return sizes[0] if len(set(sizes)) == 1 else "x".join(sizes)


def apart_table(ledger: Ledger) -> Table:
    """Elementwise work and data movement: elements read, kept apart from MACs."""
    rows = ((row.name, row.kind, "x".join(map(str, row.output_shape)), row.operations.shown) for row in ledger.apart)
    return Table("apart from MACs", ("layer", "kind", "output", "operations"), tuple(rows))


def memory_table(memory: TrainingMemory) -> Table:
    """The parts of a training step's memory."""
    parts = {name: size for name, size in memory.as_dict().items() if isinstance(size, int) and name != "batch_size"}
    rows = tuple((name.removesuffix("_bytes"), f"{size:,}") for name, size in parts.items())
    title = f"training step, {memory.optimizer}, batch {memory.batch_size}, {memory.dtype}"
    return Table(title, ("part", "bytes"), rows)


def comparison_table(comparison: Comparison) -> Table:
    """Groups of layers side by side, and what the second network saves."""
    names = comparison.model.model, comparison.other.model
    headings = ("group", *(f"{name} {what}" for what in ("MACs", "parameters") for name in names), "saved", "ratio")
    return Table("compared", headings, tuple(_group(group) for group in (*comparison.groups, comparison.total)))


def _group(group: Group) -> tuple[str, ...]:
    numbers = (group.macs, group.other_macs, group.parameters, group.other_parameters)
    saved, ratio = group.macs_saved_fraction, group.macs_ratio
    cells = ("-" if number is None else f"{number:,}" for number in numbers)
    return group.name, *cells, "-" if saved is None else f"{saved:.1%}", "-" if ratio is None else f"{ratio:.2f}"
