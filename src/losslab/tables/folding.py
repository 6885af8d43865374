"""The rows of a ledger folded for reading: equal blocks that follow each other are one, and so is a module."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import inf
from typing import Any

Row = Mapping[str, Any]
"""A row as ``losslab count --json`` prints it, so that records fold as ledgers do."""

HEADINGS = (
    "layer",
    "kind",
    "output",
    "activations",
    "parameters",
    "MACs",
    "receptive field",
    "detail",
)
"""Of the cells of a line."""
ARITHMETIC = {
    "activations": "activations",
    "parameters": "parameters",
    "macs": "MACs",
}
"""The numbers of a row, in words."""


@dataclass(frozen=True)
class Line:
    """One line of a folded table.

    Attributes:
        path: the parts of its name: ``("layers", "0-31", "norm")``.
        rows: what it stands for, in the order of the blocks.
        repeats: how many equal blocks it stands for.
    """

    path: tuple[str, ...]
    rows: tuple[Row, ...]
    repeats: int = 1

    @property
    def name(self) -> str:
        """The path, and how often the block is there."""
        path = ".".join(self.path)
        return f"{path} x {self.repeats}" if self.repeats > 1 else path

    @property
    def first(self) -> tuple[Row, ...]:
        """The rows of the first block."""
        return self.rows[: len(self.rows) // self.repeats]

    def cells(self, *, show_work: bool = False) -> tuple[str, ...]:
        """The cells of a row; numbers are for all that the line stands for, so that a column adds up to its total."""
        if len(self.rows) == 1:
            return row_cells(self.rows[0], show_work=show_work)
        _, kind, shape, *_, detail = row_cells(self.rows[0])
        if len(self.first) > 1:
            # What a module gives is not in its rows: it may be several of these joined.
            kind, shape, detail = "module", "", f"{len(self.first)} rows"
        columns = zip(*map(_numbers, self.rows), strict=True)
        numbers = [f"{sum(column):,}" for column in columns]
        if any(row["status"] == "not counted" for row in self.rows):
            numbers[-1] = "not counted"
        field = _from_to(_widest(self.first), _widest(self.rows[-len(self.first) :]))
        return (self.name, kind, shape, *numbers, field, detail)

    @property
    def operations(self) -> str:
        """The elements that other arithmetic reads; of equal blocks, those of one and of all."""
        whole = sum(row["operations"] for row in self.rows)
        if len(self.first) > 1:
            return f"{whole:,}"
        return self._of_all(self.rows[0]["work"]["operations"], whole)

    @property
    def words(self) -> str:
        """Kind, shape, detail and field in one cell."""
        _, kind, shape, *_, field, detail = self.cells()
        parts = (f"{kind} {shape}".strip(), detail, f"field {field}" if field else "")
        return ", ".join(filter(None, parts))

    @property
    def arithmetic(self) -> list[str]:
        """The calculations of one block, a line each, and what all have; of a module of several rows, its sums."""
        if len(self.first) > 1:
            *_, activations, parameters, macs = self.cells()[:6]
            return [f"{activations} activations, {parameters} parameters, {macs} MACs"]
        row = self.rows[0]
        lines = [f"side {_sides(row)}"] if "output_size" in row["work"] else []
        for number, label in ARITHMETIC.items():
            if row["work"][number] != "0":
                whole = sum(each[number] for each in self.rows)
                lines.append(f"{label} {self._of_all(row['work'][number], whole)}")
        return lines

    def _of_all(self, work: str, whole: int) -> str:
        return work if self.repeats == 1 else f"{work}, x {self.repeats} = {whole:,}"


def row_cells(row: Row, *, show_work: bool = False) -> tuple[str, ...]:
    """Name, kind, output, activations, parameters, MACs, receptive field and detail of a row as text."""
    work = row["work"]
    numbers = [work[key] if show_work else f"{row[key]:,}" for key in ARITHMETIC]
    if row["status"] == "not counted":
        numbers[-1] = row["status"]
    notes = [row["detail"]] if row["detail"] else []
    if show_work and "output_size" in work:
        notes.append(f"side {_sides(row)}")
    if row["status"] != "counted":
        notes.append(row["status"])
    return (
        row["name"],
        row["kind"],
        shape_text(row),
        *numbers,
        field_text(row["receptive_field"]),
        ", ".join(notes),
    )


def total_cells(ledger: Mapping[str, Any]) -> tuple[str, ...]:
    """The last row of a table of a ledger: its sums, its status and what a reader must know."""
    totals = ledger["totals"]
    notes = [ledger["status"], f"{totals['flops']:,} FLOPs", *ledger.get("notes", ())]
    return ("total", "", "", *(f"{totals[key]:,}" for key in ARITHMETIC), "", "; ".join(notes))


def _widest(rows: Sequence[Row]) -> str:
    """The largest field of a block's rows."""
    return field_text(max((row["receptive_field"] for row in rows), key=_width))


