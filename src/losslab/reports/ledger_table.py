"""A counted network for a page: each module and each block that repeats is a row, which opens to what is inside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from math import prod
from typing import Any

from losslab.tables import Table
from losslab.tables.folding import HEADINGS, Line, Row, lines_of, total_cells

FEW = 5
"""Rows of a table that say too little: a module is opened then from the start."""


@dataclass(frozen=True)
class Branch:
    """A line of the table, and the lines inside it."""

    line: Line
    inside: tuple[Branch, ...] = ()


def ledger_table(ledger: Mapping[str, Any]) -> Table:
    """Tabulate a ledger with its modules nested.

    Args:
        ledger: as ``losslab count --json`` prints it.
    """
    lines = lines_of(ledger["rows"], fold=True, depth=None)
    nested = list(_flat(_opened(_branches(lines, 0)), 0))
    rows = [line.cells() for _, line in nested]
    return Table(
        "",
        HEADINGS,
        (*rows, total_cells(ledger)),
        label=f"{ledger['model']} row by row",
        total=True,
        words=(1, 2, 6, 7),
        levels=(*(level for level, _ in nested), 0),
    )


def _branches(lines: Sequence[Line], level: int) -> tuple[Branch, ...]:
    """The modules that neighbouring lines belong to at this part of their names."""
    modules = groupby(lines, key=lambda line: line.path[: level + 1])
    return tuple(_branch(list(members)) for _, members in modules)


def _branch(lines: Sequence[Line]) -> Branch:
    if len(lines) == 1:
        (line,) = lines
        rows = line.rows if line.repeats > 1 else ()
        return Branch(line, tuple(Branch(Line((row["name"],), (row,))) for row in rows))
    # A module whose only part is another module is a row with that.
    parts = zip(*(line.path for line in lines), strict=False)
    path = tuple(part for part, *_ in takewhile(_all_equal, parts))
    return Branch(_module(path, lines), _branches(lines, len(path)))


def _all_equal(parts: Sequence[str]) -> bool:
    return len(set(parts)) == 1


def _module(path: tuple[str, ...], lines: Sequence[Line]) -> Line:
    """The lines of a module as one; where the module repeats, block after block."""
    repeats = prod(map(_blocks, path))
    if any(line.repeats % repeats for line in lines):
        repeats = 1
    rows: list[Row] = []
    for block in range(repeats):
        for line in lines:
            size = len(line.rows) // repeats
            rows += line.rows[block * size : (block + 1) * size]
    return Line(path, tuple(rows), repeats)


def _blocks(part: str) -> int:
    """How many blocks a part of a name stands for: 7 for ``0-6``."""
    first, dash, last = part.partition("-")
    return int(last) - int(first) + 1 if dash and first.isdecimal() and last.isdecimal() else 1


def _opened(branches: tuple[Branch, ...]) -> tuple[Branch, ...]:
    """Open the largest module while the rows are few: many networks are a single module within another."""
    modules = [branch for branch in branches if branch.inside and branch.line.repeats == 1]
    if len(branches) >= FEW or not modules:
        return branches
    largest = max(modules, key=lambda branch: len(branch.line.rows))
    place = branches.index(largest)
    return _opened((*branches[:place], *largest.inside, *branches[place + 1 :]))


def _flat(branches: Sequence[Branch], level: int) -> Iterator[tuple[int, Line]]:
    """Each line with how deep it is inside others."""
    for branch in branches:
        yield level, branch.line
        yield from _flat(branch.inside, level + 1)
