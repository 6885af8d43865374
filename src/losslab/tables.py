"""A table of text cells, with what a page needs to print it."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field


@dataclass(frozen=True)
class Table:
    """Headings and rows of text cells; a page prints the first cell of a row as its heading unless it is a formula.

    Attributes:
        title: what the table holds, printed above it; may be empty.
        headings: of the columns.
        rows: as many cells each as there are headings.
        label: what those who do not see the table are told that it is; the title where empty.
        bold: indices of the rows in bold.
        total: whether the last row adds up those above it.
        words: indices of the columns of words, which fold.
        lists: indices of the columns of lists, whose entries, between semicolons, are kept whole.
        work: indices of the columns of calculations.
        formulas: indices of the columns of LaTeX.
        strong: (index of a row, a cell of it or an entry of its lists) in bold.
        records: for each row the ids of its runs, which a page links in a further column.
        links: cell -> path within the study's folder that it leads to.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    _: KW_ONLY
    label: str = ""
    bold: tuple[int, ...] = ()
    total: bool = False
    words: tuple[int, ...] = ()
    lists: tuple[int, ...] = ()
    work: tuple[int, ...] = ()
    formulas: tuple[int, ...] = ()
    strong: frozenset[tuple[int, str]] = frozenset()
    records: tuple[tuple[str, ...], ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
