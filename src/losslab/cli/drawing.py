"""Pictures of one run: what it is going to do at each step, and how it went."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab.errors import InvalidInput
from losslab.records import Evaluation, Record, Steps
from losslab.training.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".pdf", ".png", ".svg")
WIDE = 30.0
"""Values are drawn on a logarithmic axis where the largest is so many times the smallest."""
FEW = 60
"""So many points or fewer are marked one by one."""

Curve = tuple[list[int], list[Any]]
"""Steps and the values there."""
Panels = dict[str, dict[str, Curve]]
"""Quantity -> label -> curve."""


def check_figure(path: Path) -> None:
    """Refuse a picture that could not be written, before anything is trained for it.

    Raises:
        InvalidInput: another kind of file, or no such folder.
    """
    if path.suffix not in SUFFIXES:
        raise InvalidInput(f"--figure {path}: must end in one of {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise InvalidInput(f"--figure {path}: there is no folder {path.parent}; make it first")


def draw_timeline(timeline: Timeline, path: Path) -> None:
    """Learning rate and batch size by step, before training."""
    steps = list(timeline.steps())
    index = [step.index for step in steps]
    panels: Panels = {
        "learning rate": {"": (index, [step.lr for step in steps])},
        "batch size": {"": (index, [step.batch_size for step in steps])},
    }
    _draw(panels, path, columns=1)


def draw_records(records: Sequence[Record], path: Path) -> None:
    """Loss, accuracy, learning rate and batch size by step, after training; nothing where there was no step."""
    steps = [record for record in records if isinstance(record, Steps)]
    if not steps:
        return
    evaluations = [record for record in records if isinstance(record, Evaluation)]

    def by_step(field: str) -> Curve:
        return [place for s in steps for place in range(s.first_step, s.first_step + len(s.loss))], [
            value for s in steps for value in getattr(s, field)
        ]

    def by_evaluation(field: str) -> Curve:
        found = [(e.step, getattr(e, field)) for e in evaluations if getattr(e, field) is not None]
        return [step for step, _ in found], [value for _, value in found]

    panels: Panels = {
        "loss": {
            "training, each batch": by_step("loss"),
            "training": by_evaluation("train_loss"),
            "validation": by_evaluation("validation_loss"),
        },
        "accuracy": {
            "training": by_evaluation("train_accuracy"),
            "validation": by_evaluation("validation_accuracy"),
        },
        "learning rate": {"": by_step("lr")},
        "batch size": {"": by_step("batch_size")},
    }
    _draw(panels, path, columns=2)


def _draw(panels: Panels, path: Path, *, columns: int) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * columns + 1.5, 6), layout="constrained")
    grid = figure.subplots(len(panels) // columns, columns, sharex=True, squeeze=False)
    for axes, (name, curves) in zip(grid.flat, panels.items(), strict=True):
        _panel(axes, name, curves)
    for axes in grid[-1]:
        axes.set_xlabel("optimizer step")
    figure.savefig(path, dpi=120)


def _panel(axes: "Axes", name: str, curves: dict[str, Curve]) -> None:
    for label, (steps, values) in curves.items():
        faint: dict[str, Any] = {"color": "0.75", "linewidth": 0.6} if "each" in label else {}
        axes.plot(steps, values, marker="." if len(steps) <= FEW else "", label=label, **faint)
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend()
    elif _is_wide([value for _, values in curves.values() for value in values]):
        axes.set_yscale("log")


def _is_wide(values: Sequence[float]) -> bool:
    return 0 < WIDE * min(values) < max(values)
