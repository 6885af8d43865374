"""The progress of a study: a live bar on a terminal, plain lines elsewhere."""

from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from losslab.records import Steps
from losslab.study.execute import Counted, Progress, RunEnded, RunRecorded, StageBegan, StageSkipped
from losslab.study.results import RunResult
from losslab.study.sizes import training_images
from losslab.study.stages import labels
from losslab.timeline import Timeline


def show_progress(progress: Iterator[Progress], console: Console) -> None:
    """Print the progress to its end.

    Closes the progress when interrupted, so that the running workers save their state.
    """
    names: dict[str, str] = {}
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    bar = Bar(*columns, console=console, disable=not console.is_terminal, transient=True)
    try:
        with bar:
            for event in progress:
                if isinstance(event, StageBegan):
                    names = labels(event.runs)
                    steps = sum(Timeline(run, training_images(run)).total_steps for run in event.runs)
                    task = bar.add_task(event.stage, total=steps)
                    kind, planned = ("networks", event.counts) if event.counts else ("runs", event.runs)
                    console.print(f"{event.stage}: {event.missing} of {len(planned)} {kind} to do")
                elif isinstance(event, StageSkipped):
                    console.print(f"{event.stage}: {event.runs} runs left out, because {event.reason}", soft_wrap=True)
                elif isinstance(event, RunRecorded) and isinstance(event.record, Steps):
                    bar.advance(task, len(event.record.loss))
                elif isinstance(event, RunEnded):
                    console.print(f"  {names[event.run.id]}: {outcome(event.result)}", soft_wrap=True)
                elif isinstance(event, Counted):
                    console.print(f"  {event.count.model}: {costs(event)}", soft_wrap=True)
    finally:
        progress.close()  # type: ignore[attr-defined]


def costs(counted: Counted) -> str:
    """What a network costs, or why that is not known, in a few words."""
    if counted.ledger is None:
        return f"failed: {counted.error}"
    totals = counted.ledger["totals"]
    return f"{totals['parameters']:,} parameters, {totals['macs']:,} MACs"


def outcome(result: RunResult) -> str:
    """How a run ended, in a few words."""
    if result.status != "done":
        return f"{result.status}: {result.message}"
    last, final = result.evaluations[-1], result.final
    parts = [f"training loss {last.train_loss:.4f}"]
    if last.validation_loss is not None:
        parts.append(f"validation loss {last.validation_loss:.4f} accuracy {last.validation_accuracy:.2%}")
    if final and final.test_accuracy is not None:
        parts.append(f"test accuracy {final.test_accuracy:.2%}")
    return f"{', '.join(parts)}, {last.train_seconds:.1f} s of training"
