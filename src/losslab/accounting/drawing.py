"""Bars of what each layer costs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def cost_bars(title: str, names: Sequence[str], numbers: Mapping[str, Sequence[int]]) -> "Figure":
    """A panel for each quantity, a bar for each name.

    Args:
        title: above the panels.
        names: of the layers, from above to below.
        numbers: quantity -> its number for each layer.
    """
    from matplotlib.figure import Figure  # takes as long to import as many a ledger to count

    figure = Figure(figsize=(9, 1.2 + 0.22 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(numbers), sharey=True)
    for axes, (quantity, values) in zip(panels, numbers.items(), strict=True):
        axes.barh([_literal(name) for name in names], values)
        axes.set_xlabel(quantity)
    panels[-1].invert_yaxis()  # shared: the first layer stands above
    figure.suptitle(_literal(title))
    return figure


def _literal(text: str) -> str:
    """Text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")
