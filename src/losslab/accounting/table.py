"""A table of text cells and its forms: Markdown, LaTeX, CSV."""

import csv
import io
from dataclasses import dataclass

_TO_THE_RIGHT = frozenset({"activations", "parameters", "MACs", "operations", "bytes", "saved", "ratio"})


@dataclass(frozen=True)
class Table:
    """Headings and rows of cells, under a title; columns of numbers stand to the right."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def is_number(self, heading: str) -> bool:
        """Whether a column holds numbers."""
        return not _TO_THE_RIGHT.isdisjoint(heading.split())

    def markdown(self) -> str:
        """As a Markdown table."""
        rules = tuple("---:" if self.is_number(heading) else "---" for heading in self.headings)
        cells = (tuple(cell.replace("|", "\\|").replace("*", "\\*") for cell in row) for row in self.rows)
        return "\n".join("| " + " | ".join(line) + " |" for line in (self.headings, rules, *cells))

    def latex(self) -> str:
        """As a LaTeX tabular."""
        columns = "".join("r" if self.is_number(heading) else "l" for heading in self.headings)
        lines = [" & ".join(map(_escaped, row)) + r" \\" for row in (self.headings, *self.rows)]
        return "\n".join([rf"\begin{{tabular}}{{{columns}}}", lines[0], r"\hline", *lines[1:], r"\end{tabular}"])

    def csv(self) -> str:
        """As comma-separated values, without thousands separators where a cell is a number."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerows([self.headings, *(tuple(map(_plain_number, row)) for row in self.rows)])
        return buffer.getvalue().rstrip("\n")


def _escaped(cell: str) -> str:
    for sign in "&%#_":
        cell = cell.replace(sign, f"\\{sign}")
    return cell.replace("*", r"$\cdot$")


def _plain_number(cell: str) -> str:
    digits = cell.replace(",", "")
    return digits if digits.isdigit() else cell
