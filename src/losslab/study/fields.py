"""Fields of runs by dotted path: read them, and find those in which runs differ."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from losslab.choice import Choice
from losslab.spec import Run

Fields = dict[str, Any]
"""A run's spec as tables within tables, or by dotted path."""


def get_field(fields: Fields, path: str) -> Any:
    """Get the value at a dotted path, or None."""
    value: Any = fields
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def flat_fields(fields: Fields, prefix: str = "") -> Fields:
    """Flatten tables within tables to one by dotted path.

    Example:
        >>> flat_fields({"lr": 0.1, "optimizer": {"name": "adam"}})
        {'lr': 0.1, 'optimizer.name': 'adam'}
    """
    flat: Fields = {}
    for key, value in fields.items():
        if isinstance(value, dict):
            flat |= flat_fields(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def varying_fields(specs: Sequence[Fields]) -> list[str]:
    """List the dotted paths of the fields in which specs differ, in the order of the spec.

    Fields that a sibling `name` implies are left out, as an optimizer's own defaults are, and so are sub-fields of a
    field that is a plain number, or nothing, in another spec.

    Args:
        specs: of the runs, as tables within tables.
    Example:
        >>> cycle = {"name": "exp_range", "cycles": 3}
        >>> varying_fields([{"lr": 0.1, "seed": 0}, {"lr": cycle, "seed": 0}])
        ['lr']
        >>> varying_fields([{"average": None}, {"average": {"name": "ema", "decay": 0.99}}])
        ['average']
    """
    rows = [flat_fields(spec) for spec in specs]
    fields = dict.fromkeys(chain.from_iterable(rows))
    whole = [path for path in fields if not _is_part(path, fields)]
    return [path for path in whole if _differs(specs, path) and not is_implied(rows, path)]


def _differs(specs: Sequence[Fields], path: str) -> bool:
    return len({repr(get_field(spec, path)) for spec in specs}) > 1


def _is_part(path: str, fields: Mapping[str, None]) -> bool:
    """Whether a field that holds this one is a plain value in another run."""
    return any(path.startswith(f"{field}.") for field in fields)


def is_implied(rows: Sequence[Fields], path: str) -> bool:
    """Whether runs with the same sibling `name` have the same value at the path, and names differ.

    Args:
        rows: fields of each run by dotted path.
        path: of the field in question.
    Example:
        >>> adam, sgd = {"optimizer.name": "adam", "optimizer.eps": 1e-8}, {"optimizer.name": "sgd"}
        >>> is_implied([adam, sgd], "optimizer.eps"), is_implied([adam, sgd], "optimizer.name")
        (True, False)
    """
    name = f"{path.rpartition('.')[0]}.name"
    if path == name or _variants(rows, name) == 1:
        return False
    return _variants(rows, name, path) == _variants(rows, name)


def _variants(rows: Sequence[Fields], *paths: str) -> int:
    """How many different values the fields have together."""
    # Lists cannot be members of a set; their texts can.
    return len({repr([*map(row.get, paths)]) for row in rows})


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """A short name for each run by the fields in which the runs differ; run identity -> name."""
    specs = {run.id: run.model_dump(mode="json") for run in runs}
    fields = varying_fields(list(specs.values()))
    return {run_id: _label(spec, fields) or "run" for run_id, spec in specs.items()}


def _label(spec: Fields, fields: Sequence[str]) -> str:
    values = {path: get_field(spec, path) for path in fields}
    # None and 0 say that something is off; the runs that have it on say so in their labels.
    return " ".join(
        _shown(path, value) for path, value in values.items() if value not in (None, 0.0)
    )


def _shown(path: str, value: Any) -> str:
    if path == "augment":
        return f"augment={'+'.join(str(Choice(**item)) for item in value) or 'none'}"
    if isinstance(value, dict):  # in a field that is a number, or nothing, in another run
        return short_text(value)
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text if path.endswith(".name") else f"{path.rpartition('.')[2]}={text}"


def short_text(choice: Fields) -> str:
    """A policy, or another choice that is a table, as a text with rounded numbers.

    Example:
        >>> short_text({"name": "cosine", "high": 0.0123456})
        'cosine(high=0.0123)'
    """
    return str(Choice(**{key: _rounded(option) for key, option in choice.items()}))


def _rounded(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value
