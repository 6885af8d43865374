"""MiniGoogLeNet: inception and downsampling modules for 32x32 images."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from torch import nn

from losslab.models.inception import Concat


def minigooglenet(
    *,
    input_shape: Sequence[int] = (1, 32, 32),
    classes: int = 10,
    dropout: float = 0.5,
    init: Literal["glorot", "he"] = "glorot",
) -> nn.Sequential:
    """MiniGoogLeNet with every convolution followed by batch norm and ReLU.

    28x28 images are padded to 32x32. Downsampling is valid (not padded), so that the sides go 32, 15, 7.

    Args:
        input_shape: (channel, height, width); sides of at least 32, or 28x28.
        classes: number of outputs.
        dropout: probability before the last layer.
        init: initial weights of the convolutions: ``glorot`` (uniform, as the reference article's Keras does by
            default) or ``he`` (normal, fan in). Biases start at 0.
    Returns:
        A module from (batch, *input_shape) to (batch, classes).
    Raises:
        ValueError: when the images are too small or the initialisation is unknown.
    Example:
        >>> sum(p.numel() for p in minigooglenet().parameters())
        1651098

    Reference:
        Zhang et al. 2017, arXiv:1611.03530, figure 3 (the "small Inception").
    """
    channels, height, width = input_shape
    padding = 2 if (height, width) == (28, 28) else 0
    if min(height, width) + 2 * padding < 32:
        raise ValueError(
            f"`input_shape` (={tuple(input_shape)}) must be 28x28 or at least 32x32 pixels"
        )
    if init not in ("glorot", "he"):
        raise ValueError(f"`init` (={init!r}) must be 'glorot' or 'he'")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if padding:
        layers["pad"] = nn.ZeroPad2d(padding)
    layers.update(
        conv1=_conv(channels, 96, 3, padding=1),
        inception1a=_inception(96, 32, 32),
        inception1b=_inception(64, 32, 48),
        down1=_down(80, 80),
        inception2a=_inception(160, 112, 48),
        inception2b=_inception(160, 96, 64),
        inception2c=_inception(160, 80, 80),
        inception2d=_inception(160, 48, 96),
        down2=_down(144, 96),
        inception3a=_inception(240, 176, 160),
        inception3b=_inception(336, 176, 160),
        average=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        drop=nn.Dropout(dropout),
        fc=nn.Linear(336, classes),
    )
    network = nn.Sequential(layers)
    _initialise(network, init)
    return network


def _conv(
    channels: int, filters: int, kernel: int, *, stride: int = 1, padding: int = 0
) -> nn.Sequential:
    # With a bias, which batch norm makes idle: the reference's Keras has one, and parameter counts compare.
    conv = nn.Conv2d(channels, filters, kernel, stride, padding)
    return nn.Sequential(
        OrderedDict(conv=conv, bn=nn.BatchNorm2d(filters), relu=nn.ReLU(inplace=True))
    )


def _inception(channels: int, ones: int, threes: int) -> Concat:
    return Concat(
        {"1x1": _conv(channels, ones, 1), "3x3": _conv(channels, threes, 3, padding=1)}
    )


def _down(channels: int, filters: int) -> Concat:
    return Concat(
        {"3x3": _conv(channels, filters, 3, stride=2), "pool": nn.MaxPool2d(3, stride=2)}
    )


def _initialise(network: nn.Module, init: str) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            if init == "he":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
