"""``losslab train --dry-run``: a run laid out step by step before it trains."""

from collections.abc import Sequence
from json import dumps
from typing import Any

from losslab.choice import Choice
from losslab.cli.text_plot import text_plot
from losslab.study.sizes import sample_noun
from losslab.text import count, number
from losslab.training.timeline import Step, Timeline

ROWS = 16
"""Parts of the run whose ends are printed; four cycles have their ends and middles there."""


def as_row(timeline: Timeline) -> dict[str, Any]:
    """Write the whole timeline as a JSON object: totals, and a list entry for each step."""
    steps = list(timeline.steps())
    return {
        "kind": "timeline",
        **_totals(timeline),
        "epoch": [timeline.seen[step.index] / timeline.training_images for step in steps],
        "batch_size": [step.batch_size for step in steps],
        "lr": [step.lr for step in steps],
    }


def as_lines(timeline: Timeline) -> list[str]:
    """Write totals, a table of a few steps, evenly spaced, and a curve of each policy."""
    totals = _totals(timeline)
    steps = list(timeline.steps())
    last = len(steps) - 1
    samples = f"{sample_noun(timeline.run)}s"
    # A set, as short runs have fewer steps.
    shown = sorted({round(last * row / ROWS) for row in range(ROWS + 1)})
    lrs = [step.lr for step in steps]
    return [
        f"{totals['training_images']:,} training {samples}; {count(totals['total_steps'], 'step')}, "
        f"{number(totals['epochs'])} epochs, {totals['samples']:,} {samples} seen, "
        f"{count(totals['evaluations'], 'evaluation')}",
        f"batch size {_span(timeline.batch_sizes)}, learning rate {_span(lrs)}",
        f"{'step':>9}{'epoch':>10}{'batch size':>13}{'lr':>14}",
        *(_line(timeline, steps[index]) for index in shown),
        *_curve("learning rate", timeline.run.lr, lrs),
        *_curve("batch size", timeline.run.batch, timeline.batch_sizes),
    ]


def print_timeline(timeline: Timeline, *, json: bool) -> None:
    """Print a timeline, for people or as one JSON object on one line."""
    print(dumps(as_row(timeline), allow_nan=False) if json else "\n".join(as_lines(timeline)))


def _totals(timeline: Timeline) -> dict[str, Any]:
    samples = timeline.seen[-1]
    return {
        "training_images": timeline.training_images,
        "total_steps": timeline.total_steps,
        "epochs": samples / timeline.training_images,
        "samples": samples,
        "evaluations": timeline.evaluations,
    }


def _line(timeline: Timeline, step: Step) -> str:
    epoch = timeline.seen[step.index] / timeline.training_images
    return f"{step.index:>9,}{epoch:>10.2f}{step.batch_size:>13,}{number(step.lr):>14}"


def _curve(name: str, policy: float | Choice, values: Sequence[float]) -> list[str]:
    """Plot a policy by step; nothing of a number, which only the end of an epoch cuts."""
    if not isinstance(policy, Choice):
        return []
    return ["", text_plot(range(len(values)), values, names=("step", name))]


def _span(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return number(low) if low == high else f"{number(low)} to {number(high)}"
