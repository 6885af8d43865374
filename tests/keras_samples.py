"""Small data and Keras models, and what a model holds; imported by tests that Keras is installed for."""

from typing import Any

import keras
import numpy as np


def arrays(samples: int = 200) -> tuple[Any, Any]:
    """Points of eight numbers, whose class is the largest of the first three."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(samples, 8)).astype("float32")
    return inputs, inputs[:, :3].argmax(axis=1)


def network(optimizer: Any = "adam", *, dropout: float = 0.2) -> keras.Model:
    """Dense layers with batch normalisation and dropout, all of which have state; compiled."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(dropout),
            layers.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def state(model: keras.Model) -> list[bytes]:
    """All variables: weights, states of layers and metrics, and the optimizer's, its rate and steps among them."""
    variables = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable.value).tobytes() for variable in variables]


class SizesSeen(keras.layers.Layer):  # type: ignore[misc]
    """Notes the number of samples of every batch that it is called with while training."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def call(self, inputs: Any, training: bool = False) -> Any:
        # On torch's meta device a layer is only asked for shapes.
        if training and inputs.device.type != "meta":
            self.sizes.append(int(inputs.shape[0]))
        return inputs


def watched(optimizer: Any = "sgd") -> tuple[keras.Model, SizesSeen]:
    """A model, built, and what notes the batches that it sees."""
    keras.utils.set_random_seed(0)
    seen = SizesSeen()
    model = keras.Sequential([keras.Input((8,)), seen, keras.layers.Dense(3)])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, seen
