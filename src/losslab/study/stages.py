"""Expand stages into Runs: grids, seeds, references to earlier findings, and the scale that a budget allows."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

from losslab.choice import as_choice
from losslab.errors import StoreError
from losslab.spec import Run, Stage, Study, as_data, make_run
from losslab.study.fields import Fields, get_field
from losslab.study.sizes import training_images

Findings = Mapping[str, Sequence[Fields]]
"""Stage name -> what it found, one table of fields per group."""

_REFERENCE = re.compile(r"@(?P<stage>[a-z0-9-]+)\.(?P<field>[\w.]+?)(~(?P<assumed>[\w.+-]+))?$")


@dataclass(frozen=True)
class Scale:
    """How much of a study is run.

    Attributes:
        length: fraction of each stage's epochs or steps.
        images: most training images a run uses; None for all.
        grid: fraction of the seeds and of the grid values that may be left out.
    """

    length: float = 1.0
    images: int | None = None
    grid: float = 1.0


FULL = Scale()


def runs_of(study: Study) -> list[Run]:
    """All runs of a study at its full scale."""
    return [run for stage in study.stages for run in expand(stage)]


def expand(
    stage: Stage,
    findings: Findings | None = None,
    scale: Scale = FULL,
    earlier: Sequence[Stage] = (),
) -> list[Run]:
    """Expand a stage into its runs, in order, each once.

    Args:
        stage: what to run.
        findings: what earlier stages found; without them references take their assumed values.
        scale: how much of it.
        earlier: the stages before this one, whose groups tell which finding a run refers to.
    Raises:
        StoreError: when a run refers to what its stage did not find.
    """
    runs, reasons = expand_found(stage, findings, scale, earlier)
    if reasons:
        raise StoreError(reasons[0])
    return runs


def expand_found(
    stage: Stage,
    findings: Findings | None,
    scale: Scale = FULL,
    earlier: Sequence[Stage] = (),
) -> tuple[list[Run], list[str]]:
    """The runs of a stage that have all they refer to, and why the others have not, each reason once."""
    groups = {before.name: before.group for before in earlier}
    # By identity: grids may overlap, and a run trains once. All seeds of a point lack the same finding: one reason.
    runs: dict[str, Run] = {}
    reasons: dict[str, None] = {}
    for point in points_of(stage, scale):
        fields = merge(stage.base, point)
        look_up = _assume
        if findings is not None:
            # As findings have it: with defaults, and tables where a text may stand.
            spec = make_run(resolve(fields, _assume)).model_dump(mode="json")
            look_up = partial(_look_up, spec, findings, groups)
        try:
            fields = resolve(fields, look_up)
        except StoreError as error:
            reasons[str(error)] = None
            continue
        run = _shrink(make_run(fields), stage, scale)
        runs[run.id] = run
    return list(runs.values()), list(reasons)


def _seed(first: Any, index: int) -> Any:
    """The seed of a stage's repeat; a first one that is no whole number stays, for the Run to refuse."""
    # isinstance would let True through, and True + 1 is a valid seed.
    return first + index if type(first) is int else first


def points_of(stage: Stage, scale: Scale) -> list[Fields]:
    """The overrides of every run: the union of the grids, each crossed, times the seeds; none where nothing trains."""
    if stage.count:
        return []
    seeds = _share(stage.seeds, min(stage.floor.seeds, stage.seeds), scale.grid)
    first = stage.base.get("seed", 0)
    points = []
    for grid in stage.grid:
        axes = [_thin(stage, key, values, scale) for key, values in grid.items()]
        for values in itertools.product(*axes):
            # The seed first, so that a grid over seeds overrides it.
            points += [
                {"seed": _seed(first, seed)} | dict(zip(grid, values, strict=True))
                for seed in range(seeds)
            ]
    return points


def _thin(stage: Stage, key: str, values: Any, scale: Scale) -> list[Any]:
    """Keep some of the grid values of a field, evenly spread."""
    if not isinstance(values, list):
        return [values]
    least = stage.floor.grid.get(key, len(values))
    if isinstance(least, tuple):
        return _without_first(values, least, scale.grid)
    kept = _share(len(values), min(least, len(values)), scale.grid)
    # The middles of equal parts of the list: the grid keeps its centre, and all of it is kept where kept is its length.
    return [values[round((index + 0.5) * len(values) / kept - 0.5)] for index in range(kept)]


