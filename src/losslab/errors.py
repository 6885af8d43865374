"""Every error that losslab raises on purpose.

::

    Exception
    ├── ValueError, TypeError    misuse of a function: argument, value, rule, next step
    └── LosslabError             a run or a file went wrong; the message is one line a user can act on
        ├── InvalidInput         the request cannot be carried out (exit code 2)
        │   └── BudgetTooSmall   a study does not fit its budget at any scale
        ├── DataUnavailable      no source could provide a data set
        ├── DataCorrupt          bytes differ from their checksum
        ├── Diverged             the loss stopped being finite; carries step and loss
        ├── OutOfMemory          something did not fit; carries the step
        ├── CheckpointCorrupt    a checkpoint does not match its manifest
        ├── StoreError           a run or study folder cannot be used
        └── Interrupted          stopped by a signal; the state is saved
"""

import difflib
from collections.abc import Iterable


class LosslabError(Exception):
    """Base of all errors whose message is meant for the user as it stands."""


class InvalidInput(LosslabError):  # noqa: N818 - reads as a statement, like KeyboardInterrupt
    """The request itself is wrong: unknown name, impossible value, unusable folder."""


class BudgetTooSmall(InvalidInput):
    """A study's budget does not hold its smallest scale, or not even the measuring."""


class DataUnavailable(LosslabError):  # noqa: N818
    """No source could provide the data set."""


class DataCorrupt(LosslabError):  # noqa: N818
    """Bytes on disk or from a source differ from their checksum."""


class Diverged(LosslabError):  # noqa: N818
    """The training loss became NaN or infinite.

    Attributes:
        step: the step whose loss was the first that is not finite, counted from 0; of an evaluation, the steps before.
        loss: that loss.
    """

    def __init__(self, step: int, loss: float) -> None:
        cause = "a smaller `lr` is the usual cure"
        if not step:
            cause = "nothing was trained yet, so look at the inputs, the initial weights and the loss"
        super().__init__(f"the loss became {loss} at step {step}; {cause}")
        self.step = step
        self.loss = loss


class OutOfMemory(LosslabError):  # noqa: N818
    """The network, the images or a step did not fit into memory."""

    def __init__(self, step: int) -> None:
        super().__init__(f"out of memory at step {step}; use a smaller batch or network")
        self.step = step


class CheckpointCorrupt(LosslabError):  # noqa: N818
    """A checkpoint does not match its manifest."""


class StoreError(LosslabError):
    """A run or study folder cannot be read, written or leased."""


class Interrupted(LosslabError):  # noqa: N818
    """Work was stopped by a signal after saving its state; the message says how to go on."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Name an unknown choice, the nearest known one and all choices in one line.

    Example:
        >>> unknown_name("optimizer", "adm", ["adam", "sgd"])
        "unknown optimizer 'adm'; did you mean 'adam'? (choices: adam, sgd)"
    """
    choices = sorted(known)
    if not choices:
        return f"unknown {kind} '{name}' (it has none)"
    # Below difflib's own 0.6, so that the shortest names have a nearest one: "r1" is half of "r2".
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"unknown {kind} '{name}'{hint} (choices: {', '.join(choices)})"
