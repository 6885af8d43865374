"""What all tests share: their options, the counts of the fault rows, and the table of those."""

import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fault_rows import ROWS
from hypothesis import settings

from losslab.plots.figures import Figure

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as a shell begins what it runs in the background
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # the programs that tests start are to know Ctrl-C
os.environ.setdefault("OMP_NUM_THREADS", "1")  # pytest-xdist already uses every core
os.environ.setdefault("KERAS_BACKEND", "torch")  # Keras's own default is TensorFlow
# A busy machine is no fault, and the same commit gets the same verdict everywhere.
settings.register_profile("losslab", deadline=None, derandomize=True)
settings.load_profile("losslab")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full-faults",
        action="store_true",
        help="full counts of the fault rows, and their table",
    )


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that read a page alone: its figures, which take most of its time, are empty files."""

    def write_nothing(figure: Figure, folder: Path, suffixes: Sequence[str]) -> None:
        for suffix in suffixes:
            (folder / f"{figure.name}{suffix}").touch()

    monkeypatch.setattr("losslab.reports.render.write_files", write_nothing)


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """The first number in the quick suite, the second under `make faults`."""
    full: bool = request.config.getoption("full_faults")
    return lambda quick, whole: whole if full else quick


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Tells the table of faults what was measured."""
    return partial(record_property, "measured")


def pytest_itemcollected(item: pytest.Item) -> None:
    item.user_properties += [("row", mark.args[0]) for mark in item.iter_markers("row")]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("full_faults") and not all(
        passed for *_, passed in _table(session.config)
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.getoption("full_faults"):
        terminalreporter.section("faults")
        for number, fault, wanted, measured, passed in _table(config):
            terminalreporter.write_line(f"{number:>2}  {'pass' if passed else 'FAIL'}  {fault}")
            terminalreporter.write_line(
                f"          wanted: {wanted}\n          measured: {measured}"
            )


def _table(config: pytest.Config) -> Iterator[tuple[int, str, str, str, bool]]:
    """A line for each row; it passes when at least one test proves it and each of its tests passed."""
    outcomes: dict[int, list[str]] = defaultdict(list)
    figures: dict[int, list[str]] = defaultdict(list)
    for outcome, reports in config.pluginmanager.get_plugin("terminalreporter").stats.items():
        for report in reports:
            properties = getattr(report, "user_properties", [])
            for row in [value for key, value in properties if key == "row"]:
                if outcome:  # "" is a test's set-up and tear-down that went well
                    outcomes[row].append(outcome)
                    figures[row] += [value for key, value in properties if key == "measured"]
    for number, (fault, wanted) in ROWS.items():
        good = outcomes[number].count("passed")
        counted = (
            f"{good} of {len(outcomes[number])} tests passed" if outcomes[number] else "not run"
        )
        yield (
            number,
            fault,
            wanted,
            "; ".join([*figures[number], counted]),
            0 < good == len(outcomes[number]),
        )


@pytest.fixture
def instant_planning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have planning take no time: it counts against the budget, and on a slow machine would decide what fits."""
    monkeypatch.setattr("losslab.study.planning.monotonic", lambda: 0.0)
