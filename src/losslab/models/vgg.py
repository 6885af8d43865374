"""VGG: blocks of 3x3 convolutions, each block followed by 2x2 max pooling."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

_WIDTHS = (64, 128, 256, 512, 512)
_LAYERS_PER_BLOCK = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Columns A, B, D and E of table 1."""


def vgg(
    depth: int,
    *,
    input_shape: Sequence[int] = (3, 224, 224),
    classes: int = 1000,
    dropout: float = 0.5,
) -> nn.Sequential:
    """VGG with ``depth`` weight layers, named as in the paper's table: conv3_2 is block 3, layer 2.

    Args:
        depth: 11, 13, 16 or 19.
        input_shape: (channel, height, width); sides of at least 32.
        classes: number of outputs.
        dropout: probability after each of the two hidden layers.
    Returns:
        A module from (batch, *input_shape) to (batch, classes).
    Raises:
        ValueError: when the images are too small for five poolings.
    Example:
        >>> sum(p.numel() for p in vgg(11).parameters())
        132863336

    Reference:
        Simonyan & Zisserman 2015, "Very deep convolutional networks", arXiv:1409.1556, table 1.
    """
    channels, height, width = input_shape
    if min(height, width) < 32:
        raise ValueError(f"`input_shape` (={tuple(input_shape)}) must be at least 32x32 pixels")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for block, (count, filters) in enumerate(
        zip(_LAYERS_PER_BLOCK[depth], _WIDTHS, strict=True), start=1
    ):
        for layer in range(1, count + 1):
            layers[f"conv{block}_{layer}"] = nn.Conv2d(channels, filters, 3, padding=1)
            layers[f"relu{block}_{layer}"] = nn.ReLU(inplace=True)
            channels = filters
        layers[f"pool{block}"] = nn.MaxPool2d(2)
    layers["flatten"] = nn.Flatten()
    # Five poolings divide a side by 32; the paper numbers the hidden layers behind its five blocks 6 and 7.
    features = 512 * (height // 32) * (width // 32)
    for layer, inputs in ((6, features), (7, 4096)):
        layers[f"fc{layer}"] = nn.Linear(inputs, 4096)
        layers[f"relu{layer}"] = nn.ReLU(inplace=True)
        layers[f"drop{layer}"] = nn.Dropout(dropout)
    layers["fc8"] = nn.Linear(4096, classes)
    return nn.Sequential(layers)


def vgg11(
    *, input_shape: Sequence[int] = (3, 224, 224), classes: int = 1000, dropout: float = 0.5
) -> nn.Sequential:
    """Column A of the paper's table 1."""
    return vgg(11, input_shape=input_shape, classes=classes, dropout=dropout)


def vgg13(
    *, input_shape: Sequence[int] = (3, 224, 224), classes: int = 1000, dropout: float = 0.5
) -> nn.Sequential:
    """Column B of the paper's table 1."""
    return vgg(13, input_shape=input_shape, classes=classes, dropout=dropout)


def vgg16(
    *, input_shape: Sequence[int] = (3, 224, 224), classes: int = 1000, dropout: float = 0.5
) -> nn.Sequential:
    """Column D of the paper's table 1."""
    return vgg(16, input_shape=input_shape, classes=classes, dropout=dropout)


def vgg19(
    *, input_shape: Sequence[int] = (3, 224, 224), classes: int = 1000, dropout: float = 0.5
) -> nn.Sequential:
    """Column E of the paper's table 1."""
    return vgg(19, input_shape=input_shape, classes=classes, dropout=dropout)
