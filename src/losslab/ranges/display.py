"""Findings for people: a table, a DataFrame; nothing is computed here."""

from collections.abc import Mapping, Sequence
from typing import Any

from losslab import notebook
from losslab.text import cell


def html(facts: Mapping[str, object]) -> str:
    """A table of facts for a notebook."""
    return notebook.html([(key, cell(value)) for key, value in facts.items()])


def frame(columns: Mapping[str, Sequence[object]]) -> Any:
    """The columns that have values, as a pandas DataFrame."""
    return notebook.frame({key: values for key, values in columns.items() if len(values)})
