"""A range test shows how far it is where somebody sees it, says nothing elsewhere, and finds the same either way."""

import io
import random
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from own_network import loader, network, plain
from samples import tiny_data
from torch import nn

import losslab
from losslab.ranges import progress as module
from losslab.ranges.branch_runs import branch_run
from losslab.ranges.progress import Progress
from losslab.spec import make_run


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class DrawingData:
    """Batches in an order that Python's own random numbers decide."""

    def __iter__(self) -> Iterator[Any]:
        batches = list(loader())
        return iter(random.sample(batches, len(batches)))


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Let the standard error be a terminal, which shows every step."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(module, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return stream


def find_lr(**options: Any) -> losslab.LrRange:
    return losslab.find_lr(network(), DrawingData(), "adam", steps=40, seeds=2, **options)


def find_batch(**options: Any) -> losslab.BatchRange:
    return losslab.find_batch(
        plain(), loader(), "adam", lr=0.01, sizes=[16, 32], steps=10, seeds=2, **options
    )


def find_branch(**options: Any) -> losslab.CriticalBatch:
    return losslab.find_batch(
        plain(),
        loader(),
        "adam",
        lr=0.01,
        sizes=[16, 32],
        steps=11,
        seeds=2,
        mode="branch",
        **options,
    )


def test_a_terminal_shows_the_part_that_is_done_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = on_terminal(monkeypatch)
    find_lr()
    text = terminal.getvalue()
    assert "seed 1 of 2" in text
    assert "seed 2 of 2" in text
    first = re.search(r"(\d+)%", text)
    assert first is not None
    assert first[1] == "1"
    assert "50%, " in text
    assert "100%, 0.0 s left" in text
    assert text.rstrip("\x1b[?25h").endswith("\x1b[2K")  # the line is erased at the end
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("setting", [{"progress": False}, {"TERM": "dumb"}, {"RANK": "1"}])
def test_nothing_is_shown_where_it_is_not_wanted_or_cannot_be(
    setting: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    options = {name: value for name, value in setting.items() if name == "progress"}
    for name, value in setting.items() - options.items():
        monkeypatch.setenv(name, value)
    find_batch(**options)
    assert terminal.getvalue() == ""


def test_nothing_is_shown_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # with which rich takes every stream for a terminal
    find_lr()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("find", [find_lr, find_batch, find_branch])
def test_what_is_found_and_what_is_drawn_afterwards_is_the_same(
    find: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    # As in a process that has not imported rich yet, which draws then.
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    random.seed(3)
    shown = find()
    drawn = random.random()
    assert terminal.getvalue()
    random.seed(3)
    alone = find(progress=False)
    assert random.random() == drawn
    assert losses(shown) == losses(alone)


def losses(found: Any) -> dict[str, Any]:
    facts = found.to_dict()
    return {name: facts["curve"][name] for name in ("loss", "loss_low", "loss_high")}


@pytest.mark.parametrize(
    ("find", "total"),
    [
        (find_lr, 2 * 40),
        (lambda: find_lr(accumulate=2), 2 * 40 * 2),
        (lambda: find_lr(mode="grid", candidates=4, end=0.1), 2 * 40 * 4),
        (find_batch, 2 * 10 * (1 + 2)),
        (find_branch, 2 * 12 * 2),
    ],
    ids=["lr", "accumulated", "grid", "batch", "branch"],
)
def test_what_is_done_adds_up_to_the_batches_that_were_foreseen(
    find: Callable[[], Any], total: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch(monkeypatch)
    find()
    parts = [part for part, _ in seen]
    assert parts == sorted(parts)
    assert {whole for _, whole in seen} == {total}
    assert parts[-1] == total


def test_what_a_training_that_diverges_does_not_need_is_taken_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_number(model: nn.Module, batch: Any) -> torch.Tensor:
        return model(batch[0]).mean() * float("nan")

    seen = watch(monkeypatch)
    losslab.find_lr(plain(), loader(), "sgd", loss_fn=no_number, steps=60, seeds=2)
    # Each ends when its first ten losses are read.
    assert (seen[0], seen[10], seen[-1]) == ((1, 120), (11, 70), (20, 70))


def test_the_steps_before_a_branch_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch(monkeypatch)
    fields = {"data": "samples:tiny_data", "model": "mlp(hidden=[8])", "optimizer": "sgd"}
    run = make_run({**fields, "lr": 0.01, "batch": 8, "steps": 4})
    branch_run(run, tiny_data(), after=23, sizes=[8, 16], steps=4, seeds=1)
    assert [part for part in seen if part[1] == 23] == [(10, 23), (20, 23), (23, 23)]


def watch(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Done and total at every step, in place of a picture."""
    seen: list[tuple[float, float]] = []

    def show(progress: Progress) -> None:
        seen.append((progress.done, progress.total))

    monkeypatch.setattr(module, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(module, "_display", lambda: nullcontext(show))
    return seen


def test_the_time_left_is_that_of_the_pace_until_now(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    progress = Progress(total=400)
    assert progress.text == ""
    clock.now = 140.0  # workers start
    progress.advance(100)
    assert progress.text == "25%"
    clock.now = 150.0
    progress.advance(100)
    assert progress.text == "50%, 20.0 s left"
    with progress.part("a half", 200):
        progress.advance(100)
    assert progress.text == "100%, 0.0 s left"


def test_a_notebook_shows_a_bar_that_is_gone_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pages: list[str] = []
    handle = SimpleNamespace(update=pages.append)
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    vars(ipython)["get_ipython"] = lambda: SimpleNamespace(kernel=object())
    vars(display).update(HTML=str, display=lambda page, display_id: handle)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(module, "SECONDS_BETWEEN", 0.0)
    find_lr()
    assert pages[0].startswith('seed 1 of 2 <progress value="1.0" max="80"></progress> 1%')
    assert pages[-2].startswith(
        'seed 2 of 2 <progress value="80.0" max="80.0"></progress> 100%'
    )
    assert pages[-1] == ""
    assert capsys.readouterr() == ("", "")
    # A terminal's IPython has no kernel, and is no notebook.
    vars(ipython)["get_ipython"] = lambda: SimpleNamespace()
    pages.clear()
    find_lr()
    assert pages == []
