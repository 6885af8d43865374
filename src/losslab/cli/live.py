"""The runs of a study at work, as a table that a terminal shows anew while they train."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from rich.console import Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from losslab.cli.options import show_duration
from losslab.records import Start, Steps
from losslab.spec import Run
from losslab.study.execute import RunRecorded
from losslab.study.sizes import training_images
from losslab.study.stages import labels
from losslab.timeline import Timeline


@dataclass
class _Row:
    """A run at work: how far it is, and since when and where this session watches it."""

    name: str
    timeline: Timeline
    step: int = 0
    loss: float | None = None
    accuracy: float | None = None
    watched_from: int = 0
    since: float = field(default_factory=monotonic)

    def update(self, record: Steps) -> None:
        if self.loss is None:  # one that goes on does not begin at step 0
            self.watched_from = record.first_step
        images = sum(record.batch_size)
        self.step = record.first_step + len(record.loss)
        self.loss = sum(loss * size for loss, size in zip(record.loss, record.batch_size, strict=True)) / images
        self.accuracy = sum(record.correct) / images

    def cells(self) -> tuple[str, ...]:
        """Run, epoch, loss, accuracy, time left."""
        seen, images = self.timeline.seen, self.timeline.training_images
        epoch = f"{seen[self.step] / images:.2f} of {seen[-1] / images:.4g}"
        if self.loss is None:
            return self.name, epoch, "", "", ""
        pace = (monotonic() - self.since) / max(1, self.step - self.watched_from)
        left = show_duration(pace * (self.timeline.total_steps - self.step))
        return self.name, epoch, f"{self.loss:.4f}", f"{self.accuracy:.1%}", left


class Board:
    """A stage's bar and a row for each run that trains now."""

    def __init__(self) -> None:
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("runs"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self._names: dict[str, str] = {}
        self._rows: dict[str, _Row] = {}

    def begin(self, stage: str, runs: Sequence[Run], missing: int) -> None:
        """Show a stage in place of the one before."""
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._names, self._rows = labels(runs), {}
        self._bar.add_task(stage, total=len(runs), completed=len(runs) - missing)

    def record(self, event: RunRecorded) -> None:
        """Show what a run has come to."""
        run, record = event.run, event.record
        if isinstance(record, Start | Steps) and run.id not in self._rows:
            self._rows[run.id] = _Row(self._names[run.id], Timeline(run, training_images(run)))
        if isinstance(record, Steps):
            self._rows[run.id].update(record)

    def name(self, run: Run) -> str:
        """What tells a run of the stage from the others."""
        return self._names[run.id]

    def end(self, run: Run) -> None:
        """A run has ended."""
        self._rows.pop(run.id, None)
        for task in self._bar.task_ids:
            self._bar.advance(task)

    def __rich__(self) -> RenderableType:
        table = Table("run", "epoch", "loss", "accuracy", "left", box=None, padding=(0, 2, 0, 2), header_style="dim")
        for row in list(self._rows.values()):
            table.add_row(*row.cells())
        return Group(self._bar, table) if self._rows else self._bar
