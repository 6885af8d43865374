"""Findings for people: text, notebook, figure, table; nothing is computed here."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from losslab import tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def shown(value: object) -> str:
    """A value as people write it."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return "none" if value is None else str(value)


def html(facts: Mapping[str, object]) -> str:
    """A table of facts for a notebook."""
    return tables.html([(key, shown(value)) for key, value in facts.items()])


def frame(columns: Mapping[str, Sequence[object]]) -> Any:
    """The columns that have values, as a pandas DataFrame."""
    return tables.frame({key: values for key, values in columns.items() if len(values)})


def figure(
    axis: str,
    x: Sequence[float],
    y: Sequence[float],
    band: tuple[Sequence[float], Sequence[float]],
    marks: Mapping[str, float | None],
) -> "Figure":
    """A curve with its band over a logarithmic axis, and vertical lines at what was found."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(7, 4), layout="constrained")
    axes = made.subplots()
    axes.plot(x, y, label="median over seeds")
    axes.fill_between(x, *band, alpha=0.25, label="band over seeds")
    for place, (name, value) in enumerate(marks.items()):
        if value is not None:
            axes.axvline(value, color=f"C{place + 1}", linestyle="--", label=f"{name} {shown(value)}")
    axes.set(xscale="log", xlabel=axis, ylabel="training loss")
    axes.legend()
    return made
