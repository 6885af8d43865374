"""A table of text cells and its forms: terminal, Markdown, LaTeX, CSV, HTML; columns as a DataFrame."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table as RichTable

_TO_THE_RIGHT = frozenset(
    {"activations", "parameters", "MACs", "operations", "bytes", "saved", "ratio"}
)
"""Words of a heading below which numbers stand."""

WIDE, LONGEST_NAME = 110, 28
"""Columns of a terminal that keeps names of so many letters on one line."""


@dataclass(frozen=True)
class Table:
    """Headings and rows of text cells; numbers stand to the right, and a page prints a row's first cell as a heading.

    Attributes:
        title: what the table holds, printed above it; may be empty.
        headings: of the columns.
        rows: as many cells each as there are headings.
        label: what the table is, for those who do not see it; the title where empty.
        bold: indices of the rows in bold.
        total: whether the last row adds up those above it.
        words: indices of the columns of words, which fold.
        lists: indices of the columns of lists, whose entries, between semicolons, are kept whole.
        work: indices of the columns of calculations.
        formulas: indices of the columns of LaTeX.
        strong: (index of a row, a cell of it or an entry of its lists) in bold.
        levels: for each row in how many rows above it is inside; a page opens and closes these.
        records: for each row the ids of its runs, which a page links in a further column.
        links: cell -> path within the study's folder that it leads to.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    _: KW_ONLY  # what follows is hints for a page, each of which few tables have
    label: str = ""
    bold: tuple[int, ...] = ()
    total: bool = False
    words: tuple[int, ...] = ()
    lists: tuple[int, ...] = ()
    work: tuple[int, ...] = ()
    formulas: tuple[int, ...] = ()
    strong: frozenset[tuple[int, str]] = frozenset()
    levels: tuple[int, ...] = ()
    records: tuple[tuple[str, ...], ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)

    def is_number(self, heading: str) -> bool:
        """Whether a column holds numbers."""
        return not _TO_THE_RIGHT.isdisjoint(heading.split())

    def terminal(self, width: int = 80) -> "RichTable":
        """Lay the table out for rich's console of so many columns; long cells fold."""
        # Imported late: rich draws from Python's global random numbers when it is imported, which are the user's.
        from rich import markup
        from rich.box import SIMPLE
        from rich.table import Table as RichTable

        shown = RichTable(title=markup.escape(self.title), box=SIMPLE)
        # A row is found by its name, which does not fold where there is room for the other columns.
        longest = max((len(row[0]) for row in self.rows), default=0)
        whole = width >= WIDE and longest <= LONGEST_NAME
        for index, heading in enumerate(self.headings):
            side = "right" if self.is_number(heading) else "left"
            shown.add_column(
                markup.escape(heading),
                justify=side,  # type: ignore[arg-type]
                overflow="fold",
                no_wrap=whole and index == 0,
            )
        for row in self.rows:
            shown.add_row(*map(markup.escape, row))  # rich reads "[3, 32, 32]" as a style else
        return shown

    def markdown(self) -> str:
        """Write a Markdown table."""
        rules = tuple("---:" if self.is_number(heading) else "---" for heading in self.headings)
        rows = [tuple(map(_escaped_for_markdown, row)) for row in self.rows]
        lines = [self.headings, rules, *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def latex(self) -> str:
        """Write a LaTeX tabular."""
        columns = "".join("r" if self.is_number(heading) else "l" for heading in self.headings)
        lines = [_latex_line(row) for row in (self.headings, *self.rows)]
        return "\n".join(
            [
                rf"\begin{{tabular}}{{{columns}}}",
                lines[0],
                r"\hline",
                *lines[1:],
                r"\end{tabular}",
            ]
        )

    def csv(self) -> str:
        """Write comma-separated values, without thousands separators where a cell is a number."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.headings)
        writer.writerows(map(_plain_number, row) for row in self.rows)
        return buffer.getvalue().rstrip("\n")

    def html(self) -> str:
        """Write HTML for a notebook, all text escaped; the title is left out."""
        return html(self.rows, self.headings)


def html(rows: Iterable[Sequence[str]], headings: Sequence[str] = ()) -> str:
    """Write an HTML table; without headings the first cell of each row is its heading.

    Example:
        >>> html([("a", "<b>")])
        '<table><tr><th>a</th><td>&lt;b&gt;</td></tr></table>'
    """
    lines = [_html_line(["th"] * len(headings), headings)] if headings else []
    for row in rows:
        first = "td" if headings else "th"
        lines.append(_html_line([first] + ["td"] * (len(row) - 1), row))
    return f"<table>{''.join(lines)}</table>"


def frame(columns: Mapping[str, Sequence[object]]) -> Any:
    """Turn columns into a pandas DataFrame.

    Raises:
        ImportError: when pandas is not installed.
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise ImportError(
            "to_pandas() needs pandas, which losslab does not: pip install pandas"
        ) from error
    return DataFrame(dict(columns))


def _escaped_for_markdown(cell: str) -> str:
    # Calculations are full of asterisks, of which a pair would set what is between in italics.
    return cell.replace("|", "\\|").replace("*", "\\*")


def _latex_line(row: Iterable[str]) -> str:
    return " & ".join(map(_escaped_for_latex, row)) + r" \\"


def _escaped_for_latex(cell: str) -> str:
    for sign in "&%#_":
        cell = cell.replace(sign, f"\\{sign}")
    return cell.replace("*", r"$\cdot$")


def _plain_number(cell: str) -> str:
    digits = cell.replace(",", "")
    return digits if digits.isdigit() else cell


def _html_line(tags: Sequence[str], cells: Sequence[str]) -> str:
    filled = [f"<{tag}>{escape(cell)}</{tag}>" for tag, cell in zip(tags, cells, strict=True)]
    return f"<tr>{''.join(filled)}</tr>"
