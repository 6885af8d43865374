"""How far a range test is and how long it will take, shown on a terminal and in a notebook while it trains."""

import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from html import escape
from time import monotonic
from typing import Any

from losslab.text import duration

SECONDS_BETWEEN = 0.2
"""From one picture to the next, at least."""


@dataclass
class Progress:
    """The work of a test, in any unit that takes about as long each time, such as batches or samples.

    Attributes:
        total: what there is to do at most; what turns out not to be needed is taken off.
        show: called now and then with this value; None shows nothing.
        label: what is being done.
        done: of the total.
    """

    total: float = 0.0
    show: "Callable[[Progress], None] | None" = None
    label: str = ""
    done: float = 0.0
    _first: tuple[float, float] | None = None
    """When the first part was done, and how much: what comes before it, such as the start of workers, has no pace."""
    _shown: float = -SECONDS_BETWEEN

    def advance(self, amount: float) -> None:
        """So much more is done."""
        self.done += amount
        now = monotonic()
        if self._first is None:
            self._first = now, self.done
        if self.show is not None and now - self._shown >= SECONDS_BETWEEN:
            self._shown = now
            self.show(self)

    @contextmanager
    def part(self, label: str, amount: float) -> Iterator[None]:
        """Name what is done within the context, and take off the total what it did not need of its amount."""
        self.label = label
        before = self.done
        yield
        self.total -= amount - (self.done - before)

    @property
    def text(self) -> str:
        """The part that is done, and the time left at the pace until now."""
        if self._first is None or not self.total:
            return ""
        percent = f"{min(1.0, self.done / self.total):.0%}"
        since, before = self._first
        if self.done <= before:
            return percent
        pace = (monotonic() - since) / (self.done - before)
        return f"{percent}, {duration(pace * max(0.0, self.total - self.done))} left"


@contextmanager
def watched(*, wanted: bool = True) -> Iterator[Progress]:
    """Show progress within the context, in a notebook or on a terminal; elsewhere, and in other processes, none.

    Args:
        wanted: False shows none.
    """
    with _display() if wanted else nullcontext() as show:
        yield Progress(show=show)


def _display() -> AbstractContextManager[Callable[[Progress], None] | None]:
    # By what torchrun says, so that a test without processes need not know of them.
    if os.environ.get("RANK", "0") != "0":
        return nullcontext()
    if _is_notebook():
        return _in_notebook()
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return _on_terminal() if is_terminal and os.environ.get("TERM") != "dumb" else nullcontext()


def _is_notebook() -> bool:
    # IPython is not imported where nothing else has: only a notebook's kernel needs it.
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


@contextmanager
def _on_terminal() -> Iterator[Callable[[Progress], None]]:
    # rich draws from Python's random numbers when it is imported, which are the user's.
    state = random.getstate()
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    random.setstate(state)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    bar = Bar(
        *columns,
        console=Console(stderr=True, force_terminal=True),
        transient=True,
        auto_refresh=False,  # no thread beside those that train
        # What a loss prints stands above the bar, but never where a file or a pipe waits for it.
        redirect_stdout=sys.stdout.isatty(),
    )
    task = bar.add_task("", text="")

    def show(progress: Progress) -> None:
        bar.update(
            task,
            description=progress.label,
            total=progress.total,
            completed=progress.done,
            text=progress.text,
            refresh=True,
        )

    with bar:
        yield show


@contextmanager
def _in_notebook() -> Iterator[Callable[[Progress], None]]:
    # A bar of the browser: those of rich and tqdm need widgets, which few kernels have.
    from IPython.display import HTML, display

    handle = display(HTML(""), display_id=True)

    def show(progress: Progress) -> None:
        bar = f'<progress value="{progress.done}" max="{progress.total}"></progress>'
        handle.update(HTML(f"{escape(progress.label)} {bar} {progress.text}"))

    try:
        yield show
    finally:
        handle.update(HTML(""))


def seed_label(seed: int, seeds: int) -> str:
    """Which of a test's seeds is trained, for people.

    Example:
        >>> seed_label(0, 3)
        'seed 1 of 3'
    """
    return f"seed {seed + 1} of {seeds}"
