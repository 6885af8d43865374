"""What may be concluded at the scale of the runs, and what not."""

from collections.abc import Iterator
from dataclasses import dataclass

from losslab.analysis.measures import estimates, reading
from losslab.studies.batch_augmentation.runs import COPIES, Material, Setting
from losslab.studies.batch_augmentation.targets import TARGET
from losslab.text import count, names, number

PARAMETERS = 661_338
"""Of ResNet-44, as `losslab count resnet-44` has them."""


@dataclass(frozen=True)
class Scope:
    """What may be concluded.

    Attributes:
        answer: at what scale the study was run; empty before a run has ended.
        limited: whether that is below the full scale.
        ranking: of what the runs are ranked; empty before one has ended.
        cost: what is known of the cost of copies.
        not_concluded: what these runs say nothing of.
    """

    answer: str
    limited: bool
    ranking: str
    cost: str
    not_concluded: tuple[str, ...]


def scope_of(material: Material, setting: Setting | None, cost_range: str) -> Scope:
    """Say what may be concluded from the runs.

    Args:
        material: the runs that ended.
        setting: what they share; None before one has ended.
        cost_range: how many times as long as with one copy the runs took; empty where not known.
    """
    if setting is None:
        return Scope("", False, "", "", ())
    factors = f" ({cost_range} as long as M = 1)" if cost_range else ""
    return Scope(
        answer=_answer(setting),
        limited=(
            setting.is_other_network
            or setting.is_other_data
            or setting.shorter
            or setting.fewer
        ),
        ranking=(
            f"which M had the lower validation error after {count(setting.end.step, 'update')} of {setting.run.batch} "
            f"images on these {setting.images} with {setting.network}"
        ),
        cost=f"what M copies cost in {material.clock.name} on this machine{factors}, as far as its pace was steady.",
        not_concluded=tuple(_not_concluded(material, setting)),
    )


def _answer(setting: Setting) -> str:
    images = setting.images
    if setting.shorter or setting.fewer or setting.is_other_data:
        epochs = f"{number(setting.end.epoch)} of {number(setting.full_epochs)} epochs"
        return f"This is a small version of the study: {setting.network}, {epochs}, {images}."
    if setting.is_other_network:
        return (
            f"This is the study with another network, at that one's full length: {setting.network} in the place of "
            f"ResNet-44, {setting.length}, {images}."
        )
    return f"This is the full scale: {setting.network}, {setting.length}, {images}."


def _not_concluded(material: Material, setting: Setting) -> Iterator[str]:
    if setting.seeds == 1:
        yield (
            "that another seed would rank them alike: each M was trained once, and what seeds change is not in the "
            "intervals;"
        )
    if setting.shorter:
        yield (
            "that more copies help or do not help a network trained to the end: Hoffer et al. speak of trained "
            f"networks, and after {number(setting.end.epoch)} of {number(setting.full_epochs)} epochs what is compared "
            "is how fast learning starts;"
        )
    elif not estimates(material.copies, reading("epoch", accuracy=TARGET)):
        yield (
            f"which M is ahead where training goes on to {number(100 * TARGET)} %: no run came that far in "
            f"{setting.length}, and Hoffer et al. speak of networks trained to the end;"
        )
    if setting.is_other_network:
        yield _of_resnet_44(setting)
    if setting.is_other_data:
        yield f"anything about CIFAR-10: these are images of {setting.run.data.name};"
    elif setting.fewer:
        yield (
            f"anything about all of CIFAR-10: {count(setting.start.training_images, 'image')} are fitted sooner than "
            "45,000, which changes what augmentation is worth;"
        )
    # A row that is missing from a table is easily overlooked.
    absent = [label for label in COPIES.values() if label not in material.copies]
    if absent:
        yield f"anything about {names(absent)}: no such run has ended;"
    yield (
        "which M is fastest on other hardware: a GPU that one batch does not fill can take more copies in nearly the "
        "same time, a CPU cannot."
    )


def _of_resnet_44(setting: Setting) -> str:
    parameters = count(setting.start.parameters, "parameter")
    if setting.start.parameters < PARAMETERS:
        return (
            f"anything about ResNet-44: {setting.network} has {parameters} of ResNet-44's {PARAMETERS:,}, underfits "
            "sooner, and has less to gain from any regularisation, cutout included;"
        )
    return (
        f"anything about ResNet-44: {setting.network}, with {parameters} against {PARAMETERS:,}, learns in far fewer "
        "epochs and with other rates;"
    )