def _width(seen: Mapping[str, Any] | str | None) -> float:
    if not isinstance(seen, Mapping):
        return inf if seen else 0
    return max(inf if size == "unbounded" else size for size in seen["size"])


def _from_to(first: str, last: str) -> str:
    """What units see of the first block and of the last: it grows from block to block."""
    if first == last or not (first and last):
        return first or last
    bound = "at most "
    return f"{first} to {last.removeprefix(bound) if first.startswith(bound) else last}"


def _sides(row: Row) -> str:
    """The arithmetic of the output's sides; equal ones once."""
    return "; ".join(dict.fromkeys(row["work"]["output_size"].split("; ")))


def shape_text(row: Row) -> str:
    """The output's shape as ``64x56x56``."""
    return "x".join(map(str, row["output_shape"])) or "1"


def field_text(seen: Mapping[str, Any] | str | None) -> str:
    """What a unit sees along each axis of the input, once where all are equal.

    Example:
        >>> field_text({"size": [7, 7]}), field_text({"size": [81, 9], "at_most": [True, False]})
        ('7', 'at most 81x9')
    """
    if seen is None or isinstance(seen, str):
        return seen or ""
    sizes = [str(size) for size in seen["size"]]
    text = sizes[0] if len(set(sizes)) == 1 else "x".join(sizes)
    # Records of an earlier version do not say.
    return f"at most {text}" if any(seen.get("at_most", ())) else text


def lines_of(rows: Sequence[Row], *, fold: bool, depth: int | None) -> list[Line]:
    """The rows for reading: each by itself, where nothing is to be folded."""
    if fold or depth is not None:
        return folded(rows, depth=depth)
    return [Line((row["name"],), (row,)) for row in rows]


def folded(rows: Iterable[Row], *, depth: int | None = None) -> list[Line]:
    """Fold numbered blocks that follow each other and are equal; with a depth, each module into a line first.

    Args:
        rows: in the order in which they ran.
        depth: how many parts of a name remain: 2 keeps ``encoder.layers``.
    Example:
        >>> numbers = {"activations": 8, "parameters": 72, "macs": 64}
        >>> facts = {"kind": "linear", "output_shape": [8], "detail": "", "status": "counted", "receptive_field": None}
        >>> rows = [{"name": f"layers.{n}.fc", "work": {}, **facts, **numbers} for n in range(32)]
        >>> [line.name for line in folded(rows)], folded(rows, depth=1)[0].cells()[1:4]
        (['layers.0-31.fc x 32'], ('module', '', '256'))
    """
    lines = [Line(tuple(row["name"].split(".")), (row,)) for row in rows]
    if depth is not None:
        lines = _by_module(lines, depth)
    return _repeated(lines, 0)


def _by_module(lines: list[Line], depth: int) -> list[Line]:
    modules = groupby(lines, key=lambda line: line.path[:depth])
    merged = []
    for path, members in modules:
        rows = tuple(row for line in members for row in line.rows)
        merged.append(Line(path, rows))
    return merged


def _repeated(lines: list[Line], level: int) -> list[Line]:
    """Fold what is inside each block first: blocks of equal stages fold then, too."""
    blocks: list[list[Line]] = []
    for path, members in groupby(lines, key=lambda line: line.path[: level + 1]):
        block = list(members)
        if any(len(line.path) > len(path) for line in block):
            block = _repeated(block, level + 1)
        if blocks and _follows(blocks[-1], block, level):
            blocks[-1] = _joined(blocks[-1], block, level)
        else:
            blocks.append(block)
    return [line for block in blocks for line in block]


def _follows(block: Sequence[Line], other: Sequence[Line], level: int) -> bool:
    """Whether the other block has the next number and the same content."""
    if min(len(block[0].path), len(other[0].path)) <= level or len(block) != len(other):
        return False
    end, start = block[0].path[level].rpartition("-")[2], other[0].path[level]
    if not (end.isdecimal() and start.isdecimal() and int(start) == int(end) + 1):
        return False
    pairs = zip(block, other, strict=True)
    return all(_content(left, level) == _content(right, level) for left, right in pairs)


def _content(line: Line, level: int) -> tuple[object, ...]:
    """What makes a line equal to that of another block; what its units see grows from block to block."""
    rows = line.first
    kinds = tuple(
        (row["kind"], shape_text(row), row["detail"], row["status"], row.get("operations"))
        for row in rows
    )
    return line.path[level + 1 :], kinds, tuple(map(_numbers, rows))


def _numbers(row: Row) -> tuple[int, int, int]:
    return row["activations"], row["parameters"], row["macs"]


def _joined(block: Sequence[Line], other: Sequence[Line], level: int) -> list[Line]:
    start = block[0].path[level].partition("-")[0]
    span = f"{start}-{other[0].path[level]}"
    lines = []
    for left, right in zip(block, other, strict=True):
        path = (*left.path[:level], span, *left.path[level + 1 :])
        rows, repeats = left.rows + right.rows, left.repeats + right.repeats
        lines.append(replace(left, path=path, rows=rows, repeats=repeats))
    return lines
