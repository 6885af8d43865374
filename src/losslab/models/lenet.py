"""LeNet-5 in its present-day form: ReLU, max pooling, plain connections."""

from collections.abc import Sequence

from torch import nn


def lenet5(*, input_shape: Sequence[int] = (1, 28, 28), classes: int = 10) -> nn.Sequential:
    """LeNet-5: two 5x5 convolutions with pooling, then 120-84-classes.

    28x28 images are padded to the paper's 32x32. Departures from the paper, as is usual today: ReLU for the scaled
    tanh, max pooling for trainable averages, full connection from S2 to C3, softmax for the radial-basis output.

    Args:
        input_shape: (channel, height, width); height and width at least 16.
        classes: number of outputs.
    Returns:
        A module from (batch, *input_shape) to (batch, classes).
    Raises:
        ValueError: when the images are too small for two rounds of convolution and pooling.
    Example:
        >>> sum(p.numel() for p in lenet5().parameters())
        61706

    Reference:
        LeCun et al. 1998, "Gradient-based learning applied to document recognition", figure 2.
    """
    channels, height, width = input_shape
    padding = 2 if (height, width) == (28, 28) else 0
    # A 5x5 convolution takes 4 pixels from a side, a pooling half of it.
    sides = [((side + 2 * padding - 4) // 2 - 4) // 2 for side in (height, width)]
    if min(sides) < 1:
        raise ValueError(f"`input_shape` (={tuple(input_shape)}) must be at least 16x16 pixels")
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * sides[0] * sides[1], 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )
