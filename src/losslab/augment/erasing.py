"""Cutout: a square of every image erased, so that a network cannot rely on any one part of what it sees."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from losslab.augment.augmentation import Augmentation, bits_of, check_whole, in_format_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class cutout(Augmentation):  # noqa: N801 - written as a call, as in a spec
    """Each image with one square erased, the same in all its channels.

    ``clipped``, the paper's: the centre is any pixel, equally likely, and the part of the square outside the image is
    lost, so that the erased area varies. ``inside``: the square is whole, each of its positions equally likely.

    Args:
        size: side of the square, pixels; 1 <= size <= height, width. The paper's is 16 for CIFAR-10.
        mode: where the square may be.
        fill: what replaces the pixels; 0 is the mean colour of normalised images.
    Raises:
        ValueError: when size is not positive or the mode is another.
    Example:
        >>> import torch
        >>> erased = cutout(16, mode="inside")(torch.ones(2, 3, 32, 32)) == 0
        >>> erased.sum(dim=(1, 2, 3))
        tensor([768, 768])

    Reference:
        DeVries & Taylor 2017, arXiv:1708.04552, section 3. Their code erases one pixel less of an odd size.
    """

    size: int = 16
    mode: Literal["clipped", "inside"] = "clipped"
    fill: float = 0.0

    order = 3

    def __post_init__(self) -> None:
        check_whole("size", self.size, "16 is usual for CIFAR-10; leave cutout out for none")
        if self.mode not in ("clipped", "inside"):
            raise ValueError(
                f"`mode` (={self.mode!r}) must be 'clipped' or 'inside'; 'clipped' is the paper's"
            )
        if isinstance(self.fill, bool) or not isinstance(self.fill, int | float):
            raise ValueError(f"`fill` (={self.fill!r}) must be a number; 0 is the mean colour")

    def bounds(self, height: int, width: int) -> tuple[int, ...]:
        """The row and the column of the centre where clipped, of the first pixel where inside."""
        if self.size > min(height, width):
            raise ValueError(
                f"`size` (={self.size}) must not exceed the images' {height}x{width} pixels; "
                f"half a side, {max(1, min(height, width) // 2)}, is usual"
            )
        whole = 0 if self.mode == "clipped" else self.size - 1
        return (height - whole, width - whole)

    def apply(self, images: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":
        """Each image without its square; a centre's square begins floor(size / 2) pixels above and left of it."""
        return self._erased(images, drawn, None)

    def apply_(self, images: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":
        """The same in the memory of the images."""
        return self._erased(images, drawn, bits_of(images))

    def _erased(
        self, images: "torch.Tensor", drawn: "torch.Tensor", out: "torch.Tensor | None"
    ) -> "torch.Tensor":
        import torch

        self._check_fill(images)
        bits = bits_of(images)
        kept = self._kept(bits, drawn)
        fill = images.new_full((), self.fill)
        if images.requires_grad:  # operations on bits have no gradient
            return in_format_of(images, torch.where(kept != 0, images, fill))
        result = torch.bitwise_and(bits, kept, out=out)
        if self.fill:
            result |= ~kept & bits_of(fill)
        return result.view(images.dtype)

    def _kept(self, bits: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":
        """All bits of the pixels outside each image's square, no bits within: one channel, for all."""
        row_numbers, column_numbers = drawn.unbind(1)
        rows = _kept_lines(self, bits.shape[2], 2, bits.dtype, bits.device).index_select(
            0, row_numbers
        )
        columns = _kept_lines(self, bits.shape[3], 3, bits.dtype, bits.device).index_select(
            0, column_numbers
        )
        # All bits are kept where the row or the column lies outside the square.
        return rows | columns

    def _check_fill(self, images: "torch.Tensor") -> None:
        if not images.is_floating_point() and self.fill not in range(256):
            raise ValueError(
                f"`fill` (={self.fill}) must be one of 0 ... 255 for uint8 images; normalise them first?"
            )


@lru_cache(maxsize=64)
def _kept_lines(
    augment: cutout, side: int, dim: int, dtype: "torch.dtype", device: "torch.device"
) -> "torch.Tensor":
    """For each number that may be drawn, the lines of a side outside the square: all bits where kept, else none.

    The lines lie along the images' dimension ``dim``, 2 or 3.
    """
    import torch

    line, number = torch.arange(side), torch.arange(augment.bounds(side, side)[0])[:, None]
    first = number - (augment.size // 2 if augment.mode == "clipped" else 0)
    outside = (line < first) | (line >= first + augment.size)
    lines = -outside.to(device, dtype)  # -1 has all bits
    return lines[:, None, :, None] if dim == 2 else lines[:, None, None, :]
