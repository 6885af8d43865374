"""What is wrong with a spec, in one line: each key with its value and its rule."""

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from losslab.choice import Frozen
from losslab.errors import unknown_name
from losslab.optimizers import OPTIMIZERS
from losslab.spec.fault_words import words_of


def faults(error: ValidationError) -> str:
    """List all faults of a spec in one line, each with its value's path."""
    found = []
    items = error.errors()
    for item in items:
        location = item["loc"]
        if item["type"] == "too_short" and _has_faults_within(location, items):
            continue  # it is empty because its entries are faulty
        if item["type"] == "extra_forbidden":
            message = unknown_name("key", str(location[-1]), _keys(error.title, location))
            found.append(_fault(message, location, None))
        else:
            words = words_of(item, error.title)
            value = item.get("input")
            # A rule of losslab's own names what in a list it is about.
            if isinstance(value, list) and item["type"] == "value_error":
                value = None
            found.append(_fault(words, location, value))
    # Each once: pydantic reports a fault for every alternative of a union that has it.
    return "; ".join(dict.fromkeys(found))


def _has_faults_within(location: tuple[int | str, ...], items: Iterable[ErrorDetails]) -> bool:
    inner = [item["loc"] for item in items if len(item["loc"]) > len(location)]
    return any(path[: len(location)] == location for path in inner)


def _keys(title: str, location: tuple[int | str, ...]) -> Iterable[str]:
    """The keys of the table that a fault lies in."""
    # Imported here, since these specs tell their own faults.
    from losslab.spec.run import Data, Run
    from losslab.spec.study import Count, Floor, Rung, Stage, Study

    tables: dict[str, type[Frozen]] = {
        "stages": Stage,
        "floor": Floor,
        "ladder": Rung,
        "count": Count,
        "data": Data,
        **OPTIMIZERS,
    }
    within = [part for part in location[:-1] if isinstance(part, str)]
    if within:
        return tables[within[-1]].model_fields
    return Study.model_fields if title == "Study" else Run.model_fields


def _fault(message: str, location: Iterable[int | str], value: Any) -> str:
    parts = list(location)
    if parts[:1] == ["optimizer"]:
        del parts[1:2]  # pydantic names the method of the union here
    keys = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts]
    path = "".join(keys).lstrip(".")
    if not path:
        return message
    # Tables and long texts would hide the rule; their path says where they are.
    is_short = isinstance(value, bool | int | float | str | list) and len(repr(value)) < 60
    shown = f" (={value!r})" if is_short else ""
    return f"`{path}`{shown}: {message[:1].lower()}{message[1:]}"
