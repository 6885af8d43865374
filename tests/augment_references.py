"""Augmentations an image at a time, written from their definitions; numbers as the batched ones draw them."""

from itertools import product

import torch
from torch import Tensor


def pad_crop(image: Tensor, drawn: list[int], padding: int, padding_mode: str) -> Tensor:
    """Pixel by pixel: where it comes from in the image, mirrored at the border or 0 beyond it."""
    channels, height, width = image.shape
    top, left = (number - padding for number in drawn)
    crop = torch.zeros(channels, height, width, dtype=image.dtype)
    for row, column in product(range(height), range(width)):
        y, x = row + top, column + left
        if padding_mode == "reflect":
            y, x = mirrored(y, height), mirrored(x, width)
        if 0 <= y < height and 0 <= x < width:
            crop[:, row, column] = image[:, y, x]
    return crop


def mirrored(place: int, size: int) -> int:
    """-1 is 1, and size is size - 2."""
    return size - 1 - abs(size - 1 - abs(place))


def flip(image: Tensor, drawn: list[int], alternate: bool) -> Tensor:
    return image.flip(2) if drawn == [1] else image


def cutout(image: Tensor, drawn: list[int], size: int, mode: str, fill: float) -> Tensor:
    top, left = (number - size // 2 if mode == "clipped" else number for number in drawn)
    erased = image.clone()
    erased[:, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)] = fill
    return erased
