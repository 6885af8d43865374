"""The rule that a fault of a spec breaks and the next step, in the words of TOML and not in those of the parser."""

import json
from collections.abc import Mapping
from typing import Any

LISTS_OF_TABLES = {"stages", "grid", "ladder", "count"}
"""Keys that are written with two brackets, a table for each entry."""
NAMED = {"Choice", "Data"}
"""Values that are a name, or a table with options beside it."""
NAME = "must be a name, or a table with a `name`"
WORDS = {
    **dict.fromkeys(("int_type", "int_from_float", "int_parsing"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("dict_type", "mapping_type"), "must be a table"),
    "string_type": "must be a text, in quotes",
    "string_pattern_mismatch": "must have small letters, digits and hyphens, a letter first",
    "union_tag_not_found": NAME,
}
"""Type of a fault -> rule."""


def words_of(fault: Mapping[str, Any], title: str) -> str:
    """The rule and the next step of one of pydantic's faults.

    Args:
        fault: an entry of ``ValidationError.errors()``.
        title: of the spec: ``Run``, whose fields stand in [stages.base], ``Study``, or that of a part of either.
    """
    kind, value, context = fault["type"], fault.get("input"), fault.get("ctx", {})
    names = [part for part in fault["loc"] if isinstance(part, str)]
    if kind == "missing":
        return _missing(names, title)
    if kind == "tuple_type":
        return _no_list(names, value)
    if kind == "model_type":
        return NAME if context["class_name"] in NAMED else "must be a table"
    if kind == "too_short":
        return f"must have at least {context['min_length']}"
    if kind == "too_long":
        return f"must have at most {context['max_length']}"
    rule = WORDS.get(kind)
    if rule is None:
        return str(fault["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    return f"{rule}{_for_a_list(names, value, title)}"


def _missing(names: list[str], title: str) -> str:
    *parents, key = names
    if key in LISTS_OF_TABLES:
        return f"is missing; write [[{'.'.join(names)}]]"
    if title != "Study":
        # A run has no file of its own; where it is a stage's, its fields stand there.
        return "must be given" + (", in a study in [stages.base]" if not parents else "")
    table = f"[[{'.'.join(parents)}]]" if parents else "the first lines"
    return f"is missing; write {key} = ... in {table}"


def _no_list(names: list[str], value: Any) -> str:
    if names[-1] in LISTS_OF_TABLES:
        return f"must be a list of tables; write [[{'.'.join(names)}]]"
    example = json.dumps(value) if isinstance(value, str) else "..."
    return f"must be a list: {names[-1]} = [{example}]"


def _for_a_list(names: list[str], value: Any, title: str) -> str:
    """What may be meant by several values where one is due."""
    if not isinstance(value, list):
        return ""
    if names[-1] == "seeds":
        return f", how many: seeds = {len(value)}"
    return "; several values go into the grid of a study" if title == "Run" else ""
