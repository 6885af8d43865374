"""Inception: convolutions of several sizes side by side on the same input, concatenated; and GoogLeNet."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Concat(nn.ModuleDict):
    """Branches on one input, their outputs concatenated along the channels."""

    def forward(self, images: Tensor) -> Tensor:
        """Concatenate the branches' channels, in the order of the branches."""
        return torch.cat([branch(images) for branch in self.values()], dim=1)


def inception_naive(*, input_shape: Sequence[int] = (256, 32, 32)) -> Concat:
    """The naive module: 1x1, 3x3 and 5x5 convolutions and max pooling, all on the full input.

    Args:
        input_shape: (channel, height, width).
    Returns:
        A module from (batch, channel, height, width) to (batch, 416 + channel, height, width).
    Example:
        >>> sum(p.numel() for p in inception_naive().parameters() if p.dim() > 1)
        1089536

    Reference:
        Szegedy et al. 2015, "Going deeper with convolutions", arXiv:1409.4842, figure 2a; other filters.
    """
    channels = input_shape[0]
    return Concat(
        {
            "1x1": _convolutions(channels, (1, 128)),
            "3x3": _convolutions(channels, (3, 192)),
            "5x5": _convolutions(channels, (5, 96)),
            "pool": nn.MaxPool2d(3, stride=1, padding=1),
        }
    )


def inception_reduced(*, input_shape: Sequence[int] = (256, 32, 32)) -> Concat:
    """The module with dimension reduction: 1x1 convolutions before 3x3 and 5x5 and after the pooling.

    Args:
        input_shape: (channel, height, width).
    Returns:
        A module from (batch, channel, height, width) to (batch, 480, height, width).
    Example:
        >>> sum(p.numel() for p in inception_reduced().parameters() if p.dim() > 1)
        388096

    Reference:
        Szegedy et al. 2015, arXiv:1409.4842, figure 2b; other filters.
    """
    return inception(input_shape[0], ones=128, threes=(128, 192), fives=(32, 96), pooled=64)


def inception(
    channels: int, *, ones: int, threes: tuple[int, int], fives: tuple[int, int], pooled: int
) -> Concat:
    """Figure 2b with any filters; ``threes`` and ``fives`` are (reduction, convolution)."""
    pool = nn.MaxPool2d(3, stride=1, padding=1)
    return Concat(
        {
            "1x1": _convolutions(channels, (1, ones)),
            "3x3": _convolutions(channels, (1, threes[0]), (3, threes[1])),
            "5x5": _convolutions(channels, (1, fives[0]), (5, fives[1])),
            "pool": nn.Sequential(
                OrderedDict(
                    pool=pool, **dict(_convolutions(channels, (1, pooled)).named_children())
                )
            ),
        }
    )


def _convolutions(channels: int, *layers: tuple[int, int]) -> nn.Sequential:
    """Convolutions of (kernel, filters) that keep the size, each with ReLU."""
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for kernel, filters in layers:
        role = "reduce" if len(layers) > 1 and kernel == 1 else "conv"
        modules[role] = nn.Conv2d(channels, filters, kernel, padding=kernel // 2)
        modules[f"{role}_relu"] = nn.ReLU(inplace=True)
        channels = filters
    return nn.Sequential(modules)


_GOOGLENET = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}
"""Table 1: 1x1; 3x3 reduction and convolution; 5x5 reduction and convolution; projection after the pooling."""


def googlenet(
    *, input_shape: Sequence[int] = (3, 224, 224), classes: int = 1000
) -> nn.Sequential:
    """GoogLeNet as in the paper's table 1.

    Left out: the two auxiliary classifiers, which only help training, and local response normalisation.

    Args:
        input_shape: (channel, height, width); sides of at least 32.
        classes: number of outputs.
    Returns:
        A module from (batch, *input_shape) to (batch, classes).
    Example:
        >>> sum(p.numel() for p in googlenet().parameters())
        6998552

    Reference:
        Szegedy et al. 2015, arXiv:1409.4842, table 1.
    """
    if min(input_shape[1:]) < 32:
        raise ValueError(f"`input_shape` (={tuple(input_shape)}) must be at least 32x32 pixels")
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(input_shape[0], 64, 7, stride=2, padding=3),
        relu1=nn.ReLU(inplace=True),
        pool1=_halved(),
        conv2_reduce=nn.Conv2d(64, 64, 1),
        relu2_reduce=nn.ReLU(inplace=True),
        conv2=nn.Conv2d(64, 192, 3, padding=1),
        relu2=nn.ReLU(inplace=True),
        pool2=_halved(),
    )
    channels = 192
    for name, (ones, threes, fives, pooled) in _GOOGLENET.items():
        layers[f"inception{name}"] = inception(
            channels, ones=ones, threes=threes, fives=fives, pooled=pooled
        )
        channels = ones + threes[1] + fives[1] + pooled
        # Table 1 pools behind the last module of stages 3 and 4, and averages behind that of stage 5.
        if name in ("3b", "4e"):
            layers[f"pool{name[0]}"] = _halved()
    layers.update(average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), drop=nn.Dropout(0.4))
    layers["fc"] = nn.Linear(channels, classes)
    return nn.Sequential(layers)


def _halved() -> nn.MaxPool2d:
    # Rounded up, as table 1 has it: the sides go 112, 56, 28, 14, 7, and would be 55 and 27 rounded down.
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)
