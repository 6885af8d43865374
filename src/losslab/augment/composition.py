"""Several augmentations as one, in the order that is right, and copies of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

from losslab.augment.augmentation import Augmentation, check_images, check_whole, in_format_of

if TYPE_CHECKING:
    import torch

ORDER = "repeat, then pad_crop and flip, then normalize, then cutout"


@dataclass(frozen=True)
class repeat(Augmentation):  # noqa: N801 - written as a call
    """The batch M times over: all images, then all again. So `labels.repeat(M)` are the labels of the copies.

    Args:
        copies: M; 1 <= M.
    Raises:
        ValueError: when copies is not positive.
    Example:
        >>> import torch
        >>> repeat(4)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([8, 3, 32, 32])

    Reference:
        Hoffer et al. 2019, arXiv:1901.09335.
    """

    copies: int

    place = 0

    def __post_init__(self) -> None:
        check_whole("copies", self.copies, "1 trains on every image once a batch")

    def bounds(self, height: int, width: int) -> tuple[int, ...]:  # noqa: ARG002
        """It takes no random numbers."""
        return ()

    def apply(self, images: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        """The batch, repeated; for one copy, the batch itself."""
        import torch

        return in_format_of(images, torch.cat((images,) * self.copies)) if self.copies > 1 else images


@dataclass(frozen=True)
class Composition(Augmentation):
    """Augmentations one after the other; each image's numbers are drawn for all of them at once."""

    steps: tuple[Augmentation, ...]

    place = 0

    @property
    def copies(self) -> int:
        """How many images come out for one that goes in."""
        return prod(step.copies for step in self.steps if isinstance(step, repeat))

    def __call__(self, images: "torch.Tensor", generator: "torch.Generator | None" = None) -> "torch.Tensor":
        """The images, augmented; every copy is drawn separately."""
        check_images(images)
        return self.apply(images, self.draw(len(images) * self.copies, images, generator))

    def bounds(self, height: int, width: int) -> tuple[int, ...]:
        """Those of all steps, in their order."""
        return tuple(bound for step in self.steps for bound in step.bounds(height, width))

    def apply(self, images: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":
        """The images, augmented by given numbers: a row for each image that comes out."""
        import torch

        columns = torch.split(drawn, [len(step.bounds(*images.shape[2:])) for step in self.steps], dim=1)
        given = images
        for step, own in zip(self.steps, columns, strict=True):
            images = (step.apply if images is given else step.apply_)(images, own)
        return images

    def collate(self, samples: Sequence[Any]) -> "tuple[torch.Tensor, torch.Tensor]":
        """Augmented images and their labels of (image tensor, label) samples: a DataLoader's ``collate_fn``.

        The numbers come from torch's own state, which the DataLoader seeds in each worker: another number of workers
        gives other numbers. Where that matters, call the composition on the loader's batches with a generator.
        """
        import torch
        from torch.utils.data import default_collate

        images, labels = default_collate(list(samples))
        return self(images), torch.cat((labels,) * self.copies)


def compose(*steps: Augmentation) -> Composition:
    """Augmentations as one, to be given in their order.

    Raises:
        ValueError: when a step stands after one that it must come before.
    Example:
        >>> import torch
        >>> from losslab.augment import cutout, flip, normalize, pad_crop
        >>> augment = compose(repeat(4), pad_crop(4), flip(), normalize(mean=(0.5,), std=(0.25,)), cutout(8))
        >>> augment(torch.zeros(2, 1, 28, 28, dtype=torch.uint8), torch.Generator().manual_seed(0)).shape
        torch.Size([8, 1, 28, 28])
    """
    flat = tuple(part for step in steps for part in (step.steps if isinstance(step, Composition) else (step,)))
    for before, after in pairwise(flat):
        if after.place < before.place:
            raise ValueError(f"`{after}` must come before `{before}`; the order is {ORDER}")
    return Composition(flat)
