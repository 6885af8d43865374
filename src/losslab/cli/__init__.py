"""The command line: one file per command; each parses, calls and prints, and knows nothing more."""

import select
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from platform import python_version
from sysconfig import get_path
from traceback import FrameSummary, extract_tb

from cyclopts import App, CycloptsError, Parameter

from losslab import __version__
from losslab.cli.parsing import explained, value_of
from losslab.errors import DataUnavailable, Interrupted, InvalidInput, LosslabError


def _versions() -> str:
    return f"losslab {__version__}, torch {version('torch')}, Python {python_version()}"


_HOME = str(Path(__file__).parents[1])
_LIBRARY = get_path("stdlib")
_TRACEBACK = "`python -X dev -m losslab ...` prints the traceback"


app = App(
    name="losslab",
    help="Measure how a neural network trains and what it costs, before the budget is spent.",
    version=_versions,
    default_parameter=Parameter(converter=value_of),
    # The parser would end the process without a word.
    suppress_keyboard_interrupt=False,
)

_COMMANDS = {
    "count": (
        "losslab.cli.count:count",
        "Count parameters, activations, multiply-accumulates and receptive fields, with the arithmetic shown.",
        "losslab count vgg19 --no-bias --show-work",
    ),
    "data": ("losslab.cli.data:app", "List, fetch and show data sets.", ""),
    "train": (
        "losslab.cli.train:train",
        "Train one run and print its records; with --out they are kept, and an interrupted run goes on from there.",
        "losslab train --model mlp --data cifar10 --optimizer adam --lr 1e-3 --epochs 2",
    ),
    "find": (
        "losslab.cli.find:app",
        "Find the range of learning rates or batch sizes by training.",
        "",
    ),
    "study": ("losslab.cli.study:app", "Plan, run and resume studies.", ""),
    "report": (
        "losslab.cli.report:report",
        "Write the report of a study folder: one offline HTML file.",
        "losslab report runs/adaptive-optimizers --open",
    ),
    "machine": (
        "losslab.cli.machine:machine",
        "Show versions, cached data, cores, memory, and how fast this machine multiplies and copies.",
        "losslab machine --json",
    ),
    "export": (
        "losslab.cli.export:export",
        "Write the records of a study or a run for TensorBoard, MLflow or Weights & Biases.",
        "losslab export runs/adaptive-optimizers --to tensorboard",
    ),
}
"""Command -> where it lives (imported only when it is called), what it does and an example."""

for _name, (_path, _does, _example) in _COMMANDS.items():
    app.command(
        _path, name=_name, help=f"{_does}\n\nExample: {_example}" if _example else _does
    )

app.register_install_completion_command(help="Make the shell complete commands and options.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 the run failed, 2 the input is wrong, 130 or 143 interrupted."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        # A terminal without the characters of a plot or a name shows a question mark in their place.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(run_command(arguments))


def _terminate(number: int, _frame: object) -> None:
    # An exception unwinds: runs save their state and workers are ended, which a plain SIGTERM would not wait for.
    raise Interrupted("terminated", number)


def run_command(arguments: Sequence[str] | None) -> int:
    """Run one command and say in one line what went wrong; return its exit code."""
    try:
        # The parser's own messages and exits are replaced, so that every error has the form of losslab's.
        status = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        words = sys.argv[1:] if arguments is None else arguments
        return _complain(explained(error, words), 2)
    except Interrupted as error:
        return _complain(str(error), 128 + error.signal_number)
    except LosslabError as error:
        # One whose cause is in the user's own code, such as a `forward` that fails at the first step.
        own = _own_frames(error.__cause__) if error.__cause__ else []
        if own and sys.flags.dev_mode:
            raise
        where = f" ({own[-1].filename}, line {own[-1].lineno}); {_TRACEBACK}" if own else ""
        return _complain(
            f"{error}{where}", 2 if isinstance(error, InvalidInput | DataUnavailable) else 1
        )
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            sys.stdout = None  # nothing is left to flush
            return 0
        # Of the user's own network or loss, an OSError is a fault of the code like any other.
        if isinstance(error, OSError) and not _own_frames(error):
            what = error.filename or "input or output"
            return _complain(f"{what}: {error.strerror or error}", 1)
        # Mostly of the user's own network, data or loss. A developer wants all of it.
        if sys.flags.dev_mode:
            raise
        return _complain(f"{_cause(error)}; {_TRACEBACK}", 1)
    return status if isinstance(status, int) else 0


def _reader_is_gone() -> bool:
    """Whether nobody reads what is printed any more, as after `| head`; a user's network may break pipes of its own."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError):  # one that is no file
            poll.register(stream.fileno(), 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _cause(error: Exception) -> str:
    """The kind and the text of an error, and where it was raised: in the user's code, if that is on the way."""
    text = str(error)
    if "Traceback" in text:
        # Of another process, whose last line has the kind and the text.
        return text.strip().splitlines()[-1]
    frame = (_own_frames(error) or extract_tb(error.__traceback__))[-1]
    return f"{type(error).__name__}: {text} ({frame.filename}, line {frame.lineno})"


def _own_frames(error: BaseException) -> list[FrameSummary]:
    """Where an error went through code that is neither losslab's nor a library's."""
    frames = extract_tb(error.__traceback__)
    return [frame for frame in frames if not _is_installed(frame.filename)]


def _is_installed(file: str) -> bool:
    # Parts of Python itself that are kept within it have no path but a name in brackets.
    installed = any(folder in file for folder in ("site-packages", "dist-packages"))
    return installed or file.startswith(("<", _LIBRARY, _HOME))


def _complain(message: str, status: int) -> int:
    print(f"losslab: {' '.join(message.split())}", file=sys.stderr)
    return status
