"""Ranges and cycles of learning rate and batch size with Keras, on Fashion-MNIST.

Run it with ``KERAS_BACKEND=torch python examples/keras_cycles.py``; it needs ``pip install losslab[keras]`` and, as it
stands, some minutes of one core. ``--data fashion-mnist`` takes the whole set, from losslab's cache or an official
source; the default is the sample that losslab holds.

1. **The range of the learning rate**: a ramp from 1e-9 to 10, and the same by ten separate trainings.
2. **A cyclical learning rate** with decay (``exp_range``) over that range, beside the test's own suggestion.
3. **The range of the batch size** at lr_min, at equal iterations and from equal weights.
4. **A cyclical batch size** with decay over that range at lr_min, beside constant sizes.

Every training starts from the same weights. What comes out is printed as a table.
"""

import argparse
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from losslab import BatchRange, LrRange
from losslab.data import Dataset, load_images
from losslab.integrations.keras import (
    BatchFinder,
    CyclicalBatchSize,
    CyclicalLearningRate,
    LearningRateFinder,
    StepHistory,
)
from losslab.schedules import exp_range

MOMENTUM = 0.9
BATCH_SIZE = 64


@dataclass(frozen=True)
class Scale:
    """How much of each part is done.

    Attributes:
        images: training images.
        test_steps: steps of a range test, for each of its trainings.
        seeds: repetitions of a range test.
        epochs: of each training that is compared.
        cycles: in those trainings.
        sizes: batch sizes that are tested.
    """

    images: int = 5000
    test_steps: int = 200
    seeds: int = 3
    epochs: int = 12
    cycles: int = 3
    sizes: tuple[int, ...] = (16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Training:
    """One training that is compared.

    Attributes:
        name: of its policy.
        steps: optimizer steps.
        history: lr and batch size of every step.
        accuracy: of the test images at its end.
    """

    name: str
    steps: int
    history: StepHistory
    accuracy: float


@dataclass(frozen=True)
class Outcome:
    """What the script found."""

    ramp: LrRange
    grid: LrRange
    batch: BatchRange
    trainings: tuple[Training, ...]


def lenet() -> keras.Model:
    """LeNet-5 with fresh weights, the same each time."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10),
        ]
    )
    model.compile(
        keras.optimizers.SGD(1e-3, momentum=MOMENTUM),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def arrays(images: Any, labels: Any, dataset: Dataset) -> tuple[Any, Any]:
    """Images as Keras takes them, standardised, channels last; and their labels."""
    values = images.transpose(0, 2, 3, 1).astype("float32") / 255
    return (values - np.float32(dataset.mean)) / np.float32(dataset.std), labels


def find_lr(data: tuple[Any, Any], scale: Scale, mode: str) -> LrRange:
    """The range of the learning rate, by a ramp or by a grid."""
    options: dict[str, Any] = {"steps": scale.test_steps, "seeds": scale.seeds}
    return LearningRateFinder(lenet(), data, batch_size=BATCH_SIZE, mode=mode, **options)


def train(
    name: str,
    data: tuple[Any, Any],
    test: tuple[Any, Any],
    scale: Scale,
    *,
    lr: Any,
    batch: Any,
) -> Training:
    """Train LeNet-5 once, learning rate and batch size each by a policy or a number."""
    batches = CyclicalBatchSize(*data, batch=batch, epochs=scale.epochs)
    history = StepHistory(batches)
    callbacks = [CyclicalLearningRate(lr), history]
    model = lenet()
    model.fit(batches, epochs=scale.epochs, shuffle=False, callbacks=callbacks, verbose=0)
    _loss, accuracy = model.evaluate(*test, batch_size=500, verbose=0)
    return Training(name, len(history.lr), history, float(accuracy))


def compare(name: str = "fashion-mnist-sample", scale: Scale | None = None) -> Outcome:
    """Do all four parts and print what comes out."""
    scale = scale or Scale()
    dataset = load_images(name)
    train_images = dataset.train_images[: scale.images]
    data = arrays(train_images, dataset.train_labels[: scale.images], dataset)
    test = arrays(dataset.test_images, dataset.test_labels, dataset)

    ramp, grid = find_lr(data, scale, "ramp"), find_lr(data, scale, "grid")
    print(f"lr by a ramp: {ramp.lr_min} to {ramp.lr_max}, suggestion {ramp.suggestion}")
    print(f"lr by a grid: {grid.lr_min} to {grid.lr_max}, suggestion {grid.suggestion}")
    # Without a range, as with very few steps, the cycles run between usual values.
    low, high = ramp.lr_min or 1e-3, ramp.lr_max or 1e-1
    cycle = exp_range(low, high, cycles=scale.cycles)
    best = ramp.suggestion or high / 3
    by_lr = [
        train("cyclical lr", data, test, scale, lr=cycle, batch=BATCH_SIZE),
        train(f"constant lr {best:.2g}", data, test, scale, lr=best, batch=BATCH_SIZE),
    ]

    batch = BatchFinder(
        lenet(), data, sizes=scale.sizes, lr=low, steps=scale.test_steps, seeds=scale.seeds
    )
    print(f"batch sizes: {batch.b_min} to {batch.b_max} {batch.reason}")
    small, large = batch.b_min or scale.sizes[0], batch.b_max or scale.sizes[-1]
    sizes = f"exp_range({small}, {large}, cycles={scale.cycles})"
    by_batch = [
        train("cyclical batch size", data, test, scale, lr=low, batch=sizes),
        train(f"constant batch size {small}", data, test, scale, lr=low, batch=small),
        train(f"constant batch size {large}", data, test, scale, lr=low, batch=large),
    ]
    for training in by_lr + by_batch:
        print(
            f"{training.name:28} {training.steps:6} steps  test accuracy {training.accuracy:.1%}"
        )
    return Outcome(ramp, grid, batch, (*by_lr, *by_batch))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="fashion-mnist-sample")
    parser.add_argument("--images", type=int, default=Scale.images)
    parser.add_argument("--epochs", type=int, default=Scale.epochs)
    arguments = parser.parse_args()
    compare(arguments.data, Scale(images=arguments.images, epochs=arguments.epochs))
