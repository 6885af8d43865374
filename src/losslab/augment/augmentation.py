"""The interface of augmentations: a pure function of images and of the random numbers drawn for them."""

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING

from losslab.devices import sent

if TYPE_CHECKING:
    import torch


class Augmentation(ABC):
    """Images to images of the same dtype and memory format; the input is not modified.

    Attributes:
        order: augmentations are applied by rising order; equal ones may change places.
        alternate: whether its one number, 0 or 1, is an image's turn in a run and not drawn in each epoch.
    """

    order: int
    alternate: bool = False

    def __call__(
        self, images: "torch.Tensor", generator: "torch.Generator | None" = None
    ) -> "torch.Tensor":
        """Augment images.

        Args:
            images: uint8 or floating tensor (batch, channel, height, width).
            generator: where the numbers are drawn; torch's own state when absent, which a DataLoader seeds in each of
                its workers.
        Raises:
            ValueError: when these are no images, or images that this augmentation does not suit.
        """
        check_images(images)
        return self.apply(images, self.draw(len(images), images, generator))

    def draw(
        self, count: int, images: "torch.Tensor", generator: "torch.Generator | None" = None
    ) -> "torch.Tensor":
        """Draw the random numbers of ``count`` images such as these: int64 (count, numbers), each below its bound."""
        import torch

        # float64 has 53 bits: rounding down makes the whole numbers below a bound equally likely, and never the bound.
        device = torch.device("cpu") if generator is None else generator.device
        bounds = _as_tensor(self.bounds(*images.shape[2:]), device)
        uniform = torch.rand(
            count, len(bounds), dtype=torch.float64, generator=generator, device=device
        )
        return sent(uniform.mul_(bounds).to(torch.int64), images.device)

    @abstractmethod
    def bounds(self, height: int, width: int) -> tuple[int, ...]:
        """The random numbers that an image takes: each is one of 0 ... bound - 1, all equally likely."""

    @abstractmethod
    def apply(self, images: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":
        """The images, augmented by given numbers: a row of ``drawn`` for each image, a column for each bound."""

    def apply_(self, images: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":
        """The same, free to overwrite the images where that is faster."""
        return self.apply(images, drawn)


@lru_cache(maxsize=64)
def _as_tensor(bounds: tuple[int, ...], device: "torch.device") -> "torch.Tensor":
    import torch

    return torch.tensor(bounds, dtype=torch.float64, device=device)


def check_images(images: "torch.Tensor") -> None:
    """Raise ValueError when a value is not a batch of images."""
    import torch

    if not isinstance(images, torch.Tensor):
        raise ValueError(
            f"`images` (a {type(images).__name__}) must be a tensor; convert it with torch.as_tensor"
        )
    described = f"`images` (={images.dtype} of shape {tuple(images.shape)})"
    if images.ndim != 4 or not images.numel():
        raise ValueError(
            f"{described} must be (batch, channel, height, width) with no size 0; give one image as images[None]"
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(
            f"{described} must be uint8 or floating; convert with images.to(torch.uint8)"
        )


def check_whole(name: str, value: object, hint: str) -> None:
    """Raise ValueError when an option is not a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"`{name}` (={value!r}) must be a whole number of at least 1; {hint}")


def bits_of(images: "torch.Tensor") -> "torch.Tensor":
    """View the memory as whole numbers: choosing pixels by their bits takes a third of the time of torch.where."""
    import torch

    return images.view(
        {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[images.element_size()]
    )


def in_format_of(images: "torch.Tensor", result: "torch.Tensor") -> "torch.Tensor":
    """Bring a result into the memory format of the images."""
    import torch

    channels_last = not images.is_contiguous() and images.is_contiguous(
        memory_format=torch.channels_last
    )
    return result.contiguous(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format
    )
