"""Expand stages into Runs: grids, seeds, references to earlier findings, and the scale that a budget allows."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import losslab
from losslab.choice import as_choice
from losslab.errors import InvalidInput, StoreError, unknown_name
from losslab.spec import Run, Stage, Study, make_run, read_study
from losslab.study.fields import Fields, flat_fields, get_field
from losslab.study.sizes import training_images

STUDIES = Path(losslab.__file__).parent / "studies"
"""A folder for each study that ships, importable: its name with `_` in place of `-`."""

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


@lru_cache(maxsize=1)
def study_names() -> tuple[str, ...]:
    """The studies that ship, in the order of their parts."""
    studies = [read_study(path) for path in STUDIES.glob("*/study.toml")]
    return tuple(
        study.name
        for study in sorted(studies, key=lambda study: (study.part or len(studies), study.name))
    )


def study_home(name: str) -> Path:
    """The folder of a study that ships, by its name."""
    return STUDIES / name.replace("-", "_")


def load_study(name: str) -> Study:
    """Load a study by its name or TOML file, and check every run of every stage.

    Raises:
        InvalidInput: unknown name, unreadable file, or faults, all of them at once.
    """
    path = Path(name) if name.endswith(".toml") else study_home(name) / "study.toml"
    if not name.endswith(".toml") and name not in study_names():
        raise InvalidInput(unknown_name("study", name, study_names()))
    study = read_study(path)
    faults: list[str] = []
    for index, stage in enumerate(study.stages):
        try:
            _check_grid(stage, expand(stage))
            _check_references(stage, study.stages[:index])
        except (InvalidInput, ValueError, TypeError, AttributeError) as error:
            faults.append(f"stage '{stage.name}': {error}")
    uses = Counter(stage.name for stage in study.stages)
    faults += [f"two stages are named '{name}'" for name in sorted(uses) if uses[name] > 1]
    if faults:
        raise InvalidInput(f"{path.name}: {' | '.join(faults)}")
    return study


def expand(
    stage: Stage,
    findings: Findings | None = None,
    scale: Scale = FULL,
    earlier: Sequence[Stage] = (),
    left_out: list[str] | None = None,
) -> list[Run]:
    """Expand a stage into its runs, in order, each once.

    Args:
        stage: what to run.
        findings: what earlier stages found; without them references take their assumed values.
        scale: how much of it.
        earlier: the stages before this one, whose groups tell which finding a run refers to.
        left_out: receives, once each, the reasons why runs lack a finding and are left out; without it they raise.
    """
    groups = {before.name: before.group for before in earlier}
    runs = {}
    for point in _points(stage, scale):
        fields = _merge(stage.base, point)
        look_up = partial(
            _assume if findings is None else _look_up, fields, findings or {}, groups
        )
        try:
            fields = _resolve(fields, look_up)
        except StoreError as error:
            if left_out is None:
                raise
            # All seeds of a point lack the same finding, which is one reason.
            if str(error) not in left_out:
                left_out.append(str(error))
            continue
        run = _shrink(make_run(fields), stage, scale)
        # By identity: grids may overlap, and a run trains once.
        runs[run.id] = run
    return list(runs.values())


def _seed(first: Any, index: int) -> Any:
    """The seed of a stage's repeat; a first one that is no whole number stays, for the Run to refuse."""
    # isinstance would let True through, and True + 1 is a valid seed.
    return first + index if type(first) is int else first


def _points(stage: Stage, scale: Scale) -> list[Fields]:
    """The overrides of every run: the union of the grids, each crossed, times the seeds; none where nothing trains."""
    if stage.count:
        return []
    seeds = _share(stage.seeds, stage.floor.seeds, scale.grid)
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
    least = min(stage.floor.grid.get(key, len(values)), len(values))
    kept = _share(len(values), least, scale.grid)
    # The middles of equal parts of the list: the grid keeps its centre, and all of it is kept where kept is its length.
    return [values[round((index + 0.5) * len(values) / kept - 0.5)] for index in range(kept)]


