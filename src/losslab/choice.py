"""A choice by name with options: ``adam``, ``exp_range(base_lr=1e-4, max_lr=1e-2)``, ``{name = "mlp"}``.

Choices are written this one way on the command line and in TOML; one literal dict per kind says what names mean.
"""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

from losslab.errors import InvalidInput, unknown_name


class Frozen(BaseModel):
    """An immutable value whose unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def parse_choice(
    text: str, order: Callable[[str], Sequence[str]] | None = None
) -> dict[str, Any]:
    """Parse the name and options in a text of the form ``name`` or ``name(key=literal, ...)``.

    Args:
        text: what the user wrote.
        order: name -> its options that may be given without their key, in order; none when absent.
    Raises:
        ValueError: when the text has another form, an option is no literal or given twice.
    Example:
        >>> parse_choice("exp_range(base_lr=1e-4, max_lr=1e-2)")
        {'name': 'exp_range', 'base_lr': 0.0001, 'max_lr': 0.01}
        >>> parse_choice("cosine(0.1)", order=lambda name: ["high", "low"])
        {'name': 'cosine', 'high': 0.1}
    """
    name, bracket, rest = text.strip().partition("(")
    name = name.strip()
    if not bracket:
        return {"name": name}
    try:
        # Python's own grammar of calls, under a name of no meaning; literal_eval below runs no code.
        call = ast.parse(f"_({rest}", mode="eval").body
        # A name alone is called: of a second bracket the first would be lost.
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError
        names = [k.arg for k in call.keywords]
        if len(set(names)) < len(names) or {None, "name"} & set(names):
            raise ValueError
        if call.args and order is None:
            raise ValueError
    except (SyntaxError, TypeError, ValueError):
        raise ValueError(f"'{text}' is not of the form name or name(key=value, ...)") from None
    values = [
        _literal(text, f"option {index}", value) for index, value in enumerate(call.args, 1)
    ]
    options = {str(k.arg): _literal(text, f"`{k.arg}`", k.value) for k in call.keywords}
    keys = order(name) if order else ()
    return {"name": name, **_by_position(name, values, keys, options), **options}


def _literal(text: str, option: str, value: ast.expr) -> Any:
    """The value of an option of a choice."""
    try:
        return ast.literal_eval(value)
    except (SyntaxError, TypeError, ValueError):
        written = ast.unparse(value)
        remedy = "give a number, a text in quotes, True, False, None, or a list of these"
        if isinstance(value, ast.Name | ast.Attribute):
            remedy = f"text stands in quotes: '{written}'"
        raise ValueError(
            f"'{text}': the value of {option} (={written}) is no literal; {remedy}"
        ) from None


def _by_position(
    name: str, values: Sequence[Any], keys: Sequence[str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The options that are given without their key."""
    if len(values) > len(keys):
        named = f"{name}({', '.join(keys)})"
        raise ValueError(
            f"{name} has {len(values)} options without a name, of {len(keys)} in {named}; name the others"
        )
    found = dict(zip(keys, values, strict=False))
    for key in found:
        if key in options:
            raise ValueError(
                f"`{key}` of {name} is given twice: without its name (={found[key]!r}) and with it"
            )
    return found


class Choice(BaseModel):
    """A name and its options; prints in the form that it is parsed from."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, JsonValue]
    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The options alone."""
        return dict(self.__pydantic_extra__ or {})

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        options = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"{self.name}({options})" if options else self.name


def as_choice(value: object) -> object:
    """Parse a text to the table it stands for; return anything else as it is."""
    return parse_choice(value) if isinstance(value, str) else value


def check_options(
    kind: str, name: str, factory: Callable[..., object], options: Mapping[str, object]
) -> None:
    """Raise ValueError when ``factory`` has no such keyword, naming the nearest."""
    parameters = inspect.signature(factory).parameters
    # A factory with **options passes them on, and only what it calls knows their names.
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for key in options:
        if key not in parameters:
            raise ValueError(unknown_name(f"option of {kind} {name}", key, parameters))


def is_factory(name: str) -> bool:
    """Whether a name has the form ``package.module:factory``."""
    return bool(re.fullmatch(r"[^\W\d][\w.]*:[^\W\d]\w*", name))


def import_attribute(what: str, path: str) -> Any:
    """Import the object at ``package.module:attribute``, from where the command is called, too.

    Raises:
        InvalidInput: when the module cannot be imported or has no such attribute; begins with ``what``.
    """
    module, _, attribute = path.partition(":")
    here = str(Path.cwd())
    # An installed command does not look for modules where it is called.
    if here not in sys.path:
        sys.path.append(here)
    try:
        home = importlib.import_module(module)
    except Exception as error:
        hint = _import_hint(module, attribute, error)
        raise InvalidInput(f"{what}: cannot import {module} ({error}){hint}") from error
    if not hasattr(home, attribute):
        near = get_close_matches(attribute, dir(home), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise InvalidInput(f"{what}: {module} has no '{attribute}'{hint}")
    return getattr(home, attribute)


def _import_hint(module: str, attribute: str, error: Exception) -> str:
    """What to do where a module cannot be imported; nothing where its own code failed, whose message says it."""
    file = Path(module)
    if file.suffix == ".py":
        return f"; a file is named without .py, and from its folder: {file.stem}:{attribute}"
    root = module.partition(".")[0]
    if not isinstance(error, ModuleNotFoundError):
        return ""
    missing = error.name
    if missing and missing.partition(".")[0] != root:
        return f"; {missing} is missing: is it installed?"
    return f"; is it installed? if it is your own, call losslab in the folder of {root}.py"
