"""A stack of equal convolutions, to see how far a unit sees."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn


def conv_stack(
    *, kernel: int = 3, layers: int = 2, input_shape: Sequence[int] = (1, 32, 32)
) -> nn.Sequential:
    """``layers`` convolutions of ``kernel`` x ``kernel``, stride 1, without padding, that keep the channels.

    Args:
        kernel: side of each kernel.
        layers: how many.
        input_shape: (channel, height, width).
    Returns:
        A module from (batch, channel, height, width) to maps whose sides are ``layers * (kernel - 1)`` smaller.
    Raises:
        ValueError: when the images are too small.
    Example:
        >>> len(conv_stack(kernel=5, layers=3))
        3
    """
    channels, *space = input_shape
    if min(space) <= layers * (kernel - 1):
        raise ValueError(
            f"`input_shape` (={tuple(input_shape)}) must have sides above {layers * (kernel - 1)}"
        )
    convolutions = {
        f"conv{layer}": nn.Conv2d(channels, channels, kernel) for layer in range(1, layers + 1)
    }
    return nn.Sequential(OrderedDict(convolutions))
