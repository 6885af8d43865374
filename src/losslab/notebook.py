"""What values show of themselves in a notebook: an HTML table with all text escaped, a pandas DataFrame."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any


def html(rows: Iterable[Sequence[str]], headings: Sequence[str] = ()) -> str:
    """A table; without headings the first cell of each row is its heading.

    Example:
        >>> html([("a", "<b>")])
        '<table><tr><th>a</th><td>&lt;b&gt;</td></tr></table>'
    """
    lines = [[("th", cell) for cell in headings]] * bool(headings)
    lines += [[("td" if headings or place else "th", cell) for place, cell in enumerate(row)] for row in rows]
    cells = ("".join(f"<{tag}>{escape(cell)}</{tag}>" for tag, cell in line) for line in lines)
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"


def frame(columns: Mapping[str, Sequence[object]]) -> Any:
    """The columns as a pandas DataFrame.

    Raises:
        ImportError: when pandas is not installed.
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise ImportError("to_pandas() needs pandas, which losslab does not: pip install pandas") from error
    return DataFrame(dict(columns))
