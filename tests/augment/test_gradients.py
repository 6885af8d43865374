"""Gradients through augmentations: what trains a generator of images sees where its pixels went."""

import pytest
import torch
from torch import Tensor

from losslab.augment import Augmentation, compose, cutout, flip, pad_crop, repeat
from losslab.randomness import generator

EVERY: list[Augmentation] = [
    pad_crop(2),
    flip(),
    cutout(3),
    cutout(4, mode="inside", fill=0.5),
    repeat(2),
    compose(repeat(2), pad_crop(1), flip(), cutout(3)),
]
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def images(layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    pixels = torch.rand(4, 3, 6, 5, dtype=torch.float64, generator=generator(0, "pixels"))
    return pixels.contiguous(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("augment", EVERY, ids=str)
def test_gradients_are_those_of_finite_differences(augment: Augmentation) -> None:
    batch = images()
    drawn = augment.draw(len(augment(batch)), batch, generator(1, "augment"))
    assert torch.autograd.gradcheck(lambda pixels: augment.apply(pixels, drawn), batch)


@pytest.mark.parametrize("augment", EVERY, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_with_and_without_gradient_are_the_same_bits(
    augment: Augmentation, layout: str
) -> None:
    batch = images(LAYOUTS[layout])
    with_gradient = augment(batch, generator(2, "augment"))
    without = augment(batch.detach(), generator(2, "augment"))
    assert torch.equal(with_gradient, without)
    assert with_gradient.stride() == without.stride()
    assert with_gradient.requires_grad


def test_erased_pixels_get_no_gradient_and_the_others_get_theirs() -> None:
    batch = images()
    result = cutout(3)(batch, generator(3, "augment"))
    result.sum().backward()
    assert torch.equal(batch.grad, (result != 0).to(torch.float64))


@pytest.mark.parametrize("augment", EVERY, ids=str)
def test_images_that_want_a_gradient_are_not_modified(augment: Augmentation) -> None:
    batch = images()
    before = batch.detach().clone()
    augment(batch, generator(4, "augment"))
    assert torch.equal(batch.detach(), before)
