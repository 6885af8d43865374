"""Several augmentations as one, in the order that is right, and copies of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
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

    order = 0

    def __post_init__(self) -> None:
        check_whole("copies", self.copies, "1 trains on every image once a batch")

    def bounds(self, height: int, width: int) -> tuple[int, ...]:  # noqa: ARG002
        """It takes no random numbers."""
        return ()

    def apply(self, images: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        """The batch, repeated; for one copy, the batch itself."""
        import torch

        return (
            in_format_of(images, torch.cat((images,) * self.copies))
            if self.copies > 1
            else images
        )


@dataclass(frozen=True)
class Composition(Augmentation):
    """Augmentations one after the other; each image's numbers are drawn for all of them at once."""

    steps: tuple[Augmentation, ...]

    order = 0

    @property
    def copies(self) -> int:
        """Images that come out for one that goes in."""
        return prod(step.copies for step in self.steps if isinstance(step, repeat))

    def __call__(
        self, images: "torch.Tensor", generator: "torch.Generator | None" = None
    ) -> "torch.Tensor":
        """The images, augmented; every copy is drawn separately."""
        check_images(images)
        return self.apply(images, self.draw(len(images) * self.copies, images, generator))

    def bounds(self, height: int, width: int) -> tuple[int, ...]:
        """Those of all steps, in their order."""
        return tuple(chain.from_iterable(step.bounds(height, width) for step in self.steps))

    @property
    def alternates(self) -> bool:
        """Whether a step is by turns."""
        return any(step.alternate for step in self.steps)

    def in_turn(
        self, drawn: "torch.Tensor", turns: "torch.Tensor", images: "torch.Tensor"
    ) -> "torch.Tensor":
        """The numbers drawn for images such as these, with the images' turns, 0 or 1, for steps that alternate."""
        import torch

        columns = list(self._columns(drawn, images))
        for index, step in enumerate(self.steps):
            if step.alternate:
                columns[index] = turns[:, None]
        return torch.cat(columns, dim=1)

    def _columns(
        self, drawn: "torch.Tensor", images: "torch.Tensor"
    ) -> "tuple[torch.Tensor, ...]":
        """The numbers of each step."""
        import torch

        counts = [len(step.bounds(*images.shape[2:])) for step in self.steps]
        return torch.split(drawn, counts, dim=1)

    def apply(self, images: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":
        """The images, augmented by given numbers: a row for each image that comes out."""
        columns = self._columns(drawn, images)
        result = images
        for step, own in zip(self.steps, columns, strict=True):
            # The input is the caller's and must stay; the result of a step is ours, and the next may overwrite it.
            result = step.apply(result, own) if result is images else step.apply_(result, own)
        return result

    def collate(self, samples: Sequence[Any]) -> "tuple[torch.Tensor, torch.Tensor]":
        """Augment (image tensor, label) samples and batch them with their labels: a DataLoader's ``collate_fn``.

        The numbers come from torch's own state, which the DataLoader seeds in each worker: another number of workers
        gives other numbers. Where that matters, call the composition on the loader's batches with a generator.

        Raises:
            ValueError: when a sample is no such pair, or its label would have to move with the pixels.
        """
        import torch
        from torch.utils.data import default_collate

        if not all(isinstance(sample, Sequence) and len(sample) == 2 for sample in samples):
            raise ValueError(
                "`samples` must be pairs of an image and its label; leave other values out of the data set"
            )
        try:
            images, labels = default_collate([tuple(sample) for sample in samples])
        except (
            RuntimeError,
            TypeError,
        ) as error:  # boxes, whose number differs, or images of several sizes
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"`samples` must be images of one size with one label each: {reason}"
            ) from error
        _check_labels(labels)
        return self(images), torch.cat((labels,) * self.copies)


def _check_labels(labels: Any) -> None:
    """Raise ValueError for what would have to move with the pixels of its image, such as a mask, boxes or points.

    A label is a number, a row of probabilities or a row of zeros and ones.
    """
    import torch

    if isinstance(labels, torch.Tensor):
        if labels.ndim == 1:
            return
        # A row of four could be a box: only values tell it from probabilities, as of mixed labels, and from flags.
        if labels.ndim == 2 and (_are_probabilities(labels) or _are_flags(labels)):
            return
        described = f"a tensor of shape {tuple(labels.shape)}"
    else:
        described = f"a {type(labels).__name__}"
    raise ValueError(
        f"`samples` must have one label an image, and the batch's labels are {described}: masks, boxes and points "
        "would have to move with the pixels; augment these by a collate_fn of your own"
    )


def _are_probabilities(labels: "torch.Tensor") -> bool:
    """Whether each row is of numbers from 0 up that add up to 1."""
    deviations = (labels.sum(1) - 1).abs()
    return bool((labels >= 0).all()) and bool((deviations < 1e-3).all())


def _are_flags(labels: "torch.Tensor") -> bool:
    """Whether all numbers are 0 or 1."""
    return bool(((labels == 0) | (labels == 1)).all())


def compose(*steps: Augmentation) -> Composition:
    """Compose augmentations, given in their order, to one.

    Raises:
        ValueError: when a step stands after one that it must come before.
    Example:
        >>> import torch
        >>> from losslab.augment import cutout, flip, normalize, pad_crop
        >>> augment = compose(repeat(4), pad_crop(4), flip(), normalize(mean=(0.5,), std=(0.25,)), cutout(8))
        >>> augment(torch.zeros(2, 1, 28, 28, dtype=torch.uint8), torch.Generator().manual_seed(0)).shape
        torch.Size([8, 1, 28, 28])
    """
    flat: list[Augmentation] = []
    for step in steps:
        flat += step.steps if isinstance(step, Composition) else [step]
    for before, after in pairwise(flat):
        if after.order < before.order:
            raise ValueError(f"`{after}` must come before `{before}`; the order is {ORDER}")
    return Composition(tuple(flat))
