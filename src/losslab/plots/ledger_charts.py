"""Ledgers as figures."""

from collections.abc import Mapping
from typing import Any

from losslab.plots.figures import Figure, Mark, Series

Ledgers = Mapping[str, dict[str, Any]]
"""Label -> ledger, as ``losslab count --json`` prints it."""


def by_layer(name: str, title: str, ledgers: Ledgers, quantity: str, label: str, *, unit: float = 1e6) -> Figure:
    """What each layer costs, as bars; layers that cost nothing in any ledger are left out.

    Args:
        name: identity of the figure.
        title: what is shown.
        ledgers: what is shown side by side.
        quantity: ``macs``, ``parameters`` or ``activations``.
        label: quantity and unit.
        unit: what the numbers are divided by.
    """
    costs = {key: {row["name"]: row[quantity] / unit for row in each["rows"]} for key, each in ledgers.items()}
    names = tuple(dict.fromkeys(name for each in costs.values() for name, cost in each.items() if cost))
    width = 0.8 / max(1, len(costs))
    series = tuple(
        Series(
            key,
            tuple(place + (slot - (len(costs) - 1) / 2) * width for place, name in enumerate(names) if name in each),
            tuple(each[name] for name in names if name in each),
            slot=slot,
            style="bars",
        )
        for slot, (key, each) in enumerate(costs.items())
    )
    return Figure(name, title, "layer", label, series, x_names=names)


def growth(name: str, title: str, ledgers: Ledgers) -> Figure:
    """How the receptive field grows from layer to layer while it is bounded; a line marks the largest image's side."""
    sizes = {key: [1, *_sides(each)] for key, each in ledgers.items()}
    series = tuple(
        Series(key, tuple(range(len(each))), tuple(map(float, each)), slot=slot, style="both")
        for slot, (key, each) in enumerate(sizes.items())
    )
    marks = (Mark("", y=max((max(each["input_shape"][1:]) for each in ledgers.values()), default=1)),)
    return Figure(name, title, "convolutions and poolings passed", "side of the field, pixels", series, marks=marks)


def _sides(ledger: dict[str, Any]) -> list[int]:
    fields = (row["receptive_field"] for row in ledger["rows"] if row["kind"] in ("conv", "pool"))
    return [field["size"][0] for field in fields if isinstance(field, dict)]
