"""Augmentations: batches of images in, batches out, every image with its own random numbers, on any device.

They go in one order: ``repeat``; ``pad_crop`` and ``flip``, on uint8; ``normalize``; ``cutout``, where 0 is the mean
colour. So every copy of an image is drawn separately, pixels are moved while they are bytes, and each becomes a float
once.

An augmentation is a frozen value that prints as it is written, and a pure function of images and random numbers; torch
is imported when images come, not before.
"""

from functools import lru_cache

from losslab.augment.augmentation import Augmentation
from losslab.augment.composition import Composition, compose, repeat
from losslab.augment.erasing import cutout
from losslab.augment.geometry import flip, pad_crop
from losslab.augment.normalization import normalize
from losslab.choice import Choice, check_options
from losslab.errors import unknown_name

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "Composition",
    "choose",
    "compose",
    "cutout",
    "flip",
    "normalize",
    "pad_crop",
    "pipeline",
    "repeat",
]

AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "pad_crop": pad_crop,
    "flip": flip,
    "cutout": cutout,
}
"""The names in a run's `augment`; its copies and its normalisation are fields of the run and of its data."""


def choose(choice: Choice) -> Augmentation:
    """Build the augmentation that a choice names.

    Raises:
        ValueError: unknown name or option, or an impossible value.
    Example:
        >>> choose(Choice(name="cutout", size=8))
        cutout(size=8, mode='clipped', fill=0.0)
    """
    if choice.name not in AUGMENTATIONS:
        raise ValueError(unknown_name("augmentation", choice.name, AUGMENTATIONS))
    check_options("augmentation", choice.name, AUGMENTATIONS[choice.name], choice.options)
    return AUGMENTATIONS[choice.name](**choice.options)


@lru_cache(maxsize=64)
def pipeline(choices: tuple[Choice, ...], normalization: normalize) -> Composition:
    """Compose the augmentations of a run, with normalisation where its order says."""
    steps = [*map(choose, choices), normalization]
    return compose(*sorted(steps, key=lambda step: step.order))
