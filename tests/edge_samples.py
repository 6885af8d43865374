"""Networks and data at the edge of what can be trained, named by import path."""

from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from losslab.data import TaskData


def lazy() -> nn.Module:
    """Layers that take their shapes from a first batch."""
    return nn.Sequential(
        nn.Flatten(), nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(3)
    )


def sized() -> nn.Module:
    """The same, its shapes given."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(108, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
    )


def lazy_embedding() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(2))


def no_parameters() -> nn.Module:
    return nn.Flatten()


def frozen() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(108, 3)).requires_grad_(False)


class Late(nn.Module):
    """Fails at its third forward pass, in two lines."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.passes = nn.Linear(108, 3), 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        if self.passes == 3:
            raise RuntimeError("an error\nof two lines")
        return self.linear(images.flatten(1))


class Piping(nn.Module):
    """Sends its activations to a process that has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(108, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            raise BrokenPipeError(32, "Broken pipe")
        return self.linear(images.flatten(1))


def broken_model() -> nn.Module:
    raise ZeroDivisionError("in the factory")


class Torn(Dataset[Any]):
    """A dataset of which no more than sixty samples can be read."""

    def __init__(self) -> None:
        self.reads = 0

    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        self.reads += 1
        if self.reads > 60:
            raise KeyError(f"no sample {index}")
        return torch.full((4,), float(index)), index % 2


def pairs(inputs: int, targets: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(inputs * 4.0).reshape(inputs, 4), torch.arange(targets) % 2


def torn() -> TaskData:
    return TaskData(train=Torn())


def empty() -> TaskData:
    return TaskData(train=pairs(0, 0))


def empty_test() -> TaskData:
    return TaskData(train=pairs(40, 40), test=pairs(0, 0))


def uneven() -> TaskData:
    return TaskData(train=pairs(40, 30))


def of_nans() -> TaskData:
    inputs, targets = pairs(40, 40)
    return TaskData(train=(inputs * float("nan"), targets))


def mapping() -> TaskData:
    inputs, targets = pairs(40, 40)
    return TaskData(train={"x": inputs, "labels": targets})
