"""AlexNet, three ways that people mix up: the paper's two-GPU network, the same ungrouped, and torchvision's."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn


def alexnet(
    *, input_shape: Sequence[int] = (3, 227, 227), classes: int = 1000, groups: int = 2
) -> nn.Sequential:
    """The paper's network; conv2, conv4 and conv5 see half of the maps, because two GPUs hold them.

    The paper says 224x224, with which its own layer sizes do not come out; 227x227 is the effective input. Local
    response normalisation, which has no parameters, is left out; arXiv:1409.1556 found that it does not help.

    Args:
        input_shape: (channel, height, width); sides of at least 67.
        classes: number of outputs.
        groups: 2 as in the paper; 1 lets every filter see all maps.
    Returns:
        A module from (batch, *input_shape) to (batch, classes).
    Raises:
        ValueError: when the images are too small.
    Example:
        >>> sum(p.numel() for p in alexnet().parameters())
        60965224

    Reference:
        Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional neural networks", 3.5.
    """
    channels, *space = input_shape
    sides = [_side(side, padding=0) for side in space]
    if min(sides) < 1:
        raise ValueError(f"`input_shape` (={tuple(input_shape)}) must be at least 67x67 pixels")
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(channels, 96, 11, stride=4),
        "relu1": nn.ReLU(inplace=True),
        "pool1": nn.MaxPool2d(3, stride=2),
        "conv2": nn.Conv2d(96, 256, 5, padding=2, groups=groups),
        "relu2": nn.ReLU(inplace=True),
        "pool2": nn.MaxPool2d(3, stride=2),
        "conv3": nn.Conv2d(256, 384, 3, padding=1),
        "relu3": nn.ReLU(inplace=True),
        "conv4": nn.Conv2d(384, 384, 3, padding=1, groups=groups),
        "relu4": nn.ReLU(inplace=True),
        "conv5": nn.Conv2d(384, 256, 3, padding=1, groups=groups),
        "relu5": nn.ReLU(inplace=True),
        "pool5": nn.MaxPool2d(3, stride=2),
    }
    return nn.Sequential(OrderedDict(layers | _classifier(256 * sides[0] * sides[1], classes)))


def alexnet_ungrouped(
    *, input_shape: Sequence[int] = (3, 227, 227), classes: int = 1000
) -> nn.Sequential:
    """The paper's layer sizes on one device: every filter sees all maps of the layer before.

    Example:
        >>> sum(p.numel() for p in alexnet_ungrouped().parameters())
        62378344
    """
    return alexnet(input_shape=input_shape, classes=classes, groups=1)


def alexnet_torchvision(
    *, input_shape: Sequence[int] = (3, 224, 224), classes: int = 1000
) -> nn.Sequential:
    """The narrower 64-192-384-256-256 network that torchvision calls AlexNet.

    Args:
        input_shape: (channel, height, width); sides of at least 63. Another size than 224 is averaged to 6x6 maps.
        classes: number of outputs.
    Example:
        >>> sum(p.numel() for p in alexnet_torchvision().parameters())
        61100840

    Reference:
        Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997.
    """
    channels, *space = input_shape
    if min(_side(side, padding=2) for side in space) < 1:
        raise ValueError(f"`input_shape` (={tuple(input_shape)}) must be at least 63x63 pixels")
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(channels, 64, 11, stride=4, padding=2),
        "relu1": nn.ReLU(inplace=True),
        "pool1": nn.MaxPool2d(3, stride=2),
        "conv2": nn.Conv2d(64, 192, 5, padding=2),
        "relu2": nn.ReLU(inplace=True),
        "pool2": nn.MaxPool2d(3, stride=2),
        "conv3": nn.Conv2d(192, 384, 3, padding=1),
        "relu3": nn.ReLU(inplace=True),
        "conv4": nn.Conv2d(384, 256, 3, padding=1),
        "relu4": nn.ReLU(inplace=True),
        "conv5": nn.Conv2d(256, 256, 3, padding=1),
        "relu5": nn.ReLU(inplace=True),
        "pool5": nn.MaxPool2d(3, stride=2),
    }
    # At 224x224 the maps are 6x6 as they come, and a layer that does nothing would stand in every table.
    if tuple(space) != (224, 224):
        layers["average"] = nn.AdaptiveAvgPool2d(6)
    return nn.Sequential(OrderedDict(layers | _classifier(256 * 6 * 6, classes)))


def _side(side: int, padding: int) -> int:
    """Height or width after the last pooling."""
    # conv1 has kernel 11 and stride 4, a pooling kernel 3 and stride 2; the other convolutions keep the sides.
    side = (side + 2 * padding - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side


def _classifier(features: int, classes: int) -> dict[str, nn.Module]:
    return {
        "flatten": nn.Flatten(),
        "drop6": nn.Dropout(0.5),
        "fc6": nn.Linear(features, 4096),
        "relu6": nn.ReLU(inplace=True),
        "drop7": nn.Dropout(0.5),
        "fc7": nn.Linear(4096, 4096),
        "relu7": nn.ReLU(inplace=True),
        "fc8": nn.Linear(4096, classes),
    }
