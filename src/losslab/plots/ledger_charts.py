"""Figures of what was counted: a quantity by layer, and how a receptive field grows."""

from collections.abc import Mapping, Sequence
from typing import Any

from losslab.plots.figures import Figure, Mark, Series

Ledgers = Mapping[str, dict[str, Any]]
"""Label -> ledger, as ``losslab count --json`` prints it."""


def by_layer(
    name: str, title: str, ledgers: Ledgers, quantity: str, label: str, *, unit: float = 1e6
) -> Figure:
    """Draw what each layer costs, as bars; layers that cost nothing in any ledger are left out.

    Args:
        name: identity of the figure.
        title: what is shown.
        ledgers: what is shown side by side.
        quantity: ``macs``, ``parameters`` or ``activations``.
        label: quantity and unit.
        unit: what the numbers are divided by.
    """
    costs: dict[str, dict[str, float]] = {}
    with_cost: dict[str, None] = {}
    for key, ledger in ledgers.items():
        costs[key] = {row["name"]: row[quantity] / unit for row in ledger["rows"]}
        with_cost |= dict.fromkeys(layer for layer, amount in costs[key].items() if amount)
    names = tuple(with_cost)
    # The bars of a layer fill 0.8 of the room between two names, however many ledgers share it.
    width, middle = 0.8 / max(1, len(costs)), (len(costs) - 1) / 2
    series = []
    for slot, (key, cost) in enumerate(costs.items()):
        rows = [(index, cost[layer]) for index, layer in enumerate(names) if layer in cost]
        x = tuple(index + (slot - middle) * width for index, _ in rows)
        series.append(
            Series(key, x, tuple(amount for _, amount in rows), slot=slot, style="bars")
        )
    return Figure(name, title, "layer", label, tuple(series), x_names=names)


def growth(name: str, title: str, ledgers: Ledgers) -> Figure:
    """Draw how the receptive field grows from layer to layer while it is bounded; a line marks the largest image."""
    # The input sees itself: one pixel.
    sizes = {key: (1.0, *_sides(ledger)) for key, ledger in ledgers.items()}
    series = []
    for slot, (key, sides) in enumerate(sizes.items()):
        series.append(Series(key, _numbered(sides), sides, slot=slot, style="both"))
    largest = max((max(ledger["input_shape"][1:]) for ledger in ledgers.values()), default=1)
    labels = "convolutions and poolings passed", "side of the field, pixels"
    return Figure(name, title, *labels, tuple(series), marks=(Mark("", y=largest),))


def _numbered(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(map(float, range(len(values))))


def _sides(ledger: dict[str, Any]) -> list[float]:
    """Side of the receptive field after each convolution or pooling, where it is bounded."""
    fields = [
        row["receptive_field"] for row in ledger["rows"] if row["kind"] in ("conv", "pool")
    ]
    return [float(field["size"][0]) for field in fields if isinstance(field, dict)]
