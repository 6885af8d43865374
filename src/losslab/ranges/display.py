"""Findings for people: text, notebook, figure, table; nothing is computed here."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = " ▁▂▃▄▅▆▇█"


def shown(value: object) -> str:
    """A value as people write it."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return "none" if value is None else str(value)


def html(facts: Mapping[str, object]) -> str:
    """A table of facts for a notebook."""
    rows = "".join(f"<tr><th>{escape(key)}</th><td>{escape(shown(value))}</td></tr>" for key, value in facts.items())
    return f"<table>{rows}</table>"


def frame(columns: Mapping[str, Sequence[object]]) -> Any:
    """The columns that have values, as a pandas DataFrame."""
    from pandas import DataFrame

    return DataFrame({key: values for key, values in columns.items() if len(values)})


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


def text_plot(x: Sequence[float], y: Sequence[float], marks: Sequence[float | None], width: int = 60) -> str:
    """A curve as one line of bars over equal parts of its points, and a line with a ^ under each mark."""
    if not x:
        return ""
    columns = [round(place * (len(x) - 1) / (width - 1)) for place in range(width)] if len(x) > width else range(len(x))
    low, high = min(y), max(y)
    heights = [round((y[column] - low) / ((high - low) or 1.0) * (len(BARS) - 2)) + 1 for column in columns]
    places = {
        min(range(len(columns)), key=lambda place: abs(x[columns[place]] - mark)) for mark in marks if mark is not None
    }
    under = "".join("^" if place in places else " " for place in range(len(columns)))
    return f"{''.join(BARS[height] for height in heights)}\n{under.rstrip()}"
