"""Cutout: a square of every image erased, so that a network cannot rely on any one part of what it sees."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from losslab.augment.augmentation import Augmentation, below, bits_of, check_whole, in_format_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class cutout(Augmentation):  # noqa: N801 - written as a call, as in a spec
    """Each image with one square erased, the same in all its channels.

    ``clipped``, the paper's: the centre is any pixel, equally likely, and the part of the square outside the image is
    lost, so that the erased area varies. ``inside``: the square is whole, each of its places equally likely.

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

    numbers = 2
    place = 3

    def __post_init__(self) -> None:
        check_whole("size", self.size, "16 is usual for CIFAR-10; leave cutout out for none")
        if self.mode not in ("clipped", "inside"):
            raise ValueError(f"`mode` (={self.mode!r}) must be 'clipped' or 'inside'; 'clipped' is the paper's")
        if isinstance(self.fill, bool) or not isinstance(self.fill, int | float):
            raise ValueError(f"`fill` (={self.fill!r}) must be a number; 0 is the mean colour")

    def apply(self, images: "torch.Tensor", uniform: "torch.Tensor") -> "torch.Tensor":
        """Image i without rows top ... top + size - 1 of columns left ... left + size - 1.

        (top, left) is floor(u_i height), floor(u_i width) less floor(size / 2) where clipped, and
        floor(u_i (height - size + 1)), floor(u_i (width - size + 1)) where inside.
        """
        import torch

        self._check(images)
        sides = torch.tensor(images.shape[2:], device=uniform.device)
        if self.mode == "clipped":
            corner = below(sides, uniform, images.device) - self.size // 2
        else:
            corner = below(sides - self.size + 1, uniform, images.device)
        line = torch.arange(max(images.shape[2:]), device=images.device)
        first = corner[:, :, None]
        covered = (line >= first) & (line < first + self.size)
        return in_format_of(images, self._erased(images, covered))

    def _erased(self, images: "torch.Tensor", covered: "torch.Tensor") -> "torch.Tensor":
        """The images with `fill` where a row and a column are covered; ``covered`` is (batch, 2, longer side)."""
        bits = bits_of(images)
        mask = -covered.to(bits.dtype)
        rows, columns = mask[:, 0, : images.shape[2]], mask[:, 1, : images.shape[3]]
        square = (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)
        kept = bits & ~square
        if self.fill:
            kept |= square & bits_of(images.new_full((), self.fill))
        return kept.view(images.dtype)

    def _check(self, images: "torch.Tensor") -> None:
        height, width = images.shape[2:]
        if self.size > min(height, width):
            raise ValueError(
                f"`size` (={self.size}) must not exceed the images' {height}x{width} pixels; "
                f"half a side, {max(1, min(height, width) // 2)}, is usual"
            )
        if not images.is_floating_point() and self.fill not in range(256):
            raise ValueError(f"`fill` (={self.fill}) must be one of 0 ... 255 for uint8 images; normalise them first?")
