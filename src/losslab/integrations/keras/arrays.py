"""Arrays in memory as batches of Keras: inputs, targets and weights of samples, each an array or several."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from losslab.randomness import epoch_order


class Arrays:
    """Samples in memory.

    Attributes:
        parts: (inputs,), (inputs, targets) or (inputs, targets, weights of samples).
        samples: how many there are.

    Args:
        parts: arrays, or structures of arrays, with the samples along the first axis.
    Raises:
        TypeError: when a part is no array, such as a table of pandas or a list of numbers.
        ValueError: when weights come without targets; when they disagree on the number of samples, or there is
            none.
    """

    def __init__(self, *parts: Any) -> None:
        self.parts = tuple(part for part in parts if part is not None)
        # By its position alone is a part known: weights would become targets.
        if any(part is not None for part in parts[len(self.parts) :]):
            raise ValueError(
                "a part of the data is None, but not those after it; give targets to samples that have weights"
            )
        arrays = keras.tree.flatten(self.parts)
        _check_arrays(arrays)
        lengths = {len(array) for array in arrays}
        if len(lengths) != 1 or not min(lengths):
            raise ValueError(
                f"the arrays have {' and '.join(map(str, sorted(lengths))) or 'no'} samples; "
                "give arrays of equal, positive length"
            )
        self.samples = lengths.pop()

    def batch(self, positions: Any) -> tuple[Any, ...]:
        """The samples at these positions, as Keras takes a batch."""
        batch: tuple[Any, ...] = keras.tree.map_structure(
            lambda array: array[positions], self.parts
        )
        return batch


def _check_arrays(values: list[Any]) -> None:
    """Raise TypeError for what has no positions along a first axis."""
    for value in values:
        kind = type(value).__name__
        if hasattr(value, "iloc"):
            raise TypeError(f"the data holds a {kind}; give its array: .to_numpy()")
        # A list is taken as a structure, whose numbers would each be a part.
        if not getattr(value, "shape", ()):
            raise TypeError(
                f"the data holds single values ({kind}) and no array; of a list, give numpy.asarray(...)"
            )


class Order:
    """The order of each pass over the samples, a function of (seed, pass); the last pass asked for is kept.

    Args:
        samples: of a pass.
        seed: of all orders.
        shuffle: whether passes have random orders; else 0, 1, 2 ...
    """

    def __init__(self, samples: int, seed: int, *, shuffle: bool = True) -> None:
        self._samples = samples
        self._seed = seed
        self._shuffle = shuffle
        self._kept: tuple[int, Any] = (-1, None)

    def __call__(self, number: int) -> Any:
        """The positions of a pass."""
        # Read and written as one value: workers that are threads share it.
        kept_number, order = self._kept
        if kept_number != number:
            order = self._of(number)
            self._kept = (number, order)
        return order

    def _of(self, number: int) -> Any:
        if not self._shuffle:
            return np.arange(self._samples)
        return epoch_order(self._samples, self._seed, number).numpy()


class Batches:
    """Batches of one size over arrays, pass after pass without end; each iteration begins anew.

    Args:
        arrays: the samples.
        size: samples of a batch; the last one of a pass is what is left.
        seed: of the order.
    """

    def __init__(self, arrays: Arrays, size: int, seed: int = 0) -> None:
        self.arrays = arrays
        self.size = size
        self.order = Order(arrays.samples, seed)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        number = 0
        while True:
            order = self.order(number)
            for start in range(0, self.arrays.samples, self.size):
                yield self.arrays.batch(order[start : start + self.size])
            number += 1
