"""What several commands share: flags, durations, choices, devices, JSON output."""

import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from losslab.choice import parse_choice
from losslab.data.catalog import is_own_path
from losslab.devices import read_device
from losslab.errors import InvalidInput, unknown_name
from losslab.files import path_of

Flag = Annotated[bool, Parameter(negative=())]
"""An option that is given or not, without a --no- form."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """Read the seconds in a duration such as ``90s``, ``10m``, ``1h30m``.

    Raises:
        InvalidInput: when the text has another form or is zero.
    Example:
        >>> parse_duration("1h30m")
        5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    understood = "".join(number + unit for number, unit in parts)
    # The pattern skips what it does not know, so that "1h 30" would read as an hour.
    if understood != text or seconds <= 0:
        raise InvalidInput(
            f"--budget (={text}) must be a duration above zero, such as 90s, 10m or 1h30m"
        )
    return seconds


def choice_of(option: str, text: str) -> dict[str, Any]:
    """Read the table that an option's text stands for.

    Raises:
        InvalidInput: when it has not the form of a choice.
    """
    try:
        return parse_choice(text)
    except ValueError as error:
        raise InvalidInput(f"--{option}: {error}") from error


def data_of(text: str) -> dict[str, Any]:
    """Read the table that the text of --data stands for; a path may have any signs, and a ~ that the shell left.

    Raises:
        InvalidInput: when it is no path and has not the form of a choice.
    """
    if not text:
        raise InvalidInput("--data is empty; give a data set or a path")
    path = path_of(text)
    return {"name": str(path)} if is_own_path(path) else choice_of("data", text)


def check_machine(device: str, threads: int | None) -> str:
    """Refuse a device or a number of threads that this machine cannot train with.

    Returns:
        The device that is meant, as torch names it.
    Raises:
        InvalidInput: no such device here, or no thread.
    """
    if threads is not None and threads < 1:
        raise InvalidInput(f"--threads (={threads}) must be at least 1")
    return read_device(device)


def check_mode(mode: str, own: Mapping[str, Mapping[str, object]]) -> None:
    """Refuse an unknown mode, and options that the mode would ignore.

    Args:
        mode: what the user chose.
        own: mode -> the options that belong to it alone -> their values, None where they are absent.
    Raises:
        InvalidInput: for either.
    """
    if mode not in own:
        raise InvalidInput(unknown_name("mode", mode, own))
    for other, options in own.items():
        for option, value in options.items():
            if other != mode and value is not None:
                raise InvalidInput(
                    f"--{option} (={value}) is for --mode {other} alone; leave it out, or give --mode {other}"
                )


def fields_of(
    model: str,
    data: str,
    optimizer: str,
    momentum: float | None,
    weight_decay: float,
    train_images: int | None,
) -> dict[str, Any]:
    """Gather the fields of a run that the range tests share."""
    images = {} if train_images is None else {"train_images": train_images}
    options = {} if momentum is None else {"momentum": momentum}
    method = choice_of("optimizer", optimizer)
    if options and "momentum" in method:
        raise InvalidInput(
            f"--momentum (={momentum}) and --optimizer (={optimizer}) both give one; leave one of them out"
        )
    return {
        "data": {**data_of(data), **images},
        "model": model,
        "optimizer": {**method, **options},
        "weight_decay": weight_decay,
    }


class Screen(Console):
    """A console whose reader may go: what is still to be done is done without a word."""

    def on_broken_pipe(self) -> None:
        """Print no more; rich's own ends the process."""
        self.quiet = True
        redirect_stdout_to_nothing()


def console(*, quiet: bool = False) -> Console:
    """What tables and lines are printed to: as wide as the terminal; a pipe has no width, and no line is cut for it."""
    width = None if sys.stdout.isatty() else 1000
    return Screen(width=width, quiet=quiet, highlight=False, markup=False)


def redirect_stdout_to_nothing() -> None:
    """Drop what is printed from now on, as the reader of a pipe has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(value: Any) -> None:
    """Print one JSON value on standard output; NaN, which strict readers refuse, is an error."""
    print(json.dumps(value, indent=1, allow_nan=False))
