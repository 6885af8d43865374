"""The runs of the study: M copies of each image with cutout, the baselines with one copy, and what they share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from losslab.analysis.clocks import WALL, Clock, clock_for
from losslab.analysis.runs import Groups, group_runs
from losslab.records import Evaluation, Start
from losslab.spec import Run
from losslab.study.results import RunResult, StudyResults, done
from losslab.text import count, duration, names, number

EPOCHS, MODEL, DATA = 100, "resnet-44", "cifar10"
"""Of the study at full scale."""
NETWORKS = {"resnet-44": "ResNet-44", "resnet-8": "ResNet-8", "patchnet": "PatchNet"}
"""Name of a model -> what a page calls it."""
BASELINE = "M = 1"
COPIES = {copies: f"M = {copies}" for copies in (1, 2, 4, 8, 16, 32)}
"""Copies of each image -> what a page calls the runs with so many."""
WITHOUT, WITH = "without cutout", "with cutout"
ERROR = "validation_error"


@dataclass(frozen=True)
class Material:
    """The runs that ended well.

    Attributes:
        simple: runs without cutout.
        copies: runs with cutout by copies, the fewest first.
        literal: likewise, with the drops of the learning rate at He et al.'s epochs.
        clock: what their times are compared by.
        full_epochs: epochs of the compared runs at full scale, at the rung of the ladder that was taken.
    """

    simple: Sequence[RunResult]
    copies: Groups
    literal: Groups
    clock: Clock
    full_epochs: float = EPOCHS

    @property
    def baselines(self) -> Groups:
        """The runs with one copy, without and with cutout."""
        return {WITHOUT: self.simple, WITH: self.copies.get(BASELINE, ())}

    @property
    def compared(self) -> list[RunResult]:
        """All runs but the literal ones, those without cutout first."""
        return [*self.simple, *chain.from_iterable(self.copies.values())]


@dataclass(frozen=True)
class Setting:
    """What the compared runs share.

    Attributes:
        run: the spec of one of them.
        start: its first record.
        end: its last evaluation.
        seeds: how many seeds there are.
        full_epochs: epochs at full scale.
    """

    run: Run
    start: Start
    end: Evaluation
    seeds: int
    full_epochs: float = EPOCHS

    @property
    def network(self) -> str:
        """The network as a page calls it."""
        return NETWORKS.get(self.run.model.name, self.run.model.name)

    @property
    def length(self) -> str:
        """How long training was, in words."""
        return count(round(self.end.epoch), "epoch")

    @property
    def validation_images(self) -> int | None:
        """How many there are; None without any."""
        return self.start.validation_images or None

    @property
    def test_images(self) -> int | None:
        """How many there are; None without any."""
        return self.start.test_images or None

    @property
    def is_other_network(self) -> bool:
        """Whether the network is another than the question's."""
        return self.run.model.name != MODEL

    @property
    def is_other_data(self) -> bool:
        """Whether the images are others than the question's."""
        return self.run.data.name != DATA

    @property
    def images(self) -> str:
        """The training images in words, with their data set where it is not the question's."""
        images = count(self.start.training_images, "training image")
        return f"{images} of {self.run.data.name}" if self.is_other_data else images

    @property
    def shorter(self) -> bool:
        """Whether training is shorter than at full scale."""
        # Half an epoch: the last one may be cut by whole steps.
        return self.end.epoch + 0.5 < self.full_epochs

    @property
    def fewer(self) -> bool:
        """Whether there are fewer training images than at full scale."""
        return self.run.data.train_images is not None


def material_of(results: StudyResults) -> Material:
    """Sort the runs that ended well by what they are compared for."""
    compared = _ended(results.stages.get("copies", ()))
    literal = list(filter(_cuts_out, _ended(results.stages.get("literal", ()))))
    return Material(
        simple=[result for result in compared if not _cuts_out(result)],
        copies=group_runs(list(filter(_cuts_out, compared)), ["repeats"], COPIES),
        literal=group_runs(literal, ["repeats"], COPIES),
        # One clock for all: times of the two kinds would stand in one table.
        clock=clock_for([*compared, *literal], workers=results.workers),
        full_epochs=_full_epochs(results),
    )


def _full_epochs(results: StudyResults) -> float:
    for stage in results.plan["stages"]:
        if stage["name"] == "copies":
            return float((stage.get("asked") or {}).get("epochs") or EPOCHS)
    return EPOCHS


def setting_of(material: Material) -> Setting | None:
    """Read what the compared runs share; None before one has ended."""
    for result in material.compared:
        if result.start:
            seeds = {compared.run.seed for compared in material.compared}
            end = result.evaluations[-1]
            return Setting(result.run, result.start, end, len(seeds), material.full_epochs)
    return None


def course(setting: Setting) -> str:
    """Say how the learning rate goes: when it drops, in a policy laid out by fractions of the run."""
    lr = setting.run.lr
    if isinstance(lr, float):
        return f"The learning rate is {number(lr)} throughout."
    if not has_he_drops(setting):
        return f"The learning rate follows {lr}."
    epochs = [number(fraction * setting.end.epoch, 3) for fraction in lr.options["fractions"]]
    return (
        f"The learning rate is {names(list(map(str, lr.options['values'])))} in turn, with its drops at epochs "
        f"{names(epochs)}: where He et al.'s epochs 81 and 122 of 164 lie in a run of this length."
    )


def has_he_drops(setting: Setting) -> bool:
    """Whether the learning rate drops where He et al.'s epochs lie in a run of this length."""
    lr = setting.run.lr
    return not isinstance(lr, float) and bool(lr.options.get("fractions"))


def time_spent(seconds: float, clock: Clock) -> str:
    """Write a time on a clock in words.

    Example:
        >>> time_spent(80.0, WALL)
        '1 min 20 s of training'
    """
    return f"{duration(seconds)} of {'training' if clock is WALL else clock.name}"


def _ended(results: Iterable[RunResult]) -> list[RunResult]:
    """Select the runs with a validation accuracy to compare, those with the fewest copies first."""
    scored = [
        result
        for result in done(list(results))
        if result.evaluations[-1].validation_accuracy is not None
    ]
    return sorted(scored, key=lambda result: result.run.repeats)


def _cuts_out(result: RunResult) -> bool:
    return "cutout" in (augmentation.name for augmentation in result.run.augment)
