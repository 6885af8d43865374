"""Small networks, data and tasks that tests name by import path, in this process and in workers."""

import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from losslab.data.dataset import Dataset
from losslab.errors import LosslabError
from losslab.process import CACHES


def tiny_data(images: int = 230, side: int = 6, channels: int = 3) -> Dataset:
    """Images whose class is told by which third of them is bright; learnable in a few steps."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, images + 60)
    pixels = random.integers(0, 120, (images + 60, channels, side, side), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:, label * side // 3 : (label + 1) * side // 3] += 100
    return Dataset(
        name="tiny",
        title="Tiny",
        classes=("top", "middle", "bottom"),
        mean=(0.3,) * channels,
        std=(0.2,) * channels,
        train_images=pixels[:images],
        train_labels=labels[:images],
        test_images=pixels[images:],
        test_labels=labels[images:],
        sample=False,
        source="made here",
    )


class NanAfter(nn.Module):
    """A linear network whose output becomes NaN at its k-th training forward pass."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.linear = nn.Linear(108, 3)
        self.left = steps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.left -= self.training
        return self.linear(images.flatten(1)) * (float("nan") if self.left < 0 else 1.0)


def nan_after(*, steps: int = 3) -> nn.Module:
    return NanAfter(steps)


class Spoiled(nn.Module):
    """A linear network whose loss or gradient becomes NaN or infinite at its k-th training step, counted from 0."""

    def __init__(self, kind: str, value: float, step: int) -> None:
        super().__init__()
        self.linear = nn.Linear(108, 3)
        self.kind, self.value, self.left = kind, value, step

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.linear(images.flatten(1))
        self.left -= self.training
        if self.left == -1 and self.kind == "gradient":
            logits.register_hook(lambda gradient: gradient * self.value)
        elif self.left == -1:  # a class whose logit is -inf, where an image is of it, has an infinite loss
            logits = logits - torch.tensor([self.value, 0.0, 0.0])
        return logits


def spoiled(*, kind: str, value: str, step: int) -> nn.Module:
    return Spoiled(kind, float(value), step)


class Hungry(nn.Linear):
    """A linear network that asks for more memory than there is at one moment of its life."""

    def __init__(self, when: str) -> None:
        super().__init__(108, 3)
        self.when, self.step = when, 0
        if when == "building":
            self.ask()

    def ask(self) -> None:
        torch.empty(10**12)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        at_third = self.training and self.step == 3
        if self.when == "faked CUDA" and at_third:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        if (
            (self.when == "training" and at_third)
            or (self.when == "evaluation" and not self.training)
            or (self.when == "more than 32 images" and self.training and len(images) > 32)
        ):
            self.ask()
        self.step += self.training
        return super().forward(images.flatten(1))


def hungry(*, when: str) -> nn.Module:
    return Hungry(when)


def conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(16, 3),
    )


class Doubled(nn.Module):
    """A network in float64, without batch norm or dropout: its batches may be taken apart without a trace."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(96, 3)).double()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images.double())


def doubled() -> nn.Module:
    return Doubled()


class Slow(nn.Module):
    """A layer that passes its input on after a moment."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        time.sleep(0.005)
        return images


def slow_net(*, inputs: int = 108, classes: int = 3, hidden_dropout: float = 0.0) -> nn.Module:
    layers = (nn.Linear(inputs, 8), nn.Dropout(hidden_dropout), nn.Linear(8, classes))
    return nn.Sequential(Slow(), nn.Flatten(), *layers)


def counting(count: int) -> Iterator[int]:
    yield from range(count)


def failing() -> Iterator[int]:
    yield 1
    raise LosslabError("as intended")


def broken() -> Iterator[int]:
    yield 1
    raise ZeroDivisionError("by mistake")


def killed() -> Iterator[int]:
    yield 1
    os.kill(os.getpid(), signal.SIGKILL)


def waiting() -> Iterator[int]:
    yield os.getpid()
    time.sleep(600)


def caches() -> Iterator[list[str | None]]:
    yield [os.environ.get(name) for name in CACHES]


def threads() -> Iterator[int]:
    yield torch.get_num_threads()


def wants_one_channel() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(64, 3))


def cannot_be_built() -> nn.Module:
    """A factory that fails."""
    raise ZeroDivisionError("as intended")
