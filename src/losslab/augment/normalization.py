"""Bytes to floats, once."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from losslab.augment.augmentation import Augmentation

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class normalize(Augmentation):  # noqa: N801 - written as a call
    r"""uint8 images as float32 with mean 0 and deviation 1 in each channel.

    .. math:: x / (255\, \sigma) - \mu / \sigma

    Args:
        mean: :math:`\mu` of each channel, in the scale where 255 is 1.
        std: :math:`\sigma` of each channel, in the same scale.
    Raises:
        ValueError: when they differ in length or a deviation is not positive.
    Example:
        >>> import torch
        >>> normalize(mean=(0.5,), std=(0.25,))(torch.full((1, 1, 1, 2), 255, dtype=torch.uint8)).tolist()
        [[[[2.0, 2.0]]]]
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    order = 2

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(value > 0 for value in self.std):
            raise ValueError(
                f"`std` (={self.std}) must be positive, one for each of `mean` (={self.mean})"
            )

    def bounds(self, height: int, width: int) -> tuple[int, ...]:  # noqa: ARG002
        """It takes no random numbers."""
        return ()

    def apply(self, images: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        """The images, normalised."""
        import torch

        if images.dtype != torch.uint8 or images.shape[1] != len(self.mean):
            raise ValueError(
                f"`images` (={images.dtype} of {images.shape[1]} channels) must be uint8 of {len(self.mean)} channels, "
                "as `mean` has; normalise once, and first convert floats of 0 ... 1 with (255 * images).to(torch.uint8)"
            )
        scale, shift = _scale_and_shift(self.mean, self.std, images.device)
        return images.to(torch.float32).mul_(scale).add_(shift)


@lru_cache(maxsize=16)
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], device: "torch.device"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """1 / (255 std) and -mean / std, each (1, channel, 1, 1)."""
    import torch

    means, stds = (
        torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1) for values in (mean, std)
    )
    return (1 / (255 * stds)).to(device), (-means / stds).to(device)
