"""Networks whose batch norm sees one or many values a channel of a sample, or none at all."""

from typing import Any

from torch import nn
from torch.nn import functional as F


def vector_norm(*, momentum: float = 0.1) -> nn.Module:
    """One value a channel for each image."""
    norm = nn.BatchNorm1d(8, momentum=momentum)
    return nn.Sequential(nn.Flatten(), nn.Linear(108, 8), norm, nn.Linear(8, 3))


def map_norm() -> nn.Module:
    """Sixteen values a channel for each image."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3))


def pooled_norm() -> nn.Module:
    """A map of one pixel."""
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(pool, nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 3))


def no_norm() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(108, 3))


class Frozen(nn.Module):
    """Batch norm that stays in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = vector_norm()

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.inner[2].eval()
        return self

    def forward(self, images: Any) -> Any:
        return self.inner(images)


class Functional(nn.Module):
    """Batch norm that no module tells of."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(108, 3)

    def forward(self, images: Any) -> Any:
        return F.batch_norm(self.linear(images.flatten(1)), None, None, training=True)
