"""Augmentations an image at a time, written from their definitions; numbers as the batched ones draw them."""

import torch
from torch import Tensor


def pad_crop(image: Tensor, drawn: list[int], padding: int) -> Tensor:
    channels, height, width = image.shape
    padded = torch.zeros(channels, height + 2 * padding, width + 2 * padding, dtype=image.dtype)
    padded[:, padding : padding + height, padding : padding + width] = image
    top, left = drawn
    return padded[:, top : top + height, left : left + width]


def flip(image: Tensor, drawn: list[int]) -> Tensor:
    return image.flip(2) if drawn == [1] else image


def cutout(image: Tensor, drawn: list[int], size: int, mode: str, fill: float) -> Tensor:
    top, left = (number - size // 2 if mode == "clipped" else number for number in drawn)
    erased = image.clone()
    erased[:, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)] = fill
    return erased
