"""The progress of a study: a live table on a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import nullcontext

from rich.console import Console
from rich.live import Live

from losslab.cli.live import Board
from losslab.records import Evaluation, Final, metrics_of
from losslab.study.events import (
    Counted,
    PlanChanged,
    Progress,
    RunEnded,
    RunRecorded,
    StageBegan,
    StageSkipped,
)
from losslab.study.facts import describe_change
from losslab.study.results import RunResult
from losslab.text import duration, loss, score


def show_progress(progress: Iterator[Progress], console: Console) -> None:
    """Print the progress to its end.

    Closes the progress when interrupted, so that the running workers save their state.
    """
    board = Board()
    is_live = console.is_terminal and not console.quiet
    try:
        # Transient: what stays on the screen are the lines of runs that ended, the same as in a log.
        with Live(board, console=console, transient=True) if is_live else nullcontext():
            for event in progress:
                _show(event, board, console)
    finally:
        progress.close()  # type: ignore[attr-defined]


def _show(event: Progress, board: Board, console: Console) -> None:
    if isinstance(event, StageBegan):
        planned = (
            f"{len(event.counts):,} networks" if event.counts else f"{len(event.runs):,} runs"
        )
        console.print(f"{event.stage}: {event.missing:,} of {planned} to do")
        board.begin(event)
    elif isinstance(event, StageSkipped):
        console.print(
            f"{event.stage}: {event.runs} runs left out, because {event.reason}", soft_wrap=True
        )
    elif isinstance(event, PlanChanged):
        console.print(f"{describe_change(event.change)}; now {event.scale}", soft_wrap=True)
    elif isinstance(event, RunRecorded):
        board.record(event)
    elif isinstance(event, RunEnded):
        console.print(f"  {board.name(event.run)}: {outcome(event.result)}", soft_wrap=True)
        board.end(event.run)
    elif isinstance(event, Counted):
        console.print(f"  {event.count.model}: {costs(event)}", soft_wrap=True)
        board.end()


def costs(counted: Counted) -> str:
    """Say in a few words what a network costs, or why that is not known."""
    if counted.ledger is None:
        return f"failed: {counted.error}"
    totals = counted.ledger["totals"]
    return f"{totals['parameters']:,} parameters, {totals['macs']:,} MACs"


def outcome(result: RunResult) -> str:
    """Say in a few words how a run ended."""
    if result.status != "done":
        return f"{result.status}: {result.message}"
    last, final = result.evaluations[-1], result.final
    parts = [f"training loss {loss(last.train_loss)}"]
    if last.validation_loss is not None:
        parts.append(scored("validation loss", last.validation_loss, last, "validation"))
    if final and final.test_loss is not None:
        parts.append(" ".join(["test", *_metrics(final, "test")]))
    return f"{', '.join(parts)}, {duration(last.train_seconds)} of training"


def scored(label: str, value: float, record: Evaluation | Final, part: str) -> str:
    """Write the loss of a part, and what else was measured of it."""
    return " ".join([f"{label} {loss(value)}", *_metrics(record, part)])


def _metrics(record: Evaluation | Final, part: str) -> list[str]:
    """Write what was measured of a part beside its loss, each in a word and a number."""
    return [f"{name} {score(name, value)}" for name, value in metrics_of(record, part).items()]
