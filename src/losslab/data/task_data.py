"""Samples of any kind, as a user's factory gives them: tensors, arrays or a map-style torch Dataset."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TaskData:
    """Samples to train on and, where given, to validate with and to test on.

    Each part is a tree: a tensor or array, or a tuple or mapping of such, all with the samples along their first axis;
    or a map-style torch ``Dataset``, whose samples are read by worker processes and collated; or a ``DataLoader`` over
    one, for its dataset, its `collate_fn` and its number of workers. What a batch is to mean, the loss says: the usual
    ones take a pair (inputs, targets).

    Attributes:
        train: samples to train on.
        validation: samples to validate with; a part of `train` is held out when None.
        test: samples of the final test; none when None.
        classes: name of each class, where targets are classes.
        title: for people; the name it was loaded by when empty.
        name: what it was loaded by.
    Example:
        >>> import numpy as np
        >>> TaskData((np.zeros((20, 3), "float32"), np.zeros(20, "float32"))).test is None
        True
    """

    train: Any
    validation: Any = None
    test: Any = None
    classes: tuple[str, ...] | None = None
    title: str = ""
    name: str = ""
