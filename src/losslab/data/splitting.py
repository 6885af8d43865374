"""Hold out a validation part: seeded, stratified, the same on every machine."""

import numpy as np
from numpy.typing import NDArray

from losslab.errors import InvalidInput

VALIDATION_FRACTION = 0.1
"""Part of the training images that is held out unless another is given."""


def split(
    labels: NDArray[np.int64],
    *,
    validation_fraction: float,
    train_images: int | None = None,
    seed: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split images into training and validation; the indices of each are sorted, and the two are disjoint.

    Both are stratified: in each, the share of a class is its share in ``labels``, to within an image or so.

    Args:
        labels: int (image,): the class of each image of the training set.
        validation_fraction: part held out for validation; 0 holds out nothing.
        train_images: how many of the other images to train on, all when None. A smaller choice lies within a larger
            one; the validation part does not depend on it.
        seed: which of the many stratified splits.
    Raises:
        InvalidInput: when a fraction, a number or a seed is out of range, or a part would be empty.
    Example:
        >>> training, validation = split(np.array([0, 1] * 10), validation_fraction=0.2)
        >>> len(training), len(validation)
        (16, 4)
    """
    if not 0 <= validation_fraction < 1:
        raise InvalidInput(
            f"validation_fraction (={validation_fraction}) must be at least 0 and below 1"
        )
    if seed < 0:
        raise InvalidInput(f"seed (={seed}) must not be negative")
    held_out = round(validation_fraction * len(labels))
    rest = len(labels) - held_out
    if not rest or (validation_fraction and not held_out):
        raise InvalidInput(
            f"validation_fraction (={validation_fraction}) of {len(labels)} images leaves {rest} to train on and "
            f"{held_out} to validate with; choose another fraction"
        )
    taken = rest if train_images is None else train_images
    if not 1 <= taken <= rest:
        raise InvalidInput(
            f"train_images (={taken}) must be from 1 to {rest}, the images that are not held out"
        )
    order = _stratified_order(labels, seed)
    # Validation first, then training: the held-out part stays the same whatever number of images is trained on.
    return np.sort(order[held_out : held_out + taken]), np.sort(order[:held_out])


def _stratified_order(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Order all indices so that every stretch of them is stratified.

    The k-th of the n images of a class, in random order, goes to (k + 1/2)/n of the whole; ties are random. Only raw
    bits are drawn, which numpy promises never to change.
    """
    noise = np.random.PCG64(seed).random_raw(len(labels))
    by_class = np.lexsort((noise, labels))
    _, first, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(first, counts)
    position = (rank + 0.5) / np.repeat(counts, counts)
    return by_class[np.lexsort((noise[by_class], position))]
