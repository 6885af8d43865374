"""Crop and flip: pixels are moved and never computed with, so that bytes stay bytes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from losslab.augment.augmentation import Augmentation, below, bits_of, check_whole, in_format_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class pad_crop(Augmentation):  # noqa: N801 - written as a call, as in a spec
    """Each image padded with zeros on every side and cut back to its size at a random place.

    Each of the (2 padding + 1)^2 places is equally likely.

    Args:
        padding: pixels added on every side; 1 <= padding.
    Raises:
        ValueError: when padding is not positive.
    Example:
        >>> import torch
        >>> pad_crop(4)(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape
        torch.Size([2, 3, 32, 32])

    Reference:
        He et al. 2015, arXiv:1512.03385, section 4.2.
    """

    padding: int = 4

    numbers = 2
    place = 1

    def __post_init__(self) -> None:
        check_whole("padding", self.padding, "4 is usual; leave pad_crop out for none")

    def apply(self, images: "torch.Tensor", uniform: "torch.Tensor") -> "torch.Tensor":
        """Image i moved so that row floor(u_i0 (2 padding + 1)), column floor(u_i1 ...) of the padded one is first.

        In memory a crop is one run of the padded image: it begins at an offset and keeps the padded strides. So a
        batch of crops is a single gather of equally long runs.
        """
        import torch

        padded = torch.nn.functional.pad(images, [self.padding] * 4)
        strides = padded.stride()
        corner = below(2 * self.padding + 1, uniform, images.device)
        starts = torch.arange(0, padded.numel(), strides[0], device=images.device)
        starts.add_(corner[:, 0], alpha=strides[2]).add_(corner[:, 1], alpha=strides[3])
        length = 1 + sum((size - 1) * stride for size, stride in zip(images.shape[1:], strides[1:], strict=True))
        runs = padded.as_strided((padded.numel() - length + 1, length), (1, 1)).index_select(0, starts)
        return in_format_of(images, runs.as_strided(images.shape, (length, *strides[1:])))


@dataclass(frozen=True)
class flip(Augmentation):  # noqa: N801
    """Each image mirrored left to right with probability 1/2.

    Example:
        >>> import torch
        >>> flip()(torch.zeros(2, 3, 32, 32)).dtype
        torch.float32
    """

    numbers = 1
    place = 1

    def apply(self, images: "torch.Tensor", uniform: "torch.Tensor") -> "torch.Tensor":
        """Image i mirrored where u_i0 < 1/2."""
        bits, mirrored = bits_of(images), bits_of(images.flip(3))
        chosen = -(uniform[:, 0, None, None, None] < 0.5).to(images.device, bits.dtype)
        mirrored.bitwise_xor_(bits).bitwise_and_(chosen).bitwise_xor_(bits)
        return in_format_of(images, mirrored.view(images.dtype))