def _share(count: int, least: int, fraction: float) -> int:
    return max(least, round(count * fraction))


def _merge(base: Fields, point: Fields) -> Fields:
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
        key: as_choice(value) if _is_choice(key, value) else value
        for key, value in fields.items()
    }


def _is_choice(key: str, value: Any) -> bool:
    if key in ("data", "model", "optimizer"):
        return True
    # Without a bracket it is a number, or a reference such as "@search.lr", which is a text until it is resolved.
    return key in ("lr", "batch") and isinstance(value, str) and "(" in value


def _resolve(value: Any, look_up: Callable[[re.Match[str]], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(item, look_up) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, look_up) for item in value]
    if isinstance(value, str) and value.startswith("@"):
        reference = _REFERENCE.match(value)
        if not reference:
            raise ValueError(f"'{value}' is not of the form @STAGE.FIELD~ASSUMED")
        return look_up(reference)
    return value


def _assume(
    _fields: Fields, _findings: Findings, _groups: Mapping[str, Any], reference: re.Match[str]
) -> Any:
    if reference["assumed"] is None:
        raise ValueError(
            f"'{reference[0]}' assumes no value; write {reference[0]}~VALUE for the prediction"
        )
    return float(reference["assumed"])


def _look_up(
    fields: Fields, findings: Findings, groups: Mapping[str, Any], reference: re.Match[str]
) -> Any:
    """Look up the value that a stage found for the group of this run."""
    group = groups[reference["stage"]]
    for found in findings[reference["stage"]]:
        if all(get_field(found, key) == get_field(fields, key) for key in group):
            return get_field(found, reference["field"])
    mine = ", ".join(f"{key}={get_field(fields, key)}" for key in group)
    raise StoreError(
        f"stage '{reference['stage']}' found no {reference['field']} for {mine or 'this run'}"
    )


def _shrink(run: Run, stage: Stage, scale: Scale) -> Run:
    """Shrink a run: another model, fewer epochs or steps, fewer images, never below the stage's floor."""
    floor = stage.floor
    changes: Fields = {"model": floor.model or run.model}
    if run.epochs is not None:
        epochs = max(min(floor.epochs, run.epochs), run.epochs * scale.length)
        # Whole epochs where there are several, since runs are evaluated at their ends.
        changes["epochs"] = float(int(epochs)) if epochs >= 2 else round(epochs, 2)
    if run.steps is not None:
        changes["steps"] = max(min(floor.steps, run.steps), round(run.steps * scale.length))
    if scale.images is not None:
        images = max(floor.train_images, scale.images)
        if images < training_images(run):
            changes["data"] = run.data.model_copy(update={"train_images": images})
    return run.model_copy(update=changes) if scale != FULL else run


def _check_grid(stage: Stage, runs: Sequence[Run]) -> None:
    """Raise ValueError when the stage has no runs, or they cannot give its finding."""
    if not runs and not stage.count:
        raise ValueError("has no runs; does its grid have an empty list?")
    if not stage.finding:
        return
    if stage.finding == "best" and any(run.data.validation_fraction == 0 for run in runs):
        raise ValueError(
            "`finding` (='best') needs validation data; raise `data.validation_fraction` above 0"
        )
    for run, key in itertools.product(runs, stage.group):
        known = flat_fields(run.model_dump(mode="json"))
        if key not in known:
            raise ValueError(unknown_name("field in `group`", key, known))


def _check_references(stage: Stage, earlier: Sequence[Stage]) -> None:
    # A stage for full scale alone is missing at any other, and what refers to it would have nothing to start from.
    finders = [before.name for before in earlier if before.finding and not before.full_only]

    def check(reference: re.Match[str]) -> None:
        if reference["stage"] not in finders:
            raise ValueError(
                unknown_name("earlier stage with a finding", reference["stage"], finders)
            )

    for point in _points(stage, FULL):
        _resolve(_merge(stage.base, point), check)
