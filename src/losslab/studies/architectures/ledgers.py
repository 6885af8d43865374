"""Cells and sentences that the parts of the study share, read from ledgers as `losslab count --json` prints them."""

from collections.abc import Iterable
from typing import Any

from losslab.text import NONE, names, percent

Ledger = dict[str, Any]
Row = dict[str, Any]


def exact(value: float) -> str:
    """A count with all its digits.

    Example:
        >>> exact(62378344), exact(-5)
        ('62,378,344', '−5')
    """
    return f"{value:,}".replace("-", "−")


def fraction(value: float, whole: float) -> str:
    """A part of a whole in percent; a dash where the whole is nothing."""
    return percent(value / whole) if whole else NONE


def megabytes(amount: float) -> str:
    """Bytes in MB, to one decimal."""
    return f"{exact(round(amount / 1e6, 1))} MB"


def sum_of(rows: Iterable[Row], number: str, kind: str) -> int:
    """A number of all rows of a kind together."""
    return sum(row[number] for row in rows if row["kind"] == kind)


def largest(ledger: Ledger, number: str) -> str:
    """The layers in which a number is largest, the number, and their part of the total."""
    most = max(row[number] for row in ledger["rows"])
    labels = [row["name"] for row in ledger["rows"] if row[number] == most]
    each = " each" if len(labels) > 1 else ""
    return f"{names(labels)} ({exact(most)}{each}, {fraction(most * len(labels), ledger['totals'][number])})"


def kernel(row: Row) -> str:
    """`11×11×3` of a convolution, read from the calculation of its weights."""
    weights: str = row["work"]["parameters"]
    return weights.partition(")")[0].removeprefix("(").replace("*", "×")


def filters(row: Row) -> str:
    """What a layer consists of, as `96 of 11×11×3`, `3×3 max pool` or `4096 units`; empty for other kinds."""
    if row["kind"] == "conv":
        return f"{row['output_shape'][0]} of {kernel(row)}"
    if row["kind"] == "pool":
        return f"{sides(row['detail'].partition(',')[0])} max pool"
    return f"{row['output_shape'][0]} units" if row["kind"] == "linear" else ""


def window(row: Row, name: str) -> str:
    """The stride, padding or groups of a layer, as its ledger says it; empty where it does not."""
    details = [detail for detail in row["detail"].split(", ") if detail.startswith(name)]
    return details[0].partition(" ")[2] if details else ""


def sides(text: str) -> str:
    """A product of sides with its sign: 3×3 for 3x3."""
    return text.replace("x", "×")


def memory(ledger: Ledger) -> str:
    """What a training step of one image holds, in a sentence; empty where it was not counted."""
    kept = ledger.get("memory")
    if not kept:
        return ""
    parts = {name: megabytes(kept[f"{name}_bytes"]) for name in ("parameter", "gradient", "optimizer", "saved", "peak")}
    return (
        f"One image, {kept['optimizer']}, {kept['dtype']}: parameters with biases {parts['parameter']}, gradients "
        f"{parts['gradient']}, the optimizer's state {parts['optimizer']}, kept for the backward pass {parts['saved']}"
        f"; at most {parts['peak']} are alive at once. Only what is kept for the backward pass grows with the batch."
    )
