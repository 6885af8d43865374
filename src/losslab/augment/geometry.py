"""Crop and flip: pixels are moved and never computed with, so that bytes stay bytes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from losslab.augment.augmentation import Augmentation, bits_of, check_whole, in_format_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class pad_crop(Augmentation):  # noqa: N801 - written as a call, as in a spec
    """Each image padded on every side and cut back to its size at a random position.

    Each of the (2 padding + 1)^2 positions is equally likely.

    Args:
        padding: pixels added on every side; 1 <= padding.
        padding_mode: ``constant``, zeros, or ``reflect``, the image mirrored at its border, whose pixels are not
            repeated.
    Raises:
        ValueError: when padding is not positive, there is no such mode, or an image is too small to be mirrored.
    Example:
        >>> import torch
        >>> pad_crop(4)(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape
        torch.Size([2, 3, 32, 32])

    Reference:
        He et al. 2015, arXiv:1512.03385, section 4.2.
    """

    padding: int = 4
    padding_mode: Literal["constant", "reflect"] = "constant"

    order = 1

    def __post_init__(self) -> None:
        check_whole("padding", self.padding, "4 is usual; leave pad_crop out for none")
        if self.padding_mode not in ("constant", "reflect"):
            raise ValueError(
                f"`padding_mode` (={self.padding_mode!r}) must be 'constant' or 'reflect'"
            )

    def bounds(self, height: int, width: int) -> tuple[int, ...]:  # noqa: ARG002
        """The row and the column of the padded image that are the crop's first."""
        return (2 * self.padding + 1,) * 2

    def apply(self, images: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":
        """Each image's crop that begins at its row and column.

        In memory a crop is one run of the padded image: it begins at an offset and keeps the padded strides. So a
        batch of crops is a single gather of equally long runs.
        """
        import torch

        padded = self._padded(images)
        strides = padded.stride()
        rows, columns = drawn.unbind(1)
        starts = torch.arange(0, padded.numel(), strides[0], device=images.device)
        starts.add_(rows, alpha=strides[2]).add_(columns, alpha=strides[3])
        # From the first element of a crop to its last one, both counted.
        spans = [
            (size - 1) * stride
            for size, stride in zip(images.shape[1:], strides[1:], strict=True)
        ]
        length = 1 + sum(spans)
        runs = padded.as_strided((padded.numel() - length + 1, length), (1, 1)).index_select(
            0, starts
        )
        return in_format_of(images, runs.as_strided(images.shape, (length, *strides[1:])))

    def _padded(self, images: "torch.Tensor") -> "torch.Tensor":
        import torch

        if self.padding_mode == "constant":
            return torch.nn.functional.pad(images, [self.padding] * 4)
        side = min(images.shape[2:])
        if self.padding >= side:
            raise ValueError(
                f"`padding` (={self.padding}) must be less than the side of an image (={side}) where padding_mode is "
                "'reflect'; take fewer pixels"
            )
        # By index, since torch's own reflection is slower and has no bytes on some devices.
        rows, columns = (self._mirrored(size, images) for size in images.shape[2:])
        return images.index_select(2, rows).index_select(3, columns)

    def _mirrored(self, size: int, images: "torch.Tensor") -> "torch.Tensor":
        """Where each row or column of the padded image comes from: -1 is 1, and size is size - 2."""
        import torch

        wanted = torch.arange(-self.padding, size + self.padding, device=images.device).abs()
        return size - 1 - (size - 1 - wanted).abs()


@dataclass(frozen=True)
class flip(Augmentation):  # noqa: N801
    """Each image mirrored left to right with probability 1/2.

    Args:
        alternate: in a run, draw this once for each image and then mirror it in every other epoch, so that two epochs
            show both of its sides; of M copies, every other one. Outside of a run, where no epochs are known, each call
            draws anew.
    Example:
        >>> import torch
        >>> flip()(torch.zeros(2, 3, 32, 32)).dtype
        torch.float32

    Reference:
        Jordan 2024, arXiv:2404.00498, section 3.6, alternating flips.
    """

    alternate: bool = False

    order = 1

    def __post_init__(self) -> None:
        if not isinstance(self.alternate, bool):
            raise ValueError(f"`alternate` (={self.alternate!r}) must be true or false")

    def bounds(self, height: int, width: int) -> tuple[int, ...]:  # noqa: ARG002
        """As it is, or mirrored."""
        return (2,)

    def apply(self, images: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":
        """Each image mirrored where its number is 1."""
        if images.requires_grad:
            return self._with_gradient(images, drawn)
        bits, mirrored = bits_of(images), bits_of(images.flip(3))
        all_or_no_bits = -drawn.to(bits.dtype)[:, :, None, None]
        # x ^ ((x ^ y) & m) is y where m has all bits and x where it has none.
        mirrored.bitwise_xor_(bits).bitwise_and_(all_or_no_bits).bitwise_xor_(bits)
        return mirrored.view(images.dtype)

    @staticmethod
    def _with_gradient(images: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":
        """The same pixels by a slower way, since operations on bits have no gradient."""
        import torch

        return in_format_of(
            images, torch.where(drawn[:, :, None, None] == 1, images.flip(3), images)
        )
