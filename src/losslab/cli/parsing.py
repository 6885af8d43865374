"""What the command line could not parse, in losslab's words: the option, its value, the rule, what to write."""

from collections.abc import Sequence

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnusedCliTokensError,
)

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
