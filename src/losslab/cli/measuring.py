"""Name what a plan measures while it does, and end it when the budget is used up."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from time import monotonic
from typing import Any

from rich.console import Console
from rich.status import Status

from losslab.errors import BudgetTooSmall
from losslab.study.engines import Engine
from losslab.study.engines.local import Ended, Event, Task
from losslab.text import duration


def watched(engine: Engine, budget_seconds: float | None, *, quiet: bool = False) -> Engine:
    """Wrap the engine for the measurements of a plan, each of which is named on standard error.

    Args:
        engine: where they are done.
        budget_seconds: for measuring and running together, from now on; None for any time.
        quiet: name nothing.
    """
    began = monotonic()
    console = Console(stderr=True, quiet=quiet, highlight=False, markup=False)

    def run_tasks(tasks: Iterable[Task], **crew: Any) -> Iterator[Event]:
        measurements = list(tasks)
        ended = 0
        events = closing(engine.run_tasks(measurements, **crew))  # type: ignore[type-var]
        with Status("", console=console) as status, events as working:
            if measurements:
                _announce(measurements, ended, console, status)
            for event in working:
                yield event
                if isinstance(event, Ended):
                    ended += 1
                    # After the last there is nothing left to stop.
                    if ended < len(measurements):
                        _check_budget(monotonic() - began, budget_seconds)
                        _announce(measurements, ended, console, status)

    return replace(engine, run_tasks=run_tasks)


def _announce(measurements: list[Task], ended: int, console: Console, status: Status) -> None:
    """Name the next measurement: over the one before on a terminal, in a line of its own elsewhere."""
    run = measurements[ended].arguments[0]
    progress = f"{ended + 1} of {len(measurements)}"
    line = f"measuring {run.model} with {run.optimizer.name} on {run.data.name} ({progress})"
    if console.is_terminal:
        status.update(line)
    else:
        console.print(line, soft_wrap=True)


def _check_budget(seconds: float, budget_seconds: float | None) -> None:
    if budget_seconds is not None and seconds > budget_seconds:
        raise BudgetTooSmall(
            f"the budget (={duration(budget_seconds)}) is over before all steps are measured; give it more time"
        )
