"""What several commands share: flags, durations, choices, devices, JSON output."""

import json
import re
from typing import Annotated, Any

from cyclopts import Parameter

from losslab.choice import parse_choice
from losslab.devices import read_device
from losslab.errors import InvalidInput

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


def print_json(value: Any) -> None:
    """Print one JSON value on standard output; NaN, which strict readers refuse, is an error."""
    print(json.dumps(value, indent=1, allow_nan=False))
