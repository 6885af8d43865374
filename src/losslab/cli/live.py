"""The runs of a study at work, as a table that a terminal shows anew while they train."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic

from rich.console import Group, RenderableType
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from losslab.records import Evaluation, Start, Steps, metrics_of
from losslab.spec import Run
from losslab.study.events import RunRecorded, StageBegan
from losslab.study.fields import labels
from losslab.study.sizes import training_images
from losslab.text import duration, loss, score
from losslab.training.timeline import Timeline


@dataclass(frozen=True)
class _Row:
    """A run at work: how far it is, and since when and from which step on it has been watched."""

    name: str
    timeline: Timeline
    since: float
    watched_from: int
    step: int
    loss: str = ""
    metric: str = ""
    """The name of the first metric; empty while none is known."""
    score: str = ""
    is_scored_by_step: bool = False

    def after(self, record: Steps) -> "_Row":
        """Return the row when these steps are done."""
        # Weighted by images: a last batch that is short counts for what it holds.
        images = sum(record.batch_size)
        losses = [
            mean * size for mean, size in zip(record.loss, record.batch_size, strict=True)
        ]
        step = record.first_step + len(record.loss)
        row = replace(self, step=step, loss=loss(sum(losses) / images))
        if not record.correct:
            return row
        accuracy = f"{sum(record.correct) / images:.1%}"
        return replace(row, metric="accuracy", score=accuracy, is_scored_by_step=True)

    def evaluated(self, record: Evaluation) -> "_Row":
        """Return the row with the first metric of an evaluation, where steps have none."""
        scores = metrics_of(record, "validation") or metrics_of(record, "train")
        if self.is_scored_by_step or not scores:
            return self
        metric, value = next(iter(scores.items()))
        return replace(self, metric=metric, score=score(metric, value))

    def cells(self) -> tuple[str, ...]:
        """List run, epoch, loss, first metric, time left."""
        seen, images = self.timeline.seen, self.timeline.training_images
        epoch = f"{seen[self.step] / images:.2f} of {seen[-1] / images:.4g}"
        left = _left(
            self.since, self.step - self.watched_from, self.timeline.total_steps - self.step
        )
        return self.name, epoch, self.loss, self.score, left


def _left(since: float, done: float, missing: float) -> str:
    """Estimate the time that is left at the pace until now; nothing where no pace is known."""
    return duration((monotonic() - since) / done * missing) if done else ""


def _heading(rows: Sequence[_Row]) -> str:
    """The name of the runs' first metric; none while no run has any."""
    # In the order of the rows, each once: runs of a stage may have different tasks.
    names = dict.fromkeys(row.metric for row in rows if row.metric)
    return " or ".join(names)


class Board:
    """A stage's bar and a row for each run that trains now."""

    def __init__(self) -> None:
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[ended]} of {task.total}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._names: dict[Run, str] = {}
        self._rows: dict[Run, _Row] = {}
        self._before = self._ended = 0
        self._since = 0.0

    def begin(self, event: StageBegan) -> None:
        """Show a stage instead of the one before."""
        planned = len(event.runs or event.counts)
        # By identity, which is too dear to ask of a run at every record.
        names = labels(event.runs)
        self._names, self._rows = {run: names[run.id] for run in event.runs}, {}
        self._before = self._ended = planned - event.missing
        self._since = monotonic()
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._bar.add_task(event.stage, total=planned, ended=0, left="")

    def name(self, run: Run) -> str:
        """Name a run by what distinguishes it in its stage."""
        return self._names[run]

    def record(self, event: RunRecorded) -> None:
        """Show what a run has come to."""
        run, record = event.run, event.record
        if isinstance(record, Start | Steps) and run not in self._rows:
            # A run that goes on is at this step already; its pace is that of the steps from here on.
            step = record.first_step + len(record.loss) if isinstance(record, Steps) else 0
            timeline = Timeline(run, training_images(run))
            self._rows[run] = _Row(self._names[run], timeline, monotonic(), step, step)
        if isinstance(record, Steps):
            self._rows[run] = self._rows[run].after(record)
        elif isinstance(record, Evaluation) and run in self._rows:
            self._rows[run] = self._rows[run].evaluated(record)

    def end(self, run: Run | None = None) -> None:
        """Take a run that has ended off the board; without one, a network has been counted."""
        self._ended += 1
        if run:
            self._rows.pop(run, None)

    def __rich__(self) -> RenderableType:
        rows = list(self._rows.values())
        # Runs count by their parts that are done, or the bar would stand still for the whole of a long run.
        done = self._ended + sum(row.step / row.timeline.total_steps for row in rows)
        for task in self._bar.tasks:
            time_left = _left(self._since, done - self._before, (task.total or 0.0) - done)
            left = f"{time_left} left" if time_left else ""
            self._bar.update(task.id, completed=done, ended=self._ended, left=left)
        table = Table(
            "run",
            "epoch",
            "loss",
            _heading(rows),
            "left",
            box=None,
            padding=(0, 2, 0, 2),
            header_style="dim",
        )
        for row in rows:
            table.add_row(*row.cells())
        return Group(self._bar, table) if rows else self._bar
