"""What several commands share: durations, JSON output, sizes for people."""

import json
import re
from typing import Any

from losslab.choice import parse_choice
from losslab.errors import InvalidInput

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """Seconds in a duration such as ``90s``, ``10m``, ``1h30m``.

    Raises:
        InvalidInput: when the text has another form or is zero.
    Example:
        >>> parse_duration("1h30m")
        5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or seconds <= 0:
        raise InvalidInput(f"--budget (={text}) must be a duration above zero, such as 90s, 10m or 1h30m")
    return seconds


def show_duration(seconds: float) -> str:
    """A duration for people.

    Example:
        >>> show_duration(5400), show_duration(75), show_duration(0.5)
        ('1 h 30 min', '1 min 15 s', '0.5 s')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def choice_of(option: str, text: str) -> dict[str, Any]:
    """The table that an option's text stands for.

    Raises:
        InvalidInput: when it has not the form of a choice.
    """
    try:
        return parse_choice(text)
    except ValueError as error:
        raise InvalidInput(f"--{option}: {error}") from error


def print_json(value: Any) -> None:
    """One JSON value on standard output, strict."""
    print(json.dumps(value, indent=1, allow_nan=False))
