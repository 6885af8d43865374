"""The rows of a ledger folded for reading: equal blocks that follow each other are one, and so is a module."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from losslab.accounting.row import Row

ARITHMETIC = {
    "output_size": "side",
    "activations": "activations",
    "parameters": "parameters",
    "macs": "MACs",
}
"""What each calculation of a row gives, in words."""


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
            return self.rows[0].cells(show_work=show_work)
        last = self.first[-1].cells(show_work=False)
        _, kind, shape, *_, detail = last
        if len(self.first) > 1:
            kind, detail = "module", f"{len(self.first)} rows"
        columns = zip(*map(_numbers, self.rows), strict=True)
        numbers = [f"{sum(column):,}" for column in columns]
        if any(row.status == "not counted" for row in self.rows):
            numbers[-1] = "not counted"
        # What units see grows from block to block: the first's and the last's.
        fields = dict.fromkeys((last[6], self.rows[-1].cells(show_work=False)[6]))
        return (self.name, kind, shape, *numbers, " to ".join(filter(None, fields)), detail)

    @property
    def operations(self) -> str:
        """The elements that other arithmetic reads, in one block and how often that is there."""
        if len(self.first) > 1:
            return f"{sum(int(row.operations) for row in self.rows):,}"
        times = f", x {self.repeats}" if self.repeats > 1 else ""
        return f"{self.rows[0].operations.shown}{times}"

    @property
    def words(self) -> str:
        """Kind, shape, detail and field in one cell."""
        _, kind, shape, *_, field, detail = self.cells()
        parts = (f"{kind} {shape}", detail, f"field {field}" if field else "")
        return ", ".join(filter(None, parts))

    @property
    def arithmetic(self) -> list[str]:
        """The calculations of one block, a line each; of a module, which has several rows, its sums."""
        if len(self.first) > 1:
            *_, activations, parameters, macs = self.cells()[:6]
            return [f"{activations} activations, {parameters} parameters, {macs} MACs"]
        work = self.first[0].work
        times = f", x {self.repeats}" if self.repeats > 1 else ""
        known = {key: text for key, text in work.items() if text != "0"}
        return [
            f"{label} {known[key]}{times if key != 'output_size' else ''}"
            for key, label in ARITHMETIC.items()
            if key in known
        ]


def lines_of(rows: Sequence[Row], *, fold: bool, depth: int | None) -> list[Line]:
    """The rows for reading: each by itself, where nothing is to be folded."""
    if fold or depth is not None:
        return folded(rows, depth=depth)
    return [Line((row.name,), (row,)) for row in rows]


def folded(rows: Iterable[Row], *, depth: int | None = None) -> list[Line]:
    """Fold numbered blocks that follow each other and are equal; with a depth, each module into a line first.

    Args:
        rows: in the order in which they ran.
        depth: how many parts of a name remain: 2 keeps ``encoder.layers``.
    Example:
        >>> from losslab.accounting.formulas import times
        >>> rows = [Row(f"layers.{n}.fc", "linear", (8,), times(8)) for n in range(32)]
        >>> [line.name for line in folded(rows)], folded(rows, depth=1)[0].cells()[1:4]
        (['layers.0-31.fc x 32'], ('module', '8', '256'))
    """
    lines = [Line(tuple(row.name.split(".")), (row,)) for row in rows]
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
        (row.kind, row.shape_text, row.detail, row.status, int(row.operations)) for row in rows
    )
    return line.path[level + 1 :], kinds, tuple(map(_numbers, rows))


def _numbers(row: Row) -> tuple[int, int, int]:
    return int(row.activations), int(row.parameters), int(row.macs)


def _joined(block: Sequence[Line], other: Sequence[Line], level: int) -> list[Line]:
    start = block[0].path[level].partition("-")[0]
    span = f"{start}-{other[0].path[level]}"
    lines = []
    for left, right in zip(block, other, strict=True):
        path = (*left.path[:level], span, *left.path[level + 1 :])
        rows, repeats = left.rows + right.rows, left.repeats + right.repeats
        lines.append(replace(left, path=path, rows=rows, repeats=repeats))
    return lines
