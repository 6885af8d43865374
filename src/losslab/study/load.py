"""Load studies: those that ship by name, others by their TOML file, each checked whole before anything runs."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import losslab
from losslab.errors import InvalidInput, unknown_name
from losslab.spec import RANGES, Run, Stage, Study, read_study
from losslab.study.fields import flat_fields
from losslab.study.ladder import rungs
from losslab.study.stages import FULL, expand, merge, points_of, resolve
from losslab.text import names

STUDIES = Path(losslab.__file__).parent / "studies"
"""A folder for each study that ships, importable: its name with `_` in place of `-`."""


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
    """Load a study by its name or TOML file, and check every run of every stage, at each rung of its ladder.

    Raises:
        InvalidInput: unknown name, unreadable file, or faults, all of them at once.
    """
    path = Path(name) if name.endswith(".toml") else study_home(name) / "study.toml"
    if not name.endswith(".toml") and name not in study_names():
        raise InvalidInput(unknown_name("study", name, study_names()))
    study = read_study(path)
    uses = Counter(stage.name for stage in study.stages)
    faults = [f"two stages are named '{name}'" for name in sorted(uses) if uses[name] > 1]
    for version in rungs(study):
        faults += _faults(version)
    if faults:
        # A stage that a rung leaves as it is has its fault in both.
        raise InvalidInput(f"{path.name}: {' | '.join(dict.fromkeys(faults))}")
    return study


def _faults(study: Study) -> Iterator[str]:
    for index, stage in enumerate(study.stages):
        try:
            _check_grid(stage, expand(stage))
            _check_references(stage, study.stages[:index])
        except (InvalidInput, ValueError, TypeError, AttributeError) as error:
            yield f"stage '{stage.name}': {error}"


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
    losses = {run.loss.name for run in runs}
    if stage.finding == "best" and len(losses) > 1 and "loss.name" not in stage.group:
        raise ValueError(
            f"`finding` (='best') compares runs by one loss, but they have {names(sorted(losses))}; add 'loss.name' to "
            "`group`, or leave `finding` out"
        )
    for run, key in itertools.product(runs, stage.group):
        known = flat_fields(run.model_dump(mode="json"))
        if key not in known:
            raise ValueError(unknown_name("field in `group`", key, known))


def _found_by(stage: Stage) -> list[str]:
    """The dotted fields that a stage's finding has."""
    fields: dict[str, None] = dict.fromkeys(RANGES.get(stage.finding or "", ()))
    for run in expand(stage):
        fields |= dict.fromkeys(flat_fields(run.model_dump(mode="json")))
    return list(fields)


def _check_references(stage: Stage, earlier: Sequence[Stage]) -> None:
    # A stage for full scale alone is missing at any other, and what refers to it would have nothing to start from.
    finders = [before.name for before in earlier if before.finding and not before.full_only]

    def check(reference: re.Match[str]) -> None:
        if reference["stage"] not in finders:
            raise ValueError(
                unknown_name("earlier stage with a finding", reference["stage"], finders)
            )
        finder = next(before for before in earlier if before.name == reference["stage"])
        field, found = reference["field"], _found_by(finder)
        if not any(name == field or name.startswith(f"{field}.") for name in found):
            raise ValueError(unknown_name(f"field that '{finder.name}' finds", field, found))

    for point in points_of(stage, FULL):
        resolve(merge(stage.base, point), check)
