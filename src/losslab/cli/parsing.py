"""Words of the command line as values, and, where they are none, the option, its value, the rule, what to write."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    Token,
    UnusedCliTokensError,
    convert,
)

from losslab.errors import InvalidInput
from losslab.files import path_of

_LEARNING_RATE = {"--learning-rate": "--lr", "--learning_rate": "--lr"}
_SAME = {
    "--batch-size": "--batch",
    "--batch_size": "--batch",
    "--dataset": "--data",
    "--network": "--model",
}
_OTHER_NAMES = {
    "train": _LEARNING_RATE | _SAME | {"--output": "--out", "--max-steps": "--steps"},
    "find lr": _SAME
    | {"--min": "--start", "--max": "--end", "--min-lr": "--start", "--max-lr": "--end"},
    "find batch": _LEARNING_RATE
    | {"--dataset": "--data", "--network": "--model"}
    | dict.fromkeys(("--batch", "--batch-size", "--batch-sizes"), "--sizes"),
}
"""Command -> what its options are called elsewhere -> what they are called here."""


def value_of(kind: Any, tokens: Sequence[Token]) -> Any:
    """The value that words stand for, as the parser has it, but for whole numbers and paths.

    Raises:
        InvalidInput: a decimal where a whole number is asked for, which the parser would round; an empty path, which it
            would take for the current folder, where a variable was mostly not set.
    """
    option, text = tokens[0].keyword or "a value", tokens[0].value
    if kind is int and not re.fullmatch(r"[+-]?\d+(_\d+)*", text):
        raise InvalidInput(_no_number(option, text, int))
    if kind is Path:
        if not text:
            raise InvalidInput(
                f"{tokens[0].keyword or 'FOLDER'} is empty; give a file or a folder"
            )
        # The shell leaves the ~ of --out=~/runs as it is.
        return path_of(text)
    return convert(kind, tokens)


def explained(error: CycloptsError, words: Sequence[str]) -> str:
    """Say in one line what is wrong with the words of a command."""
    other_name = _known_elsewhere(words)
    if other_name:
        return other_name
    if isinstance(error, CoercionError) and error.token and error.target_type in (int, float):
        return _no_number(
            error.token.keyword or "a value", error.token.value, error.target_type
        )
    # One that is there without its value has a keyword, and the parser's own words are right.
    if isinstance(error, MissingArgumentError) and error.argument and not error.keyword:
        command = " ".join(error.command_chain or ())
        return (
            f"{error.argument.name} is missing; `losslab {command} --help` says what it may be"
        )
    if isinstance(error, UnusedCliTokensError):
        left = " ".join(error.unused_tokens or ())
        return f"`{left}` is more than the command takes; options begin with --, and a text with spaces needs quotes"
    return str(error)


def _no_number(option: str, value: str, kind: type) -> str:
    if kind is int:
        return f"{option} (={value}) must be a whole number, such as 100"
    point = value.replace(",", ".")
    remedy = f"; write it with a point: {point}" if "," in value else ", such as 0.001 or 1e-3"
    return f"{option} (={value}) must be a number{remedy}"


def _known_elsewhere(words: Sequence[str]) -> str:
    """Name the option for what other tools call otherwise; empty where there is none."""
    options = [word.partition("=")[0] for word in words]
    for command, names in _OTHER_NAMES.items():
        unknown = [option for option in options if option in names]
        if list(words[: command.count(" ") + 1]) == command.split() and unknown:
            return f"unknown option {unknown[0]}; did you mean {names[unknown[0]]}?"
    return ""
