"""Cells and sentences that the parts of the study share, read from ledgers as `losslab count --json` prints them."""

from collections.abc import Iterable
from typing import Any

from losslab.text import NONE, names, percent

Ledger = dict[str, Any]
Row = dict[str, Any]


def exact(value: float) -> str:
    """Write a count with all its digits.

    Example:
        >>> exact(62378344), exact(-5)
        ('62,378,344', '−5')
    """
    return f"{value:,}".replace("-", "−")


def fraction(value: float, whole: float) -> str:
    """Write a part of a whole in percent; a dash where the whole is nothing."""
    return percent(value / whole) if whole else NONE


def megabytes(amount: float) -> str:
    """Write bytes in MB, to one decimal."""
    return f"{exact(round(amount / 1e6, 1))} MB"


def sum_of(rows: Iterable[Row], number: str, kind: str) -> int:
    """Add up a number over all rows of a kind."""
    return sum(row[number] for row in rows if row["kind"] == kind)


def largest(ledger: Ledger, number: str) -> str:
    """Name the layers in which a number is largest, with the number and their part of the total."""
    most = max(row[number] for row in ledger["rows"])
    labels = [row["name"] for row in ledger["rows"] if row[number] == most]
    amount = f"{exact(most)} each" if len(labels) > 1 else exact(most)
    part = fraction(most * len(labels), ledger["totals"][number])
    return f"{names(labels)} ({amount}, {part})"


def kernel(row: Row) -> str:
    """Read `11×11×3` of a convolution from the calculation of its weights."""
    # The calculation has the maps that a kernel reads, which in a convolution of groups are fewer than the input's.
    weights: str = row["work"]["parameters"]
    return weights.partition(")")[0].removeprefix("(").replace("*", "×")


def filters(row: Row) -> str:
    """Say what a layer consists of, as `96 of 11×11×3`, `3×3 max pool` or `4096 units`; empty for other kinds."""
    if row["kind"] == "conv":
        return f"{row['output_shape'][0]} of {kernel(row)}"
    if row["kind"] == "pool":
        return f"{sides(row['detail'].partition(',')[0])} max pool"
    return f"{row['output_shape'][0]} units" if row["kind"] == "linear" else ""


def window(row: Row, name: str) -> str:
    """Read the stride, padding or groups of a layer from its ledger's words; empty where it has none."""
    details = [detail for detail in row["detail"].split(", ") if detail.startswith(name)]
    return details[0].partition(" ")[2] if details else ""


def sides(text: str) -> str:
    """Write a product of sides with its sign: 3×3 for 3x3."""
    return text.replace("x", "×")


def memory(ledger: Ledger) -> str:
    """Say in a sentence what a training step of one image holds; nothing where it was not counted."""
    kept = ledger.get("memory")
    if not kept:
        return ""
    parts = {
        name: megabytes(kept[f"{name}_bytes"])
        for name in ("parameter", "gradient", "optimizer", "saved", "peak")
    }
    return (
        f"One image, {kept['optimizer']}, {kept['dtype']}: parameters with biases {parts['parameter']}, gradients "
        f"{parts['gradient']}, the optimizer's state {parts['optimizer']}, kept for the backward pass {parts['saved']}"
        f"; at most {parts['peak']} are alive at once. Only what is kept for the backward pass grows with the batch."
    )
