"""A run's samples, brought to the device or ready to be read."""

from functools import partial

import torch

from losslab import augment
from losslab.data.batches import Images, on_device
from losslab.data.dataset import Dataset
from losslab.data.task_data import TaskData
from losslab.errors import InvalidInput
from losslab.randomness import generator
from losslab.spec import Layout, Run
from losslab.tasks.samples import (
    Parts,
    part_positions,
    samples_of,
)
from losslab.training.state import memory_at, memory_format
from losslab.training.timeline import fit_stride


def prepare(
    run: Run,
    dataset: Dataset | TaskData,
    layout: Layout,
    device: torch.device | str = "cpu",
    data_workers: int = 0,
) -> Parts:
    """Bring a run's samples to the device, or open what reads them; Timeline counts the training part.

    Args:
        run: what is to be trained.
        dataset: its data.
        layout: of images.
        device: where batches are wanted.
        data_workers: processes that read samples which do not live on the device.
    """
    device = torch.device(device)
    with memory_at(0):
        if isinstance(dataset, TaskData):
            return _own_parts(run, dataset, device, data_workers)
        return _image_parts(run, dataset, layout, device)


def _image_parts(run: Run, dataset: Dataset, layout: Layout, device: torch.device) -> Parts:
    training, validation = dataset.split(
        validation_fraction=run.data.validation_fraction, train_images=run.data.train_images
    )
    fit = training[:: fit_stride(len(training), len(validation))]
    training_images, fit_images, validation_images, test_images = (
        on_device(dataset, positions, device=device, memory_format=memory_format(layout))
        for positions in (training, fit, validation, None)
    )
    _check_augment(run, training_images)
    return Parts(
        training_images, fit_images, validation_images if len(validation) else None, test_images
    )


def _own_parts(run: Run, dataset: TaskData, device: torch.device, workers: int) -> Parts:
    if run.augment:
        names = ", ".join(choice.name for choice in run.augment)
        raise InvalidInput(
            f"`augment` (={names}) is for images of losslab; augment in the data set of {run.data.name}"
        )
    training, held_out = part_positions(
        dataset,
        validation_fraction=run.data.validation_fraction,
        train_samples=run.data.train_images,
    )
    validation = dataset.train if dataset.validation is None else dataset.validation
    validation_positions = held_out if dataset.validation is None else None
    has_validation = dataset.validation is not None or len(held_out) > 0
    part = partial(samples_of, seed=run.seed, device=device, workers=workers)
    validation_part = (
        part(validation, "validation", validation_positions) if has_validation else None
    )
    validation_count = len(validation_part) if validation_part is not None else 0
    fit = training[:: fit_stride(len(training), validation_count)]
    return Parts(
        training=part(dataset.train, "train", training),
        fit=part(dataset.train, "train", fit),
        validation=validation_part,
        test=None if dataset.test is None else part(dataset.test, "test", None),
    )


def _check_augment(run: Run, images: Images) -> None:
    """Raise InvalidInput when the augmentations do not suit the images, such as a square larger than these."""
    try:
        augment.pipeline(run.augment, images.normalization)(
            images.pixels[:1], generator(run.seed, "augment")
        )
    except ValueError as error:
        raise InvalidInput(f"`augment`: {error}") from error
