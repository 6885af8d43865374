"""One copy of each image: how validation error falls without cutout, and what cutout changes."""

from collections.abc import Mapping
from dataclasses import dataclass

from losslab.analysis import measures
from losslab.analysis.curves import Curve, curves
from losslab.analysis.estimates import Estimate, differ
from losslab.analysis.measures import estimates
from losslab.analysis.runs import run_ids
from losslab.analysis.sentences import certainty, interval
from losslab.spec import CROSS_ENTROPY, Run
from losslab.studies.batch_augmentation.runs import (
    ERROR,
    WITH,
    WITHOUT,
    Material,
    Setting,
    course,
)
from losslab.tables import Table
from losslab.text import NONE, count, number, percent

HE_PADDING = 4


@dataclass(frozen=True)
class SingleCopy:
    """The runs with one copy of each image.

    Attributes:
        answer: how validation error falls without cutout.
        cutout: what cutout changes; empty before both runs have ended.
        setting: how the runs were trained; empty before one has ended.
        errors: validation error over epochs.
        table: errors at the end; None before a run has ended.
        note: how certain they are.
    """

    answer: str
    cutout: str
    setting: str
    errors: Mapping[str, Curve]
    table: Table | None
    note: str


def single_copy_of(material: Material, setting: Setting | None) -> SingleCopy:
    """Compare the runs with one copy of each image, without and with cutout."""
    images = setting.validation_images if setting else None
    errors = estimates(material.baselines, measures.final(ERROR), images=images)
    answer = "The run with the simple augmentation has not ended yet, so there is no answer."
    if setting and WITHOUT in errors:
        answer = _answer(material, setting, errors[WITHOUT])
    return SingleCopy(
        answer=answer,
        cutout=_cutout(errors),
        setting=_setting(setting) if setting else "",
        errors=curves(material.baselines, ERROR),
        table=_table(material, setting, errors) if setting and errors else None,
        note=" ".join(filter(None, _note(setting, errors))),
    )


def _answer(material: Material, setting: Setting, final: Estimate) -> str:
    simple = {WITHOUT: material.simple}
    lowest = estimates(simple, measures.lowest(ERROR))[WITHOUT]
    epoch = estimates(simple, measures.epoch_of_lowest(ERROR))[WITHOUT]
    ends = f" (95 % interval {interval(final)})" if final.interval else ""
    return (
        f"With pad, crop and flip alone, validation error was {percent(final.mean)} after {setting.length}{ends}; its "
        f"lowest was {percent(lowest.mean)}, at epoch {number(epoch.mean, 3)}."
    )


def _cutout(errors: Mapping[str, Estimate]) -> str:
    if len(errors) < 2:
        return ""
    without, with_cutout = errors[WITHOUT], errors[WITH]
    if not differ(without, with_cutout):
        return (
            f"Cutout left the final validation error the same within chance, {percent(with_cutout.mean)} against "
            f"{percent(without.mean)} without."
        )
    verb = "lowered" if with_cutout.mean < without.mean else "raised"
    return (
        f"Cutout {verb} the final validation error, to {percent(with_cutout.mean)} from {percent(without.mean)} "
        "without."
    )


def _setting(setting: Setting) -> str:
    run = setting.run
    sentences = [
        f"{setting.network}, {count(setting.start.parameters, 'parameter')}.",
        _augmentation(run),
        _optimizer(run),
        "" if run.loss == CROSS_ENTROPY else f"The loss is {run.loss}.",
        "" if run.precision == "fp32" else f"Products and convolutions are in {run.precision}.",
        course(setting),
        "Validation and test images are never augmented.",
    ]
    return " ".join(filter(None, sentences))


def _augmentation(run: Run) -> str:
    options = {step.name: step.options for step in run.augment}
    padding = options.get("pad_crop", {})
    pixels = padding.get("padding", HE_PADDING)
    mirrors = padding.get("padding_mode") == "reflect"
    alternates = bool(options.get("flip", {}).get("alternate"))
    is_he = pixels == HE_PADDING and not (mirrors or alternates)
    whose = "He et al.'s augmentation" if is_he else "Augmentation"
    border = "of the image's own reflection" if mirrors else "of zeros"
    flips = "in every other epoch and copy" if alternates else "in half of the cases"
    crop = f"{pixels} pixels {border} around the image and a random crop of that, as large as the image"
    return f"{whose}: {crop}; a flip {flips}."


def _optimizer(run: Run) -> str:
    options = run.optimizer.model_dump()
    method = getattr(run.optimizer, "title", run.optimizer.name)
    if run.optimizer.name == "sgd":
        nesterov = "Nesterov's " if options["nesterov"] else ""
        method = f"SGD with {nesterov}momentum {number(options['momentum'])}"
    decayed = "on the weights of convolutions and of the last layer"
    if run.parameter_groups:
        decayed = f"and rates by group, as {run.parameter_groups} has them"
    return (
        f"{method}, batches of {run.batch}, weight decay {number(run.weight_decay)} {decayed}."
    )


def _table(material: Material, setting: Setting, errors: Mapping[str, Estimate]) -> Table:
    tests = estimates(material.baselines, measures.accuracy, images=setting.test_images)
    rows = []
    for label, error in errors.items():
        test = percent(tests[label].mean) if label in tests else NONE
        rows.append(
            (
                f"pad, crop, flip, {label}",
                percent(error.mean),
                interval(error),
                test,
                str(error.n),
            )
        )
    return Table(
        label="Errors with one copy",
        title="One copy of each image: errors at the end",
        headings=("augmentation", "validation error", "95 % interval", "test accuracy", "n"),
        rows=tuple(rows),
        records=run_ids(material.baselines[label] for label in errors),
    )


def _note(setting: Setting | None, errors: Mapping[str, Estimate]) -> list[str]:
    if setting is None:
        return []
    images = count(setting.validation_images or 0, "validation image")
    sentences = [
        f"Intervals are Wilson's for {images}, or Student's t over seeds where that is wider.",
        certainty(errors),
    ]
    # The paper's number invites a comparison that holds for the same network and length alone.
    if setting.is_other_network:
        sentences.append(
            "He et al. report 7.17 % test error for ResNet-44 after 164 epochs on all images; "
            f"{setting.network} is another network, so that number is no yardstick here."
        )
    elif setting.shorter:
        sentences.append(
            "He et al. report 7.17 % test error for ResNet-44 after 164 epochs; "
            f"{setting.length} are no match for that."
        )
    return sentences
