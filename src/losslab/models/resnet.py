"""Residual networks for CIFAR: 6n + 2 layers, three stages of 16, 32 and 64 filters."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F


class Pad(nn.Module):
    """Shortcut A: every second pixel, and zeros for the channels that are new."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        """Half the height and width, twice the channels, no parameters."""
        return F.pad(
            images[:, :, ::2, ::2], (0, 0, 0, 0, self.channels // 2, self.channels // 2)
        )


class Block(nn.Module):
    """Two 3x3 convolutions and the shortcut around them."""

    def __init__(self, channels: int, filters: int, shortcut: str) -> None:
        super().__init__()
        # A stage begins where the filters double; convolutions have no bias, which batch norm would subtract.
        stride = 1 if channels == filters else 2
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2 and shortcut == "A":
            self.shortcut = Pad(channels)
        elif stride == 2:
            project = nn.Conv2d(channels, filters, 1, stride, bias=False)
            self.shortcut = nn.Sequential(OrderedDict(conv=project, bn=nn.BatchNorm2d(filters)))

    def forward(self, images: Tensor) -> Tensor:
        """Half the height and width where the block widens, else the same shape."""
        hidden = F.relu(self.bn1(self.conv1(images)))
        return F.relu(self.bn2(self.conv2(hidden)) + self.shortcut(images))


def resnet(
    *,
    depth: int = 44,
    input_shape: Sequence[int] = (3, 32, 32),
    classes: int = 10,
    shortcut: Literal["A", "B"] = "B",
    zero_init_last: bool = False,
) -> nn.Sequential:
    """The CIFAR network of He et al. section 4.2; weights are He-normal.

    Args:
        depth: 6n + 2 weight layers: 20, 32, 44, 56, 110.
        input_shape: (channel, height, width).
        classes: number of outputs.
        shortcut: where the size changes: A subsamples and pads with zeros, as the paper does on CIFAR; B projects by a
            1x1 convolution with batch norm.
        zero_init_last: start each block as the identity, with 0 for the scale of its last batch norm.
    Returns:
        A module from (batch, *input_shape) to (batch, classes).
    Raises:
        ValueError: when depth is not 6n + 2 or the shortcut is neither A nor B.
    Example:
        >>> [sum(p.numel() for p in resnet(depth=44, shortcut=s).parameters()) for s in "AB"]
        [658586, 661338]

    Reference:
        He et al. 2016, arXiv:1512.03385, section 4.2; zero_init_last: Goyal et al. 2017, arXiv:1706.02677, section 5.1.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"`depth` (={depth}) must be 6n + 2, such as 20, 32, 44, 56 or 110")
    if shortcut not in ("A", "B"):
        raise ValueError(
            f"`shortcut` (={shortcut!r}) must be 'A' (zero padding) or 'B' (1x1 projection)"
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False),
        bn1=nn.BatchNorm2d(16),
        relu1=nn.ReLU(),
    )
    channels = 16
    for stage, filters in enumerate((16, 32, 64), start=1):
        blocks = []
        for _ in range((depth - 2) // 6):
            blocks.append(Block(channels, filters, shortcut))
            channels = filters
        layers[f"stage{stage}"] = nn.Sequential(*blocks)
    layers.update(
        average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(64, classes)
    )
    network = nn.Sequential(layers)
    _initialise(network, zero_init_last)
    return network


def _initialise(network: nn.Module, zero_init_last: bool) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            # He et al. 2015, arXiv:1502.01852, allow fan in or fan out; torchvision's ResNets have fan out.
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, Block) and zero_init_last:
            nn.init.zeros_(module.bn2.weight)
