"""Augmentations an image at a time, written from their definitions; numbers as the batched ones draw them."""

from math import floor

import torch
from torch import Tensor


def pad_crop(image: Tensor, u: list[float], padding: int) -> Tensor:
    channels, height, width = image.shape
    padded = torch.zeros(channels, height + 2 * padding, width + 2 * padding, dtype=image.dtype)
    padded[:, padding : padding + height, padding : padding + width] = image
    top, left = (floor(number * (2 * padding + 1)) for number in u)
    return padded[:, top : top + height, left : left + width]


def flip(image: Tensor, u: list[float]) -> Tensor:
    return image.flip(2) if u[0] < 0.5 else image


def cutout(image: Tensor, u: list[float], size: int, mode: str, fill: float) -> Tensor:
    _, height, width = image.shape
    if mode == "clipped":
        top, left = floor(u[0] * height) - size // 2, floor(u[1] * width) - size // 2
    else:
        top, left = floor(u[0] * (height - size + 1)), floor(u[1] * (width - size + 1))
    erased = image.clone()
    erased[:, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)] = fill
    return erased
