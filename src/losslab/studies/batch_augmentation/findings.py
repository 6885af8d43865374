"""What the study found about cutout and M copies of each image: sentences, tables, numbers to draw."""

from collections.abc import Mapping
from dataclasses import dataclass

from losslab.analysis.clocks import Clock
from losslab.analysis.curves import Curve, curves
from losslab.analysis.runs import Groups
from losslab.analysis.sentences import why_absent
from losslab.studies.batch_augmentation.comparison import Comparison, comparison_of
from losslab.studies.batch_augmentation.dropout import AGAINST_DROPOUT
from losslab.studies.batch_augmentation.pictures import Pictures, pictures
from losslab.studies.batch_augmentation.runs import (
    ERROR,
    Material,
    Setting,
    course,
    has_he_drops,
    material_of,
    setting_of,
)
from losslab.studies.batch_augmentation.scale import Scope, scope_of
from losslab.studies.batch_augmentation.single_copy import SingleCopy, single_copy_of
from losslab.studies.batch_augmentation.targets import (
    TARGET,
    common_table,
    highest_common,
    near_drop,
    reached,
    target_table,
)
from losslab.study.results import StudyResults
from losslab.tables import Table
from losslab.text import count, number


@dataclass(frozen=True)
class Race:
    """When the runs with M copies reached an accuracy.

    Attributes:
        goal: the accuracy in percent.
        answer: which of them reached it, and when.
        table: all of them.
    """

    goal: str
    answer: str
    table: Table


@dataclass(frozen=True)
class Findings:
    """The answers of the study.

    Attributes:
        summary: (subject, what was found).
        pictures: what cutout and copies look like.
        against_dropout: question 1.
        single: question 2, and what cutout changes.
        batch: images of a step, each counted once.
        updates: what equal epochs mean; empty before a run has ended.
        time: what times are compared by, in words.
        errors: validation error by epoch.
        errors_by_update: likewise, by update.
        errors_by_time: likewise, by time.
        race: question 3: to 94 %.
        common_race: to the highest accuracy that all reached; None where that is no other one.
        literal_race: to 94 % with the drops at He et al.'s epochs; None before such a run has ended.
        beside_literal: how the rate of the compared runs falls in place of these drops.
        literal_absent: why there is no such run.
        literal_errors: validation error of those runs by epoch.
        comparison: after equal updates and after equal training time.
        scope: what may be concluded.
    """

    summary: tuple[tuple[str, str], ...]
    pictures: Pictures
    against_dropout: Table
    single: SingleCopy
    batch: int
    updates: str
    time: str
    errors: Mapping[str, Curve]
    errors_by_update: Mapping[str, Curve]
    errors_by_time: Mapping[str, Curve]
    race: Race
    common_race: Race | None
    literal_race: Race | None
    beside_literal: str
    literal_absent: str
    literal_errors: Mapping[str, Curve]
    comparison: Comparison
    scope: Scope


def findings(results: StudyResults) -> Findings:
    """Find all that the page of the study says of its records."""
    material = material_of(results)
    setting = setting_of(material)
    images = setting.validation_images if setting else None
    single = single_copy_of(material, setting)
    clock = material.clock
    race = Race(
        number(100 * TARGET),
        reached(material.copies, TARGET, clock),
        target_table("Time to 94 percent", material.copies, clock, images),
    )
    comparison = comparison_of(material, setting, results.workers)
    scope = scope_of(material, setting, comparison.cost_range)
    summary = (
        ("Simple augmentation.", single.answer),
        ("Cutout.", single.cutout),
        ("To 94 %.", race.answer),
        ("Equal epochs and updates.", comparison.after_updates),
        (f"Equal {clock.name}.", comparison.after_time),
        ("Cost.", comparison.cost),
        ("Scale.", scope.answer),
    )
    return Findings(
        summary=tuple((subject, sentences) for subject, sentences in summary if sentences),
        pictures=pictures(),
        against_dropout=AGAINST_DROPOUT,
        single=single,
        batch=_batch(results),
        updates=_updates(setting),
        time=clock.name,
        errors=curves(material.copies, ERROR),
        errors_by_update=curves(material.copies, ERROR, along="step"),
        errors_by_time=curves(material.copies, ERROR, along=clock.field),
        race=race,
        common_race=_common_race(material.copies, clock),
        literal_race=_literal_race(material, images),
        beside_literal=_beside_literal(setting),
        literal_absent=_literal_absent(results),
        literal_errors=curves(material.literal, ERROR),
        comparison=comparison,
        scope=scope,
    )


def _batch(results: StudyResults) -> int:
    for result in results.stages.get("copies", ()):
        if isinstance(result.run.batch, int):
            return result.run.batch
    return 64  # before a run has begun: that of the question


def _updates(setting: Setting | None) -> str:
    if setting is None:
        return ""
    updates = count(round(setting.end.step / setting.end.epoch), "update")
    return (
        f"An epoch is {updates} for every M, so equal epochs are equal updates; M decides how many images an update "
        "costs."
    )


def _common_race(copies: Groups, clock: Clock) -> Race | None:
    accuracy = highest_common(copies)
    if not 0 < accuracy < TARGET:  # where all reached the target, the race to it says all
        return None
    return Race(
        number(100 * accuracy),
        reached(copies, accuracy, clock),
        common_table(copies, accuracy, clock),
    )


def _beside_literal(setting: Setting | None) -> str:
    if setting is None or has_he_drops(setting):
        return "The comparison above has the same drops at the same parts of its own length."
    return f"In the comparison above the rate has no such drops. {course(setting)}"


def _literal_absent(results: StudyResults) -> str:
    if any(stage["name"] == "literal" for stage in results.plan["stages"]):
        return f"There is no literal run to tell of. {why_absent(results, 'literal')}"
    return "The literal run belongs to the full scale and was not part of this one."


def _literal_race(material: Material, images: int | None) -> Race | None:
    if not material.literal:
        return None
    sentences = [reached(material.literal, TARGET, material.clock), near_drop(material.literal)]
    answer = " ".join(filter(None, sentences))
    table = target_table(
        "Time to 94 percent, literal drops", material.literal, material.clock, images
    )
    return Race(number(100 * TARGET), answer, table)
