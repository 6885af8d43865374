"""Images kept on the device as uint8; batches are augmented and normalised there."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.augment import Augmentation, normalize
from losslab.data.dataset import Dataset


@dataclass(frozen=True)
class Images:
    """Labelled images on one device.

    Attributes:
        pixels: uint8 tensor (count, channel, height, width).
        labels: int64 tensor (count,).
        normalization: by the data set's mean and deviation.
        memory_format: layout of the batches.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    normalization: normalize
    memory_format: torch.memory_format

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised float images (n, channel, height, width) and labels (n,) of the given indices."""
        return self.augmented(
            indices, self.normalization, self.labels.new_empty(len(indices), 0)
        )

    def augmented(
        self, indices: torch.Tensor, augment: Augmentation, drawn: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same after augmentations that normalise, by given random numbers, a row for each index."""
        pixels = augment.apply(self.pixels.index_select(0, indices), drawn)
        return pixels.contiguous(memory_format=self.memory_format), self.labels.index_select(
            0, indices
        )


def on_device(
    dataset: Dataset,
    indices: NDArray[np.int64] | None,
    *,
    device: torch.device,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Images:
    """Put the images at ``indices`` (the test images where that is None) on a device.

    Args:
        dataset: where the images come from; its mean and deviation normalise them.
        indices: as ``Dataset.split`` gives them, or None for the whole test set.
        device: where they are to live.
        memory_format: layout of the batches; ``torch.channels_last`` suits convolutions.
    """
    pixels, labels = dataset.test_images, dataset.test_labels
    if indices is not None:
        pixels, labels = dataset.at(indices)
    return Images(
        # As bytes: a fourth of what float32 takes on the device, and of what is moved there.
        torch.from_numpy(np.ascontiguousarray(pixels)).to(device),
        torch.from_numpy(np.ascontiguousarray(labels)).to(device),
        normalize(tuple(dataset.mean), tuple(dataset.std)),
        memory_format,
    )
