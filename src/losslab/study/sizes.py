"""How many images the parts of a run have; kept, since planning needs them for every scale that it tries."""

from functools import lru_cache

from losslab import data
from losslab.data.dataset import Dataset
from losslab.data.task_data import TaskData
from losslab.errors import InvalidInput
from losslab.spec import Run


@lru_cache(maxsize=8)
def load(name: str) -> Dataset | TaskData:
    """Load the data of a run; it is kept for the next run of this process on it."""
    return data.load(name)


@lru_cache(maxsize=256)
def _part_sizes(
    name: str, validation_fraction: float, train_images: int | None
) -> tuple[int, int, int]:
    dataset = load(name)
    if isinstance(dataset, TaskData):
        return _own_part_sizes(dataset, validation_fraction, train_images)
    training, validation = dataset.split(
        validation_fraction=validation_fraction, train_images=train_images
    )
    return len(training), len(validation), len(dataset.test_labels)


def _own_part_sizes(
    dataset: TaskData, validation_fraction: float, train_images: int | None
) -> tuple[int, int, int]:
    # Needs torch, which images do not.
    from losslab.tasks.samples import (
        count_samples,
        part_positions,
    )

    training, held_out = part_positions(
        dataset, validation_fraction=validation_fraction, train_samples=train_images
    )
    validation = len(held_out)
    if dataset.validation is not None:
        validation = count_samples(dataset.validation, "validation")
    test = 0 if dataset.test is None else count_samples(dataset.test, "test")
    return len(training), validation, test


def part_sizes(run: Run) -> tuple[int, int, int]:
    """How many images the run trains on, validates on and is tested on."""
    return _part_sizes(run.data.name, run.data.validation_fraction, run.data.train_images)


def training_images(run: Run) -> int:
    """How many images the run trains on."""
    return part_sizes(run)[0]


def sample_noun(run: Run) -> str:
    """What a sample of the run's data is called: an image, or a sample of the user's own."""
    return "image" if isinstance(load(run.data.name), Dataset) else "sample"


def check_batch(run: Run) -> None:
    """Raise InvalidInput when a batch is to hold more than all training samples: it would be cut to them in silence.

    A policy's sizes are cut to what is left of an epoch, as every last batch is.
    """
    images = training_images(run)
    if isinstance(run.batch, int) and run.batch > images:
        raise InvalidInput(
            f"`batch` (={run.batch}) exceeds the {images:,} training samples of {run.data.name}; give at most {images}"
        )
