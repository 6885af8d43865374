"""The studies that a command means: one or all, each with its seeds, its share of the budget and its data."""

import sys
from typing import TypeVar

from losslab import data
from losslab.errors import DataUnavailable, InvalidInput
from losslab.spec import Rung, Stage, Study
from losslab.study.ladder import at_rung
from losslab.study.load import load_study, study_names
from losslab.study.stages import runs_of
from losslab.study.store import StudyFolder

ALL = "all"
"""Every study that ships."""
Asked = TypeVar("Asked", Stage, Rung)
SAMPLE = "fashion-mnist-sample"


def studies_of(name: str, rung: str | None, seeds: int | None) -> list[Study]:
    """List the studies of a name: one, or all that ship."""
    if name != ALL:
        study = load_study(name)
        if rung is not None:
            study = at_rung(study, rung)
        return [_with_seeds(study, seeds)]
    if rung is not None:
        raise InvalidInput(f"--rung (={rung}) belongs to one study; name it in place of all")
    studies = [load_study(shipped) for shipped in study_names()]
    return [_with_seeds(study, seeds) if _trains(study) else study for study in studies]


def share_of(parts: list[Study], seconds_left: float | None) -> float | None:
    """The part of a budget that the first of these studies gets: as much as each other that is still to train."""
    if seconds_left is None or not _trains(parts[0]):
        return None
    return max(0.0, seconds_left) / sum(map(_trains, parts))


def seconds_spent(folder: StudyFolder) -> float:
    """What a study has taken in all, as its folder says, so that the same command, given again, shares out the same."""
    facts = folder.plan
    return float(
        (facts.get("measuring_seconds") or 0.0) + (facts.get("measured_seconds") or 0.0)
    )


def with_data(study: Study, sample_if_offline: bool) -> Study:
    """Fetch the study's data, or turn to the embedded sample where that is allowed and needed."""
    try:
        # Here and not in the workers, which would all fetch at once, with nobody to read what fails.
        for name in {run.data.name for run in runs_of(study)}:
            data.load(name)
    except DataUnavailable as error:
        if not sample_if_offline:
            raise
        print(
            f"losslab: {error}; going on with the embedded sample of Fashion-MNIST",
            file=sys.stderr,
        )
        stages = []
        for stage in study.stages:
            on_sample = {"base": {**stage.base, "data": SAMPLE}}
            stages.append(stage if stage.count else stage.model_copy(update=on_sample))
        return study.model_copy(update={"stages": tuple(stages)})
    return study


def _with_seeds(study: Study, seeds: int | None) -> Study:
    if seeds is None:
        return study
    if seeds < 1:
        raise InvalidInput(f"--seeds (={seeds}) must be at least 1")
    # The last stage is the one that answers; earlier ones find settings for it, once for all its seeds.
    *before, last = study.stages
    if last.count:
        raise InvalidInput(
            f"--seeds (={seeds}): stage '{last.name}' counts and trains nothing; leave it out"
        )
    # The floors rise with it: seeds that were named on the command line are not shrunk away.
    ladder = tuple(_with_floor(rung, seeds) for rung in last.ladder)
    renewed = _with_floor(last, seeds).model_copy(update={"seeds": seeds, "ladder": ladder})
    return study.model_copy(update={"stages": (*before, renewed)})


def _with_floor(question: Asked, seeds: int) -> Asked:
    """A stage, or a rung of its ladder, that keeps so many seeds whatever the budget."""
    floor = question.floor.model_copy(update={"seeds": seeds})
    return question.model_copy(update={"floor": floor})


def _trains(study: Study) -> bool:
    return any(not stage.count for stage in study.stages)
