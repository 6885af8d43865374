"""Where an answer goes: to the terminal as text or JSON, to a picture, to a file that is read again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from losslab.choice import Choice
from losslab.cli.options import print_json
from losslab.cli.text_plot import text_plot
from losslab.files import write_json
from losslab.plots.figures import Figure
from losslab.plots.files import check_file, check_picture, draw
from losslab.ranges import BatchRange, CriticalBatch, LrRange, Setting
from losslab.ranges.answer import Answer
from losslab.spec import Run
from losslab.study.sizes import training_images
from losslab.text import cell
from losslab.training.timeline import Timeline

COLUMNS = {
    "batch size": "batch_size",
    "loss": "loss",
    "samples/s": "samples_per_second",
    "s to target": "seconds_to_target",
    "noise scale": "noise_scale",
}
"""Heading -> entry of the curve of a range of batch sizes."""
BRANCH_COLUMNS = {"batch size": "batch_size", "lr": "lr", "loss": "loss", "excess": "excess"}


@dataclass(frozen=True)
class Output:
    """What the user wants of an answer; that it can be written is checked before anything trains.

    Attributes:
        json: print it as JSON, and no text.
        figure: picture to write.
        out: JSON file to write.
    """

    json: bool
    figure: Path | None
    out: Path | None

    def __post_init__(self) -> None:
        if self.figure:
            check_picture("--figure", self.figure)
        if self.out:
            check_file("--out", self.out, [".json"])

    def write(self, facts: dict[str, Any], text: str, figures: Sequence[Figure]) -> None:
        """Print an answer and write its files."""
        # Files first: a reader that has closed the pipe costs no answer, and neither does a disk that is full.
        try:
            if self.out:
                write_json(self.out, facts)
            if self.figure:
                draw(figures).savefig(self.figure)
        finally:
            print_json(facts) if self.json else print(text)


def setting_of(run: Run, lrs: list[float], seeds: int, sizes: list[int]) -> Setting:
    """State what is done, as an answer has it."""
    return Setting(
        optimizer=str(Choice(**run.optimizer.model_dump(mode="json"))),
        loss=str(run.loss),
        lrs=lrs,
        steps=Timeline(run, training_images(run)).total_steps,
        seeds=seeds,
        batch_sizes=sizes,
    )


def lr_text(found: LrRange) -> str:
    """Draw the curve of a range of learning rates and say what was found."""
    plot = text_plot(
        found.curve.lr,
        found.curve.smoothed_loss,
        names=("learning rate", "training loss, averaged"),
        log=True,
        marks={
            "lr_min": found.lr_min,
            "suggestion": found.suggestion,
            "lr_max": found.lr_max,
        },
    )
    return _lines([plot, *_words(found)])


def batch_text(found: BatchRange) -> str:
    """Draw the curve of a range of batch sizes, list the sizes and say what was found."""
    curve = found.to_dict()["curve"]
    marks = {"b_min": found.b_min, "b_max": found.b_max}
    plot = text_plot(
        curve["batch_size"],
        curve["loss"],
        names=("batch size", "training loss after equal steps"),
        log=True,
        marks=marks,
    )
    return _lines([plot, *_rows(curve, COLUMNS), *_words(found)])


def branch_text(epoch: float, found: CriticalBatch) -> str:
    """Draw the curve of branches, list the sizes and say what was found."""
    curve = found.to_dict()["curve"]
    plot = text_plot(
        curve["batch_size"],
        curve["loss"],
        names=("batch size", f"loss after equal samples, from epoch {epoch:.3g}"),
        log=True,
        marks={"critical size": found.critical_size},
    )
    return _lines([plot, *_rows(curve, BRANCH_COLUMNS), *_words(found)])


def _words(found: Answer) -> list[str]:
    values = found.values if found.found else ""
    return [values, found.reason, found.setting.sentence if found.setting else ""]


def _rows(curve: dict[str, list[Any]], columns: dict[str, str]) -> list[str]:
    values = [curve[name] for name in columns.values()]
    return [_padded(row) for row in (columns, *zip(*values, strict=True))]


def _padded(row: Iterable[Any]) -> str:
    """The cells of a row, each as wide as the others."""
    return "  ".join(f"{cell(value):>11}" for value in row)


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(filter(None, lines))
