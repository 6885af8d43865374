"""Ladders: the smaller questions that a study asks where a budget is too small for its own."""

from losslab.errors import InvalidInput, unknown_name
from losslab.spec import Rung, Stage, Study
from losslab.study.stages import merge


def rung_names(study: Study) -> list[str]:
    """The names of the rungs of all stages, the largest question first."""
    names: dict[str, None] = {}
    for stage in study.stages:
        names |= dict.fromkeys(rung.name for rung in stage.ladder)
    return list(names)


def rungs(study: Study) -> list[Study]:
    """A study as it is written, then at each rung of its ladder."""
    return [study, *(at_rung(study, name) for name in rung_names(study))]


def at_rung(study: Study, name: str) -> Study:
    """A study with the question of a rung in the place of its own.

    Stages without a rung of this name stay as they are; those for the full scale alone are left out.

    Raises:
        InvalidInput: when no stage has such a rung.
    """
    names = rung_names(study)
    if name not in names:
        if not names:
            raise InvalidInput(f"--rung (={name}): {study.name} has no ladder; leave it out")
        raise InvalidInput(unknown_name("rung", name, names))
    stages = [_stage_at(stage, name) for stage in study.stages if not stage.full_only]
    return study.model_copy(update={"rung": name, "stages": tuple(stages)})


def _stage_at(stage: Stage, name: str) -> Stage:
    for rung in stage.ladder:
        if rung.name == name:
            return _changed(stage, rung)
    return stage.model_copy(update={"ladder": ()})


def _changed(stage: Stage, rung: Rung) -> Stage:
    changes = {
        "base": merge(stage.base, rung.base),
        "grid": stage.grid if rung.grid is None else rung.grid,
        "floor": rung.floor,
        "ladder": (),
    }
    return stage.model_copy(update=changes)