def _without_first(values: list[Any], least: Sequence[Any], fraction: float) -> list[Any]:
    """Leave out the first of the values that need not stay, so that the costliest can be written first and go first."""
    leaving = [value for value in values if value not in least]
    count = len(values) - _share(len(values), len(values) - len(leaving), fraction)
    return [value for value in values if value not in leaving[:count]]


def _share(count: int, least: int, fraction: float) -> int:
    return max(least, round(count * fraction))


def merge(base: Fields, point: Fields) -> Fields:
    """Set a point's values in the base run at their dotted paths; texts become the tables they stand for."""
    fields = _tables(deepcopy(base))
    for path, value in point.items():
        *parents, last = path.split(".")
        table = fields
        for key in parents:
            table = table.setdefault(key, {})
        table[last] = _tables({last: value})[last]
    return fields


def _tables(fields: Fields) -> Fields:
    """Parse texts that stand for tables, so that dotted fields and references reach into them."""
    return {
        key: _as_json(_table(key, value)) if _is_choice(key, value) else value
        for key, value in fields.items()
    }


def _table(key: str, value: Any) -> Any:
    return as_data(value) if key == "data" else as_choice(value)


def _as_json(value: Any) -> Any:
    """A value as study.json gives it back: tuples become lists."""
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, tuple | list) else value


def _is_choice(key: str, value: Any) -> bool:
    if key in ("data", "model", "optimizer"):
        return True
    # Without a bracket it is a number, or a reference such as "@search.lr", which is a text until it is resolved.
    return key in ("lr", "batch") and isinstance(value, str) and "(" in value


def resolve(value: Any, look_up: Callable[[re.Match[str]], Any]) -> Any:
    """Fields with what each reference in them stands for."""
    if isinstance(value, dict):
        return {key: resolve(item, look_up) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, look_up) for item in value]
    if isinstance(value, str) and value.startswith("@"):
        reference = _REFERENCE.match(value)
        if not reference:
            raise ValueError(f"'{value}' is not of the form @STAGE.FIELD~ASSUMED")
        return look_up(reference)
    return value


def _assume(reference: re.Match[str]) -> Any:
    if reference["assumed"] is None:
        raise ValueError(
            f"'{reference[0]}' assumes no value; write {reference[0]}~VALUE for the prediction"
        )
    return float(reference["assumed"])


def _look_up(
    fields: Fields, findings: Findings, groups: Mapping[str, Any], reference: re.Match[str]
) -> Any:
    """Look up the value that a stage found for the group of a run, given as its spec has it."""
    group = groups[reference["stage"]]
    for found in findings[reference["stage"]]:
        if all(get_field(found, key) == get_field(fields, key) for key in group):
            return get_field(found, reference["field"])
    mine = ", ".join(f"{key}={get_field(fields, key)}" for key in group)
    raise StoreError(
        f"stage '{reference['stage']}' found no {reference['field']} for {mine or 'this run'}"
    )


def _shrink(run: Run, stage: Stage, scale: Scale) -> Run:
    """Shrink a run: fewer epochs or steps, fewer images, never below the stage's floor."""
    floor = stage.floor
    changes: Fields = {}
    if run.epochs is not None and scale.length < 1:
        least = min(floor.epochs, run.epochs)
        epochs = max(least, run.epochs * scale.length)
        # Whole epochs where there are several, since runs are evaluated at their ends.
        rounded = float(int(epochs)) if epochs >= 2 else round(epochs, 2)
        changes["epochs"] = max(least, rounded)
    if run.steps is not None:
        changes["steps"] = max(min(floor.steps, run.steps), round(run.steps * scale.length))
    if scale.images is not None:
        images = max(floor.train_images, scale.images)
        if images < training_images(run):
            changes["data"] = run.data.model_copy(update={"train_images": images})
    return run.model_copy(update=changes) if scale != FULL else run
