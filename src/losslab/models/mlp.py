"""Fully connected network; 3072-1000-1000-10 with ReLU for images of CIFAR-10."""

import itertools
from collections.abc import Sequence
from math import prod

from torch import nn


def mlp(
    *,
    input_shape: Sequence[int] = (3, 32, 32),
    classes: int = 10,
    hidden: Sequence[int] = (1000, 1000),
    input_dropout: float = 0.0,
    hidden_dropout: float = 0.0,
) -> nn.Sequential:
    """A multilayer perceptron with ReLU and dropout, logits out.

    Args:
        input_shape: shape of one sample; it is flattened.
        classes: number of outputs.
        hidden: units of each hidden layer.
        input_dropout: probability that an input is zeroed in training; 0 leaves the layer out.
        hidden_dropout: the same for the units of each hidden layer.
    Returns:
        A module from (batch, *input_shape) to (batch, classes).
    Example:
        >>> sum(p.numel() for p in mlp().parameters())
        4084010

    Reference:
        Dropout: Srivastava et al. 2014, JMLR 15; torch's is inverted (scales by 1/(1 - p) in training).
    """
    if isinstance(hidden, int) or any(units < 1 for units in hidden):
        raise ValueError(
            f"`hidden` (={hidden}) must be a list of numbers of units, such as [64, 32]"
        )
    sizes = [prod(input_shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    if input_dropout:
        layers.append(nn.Dropout(input_dropout))
    for units_in, units_out in itertools.pairwise(sizes):
        layers += [nn.Linear(units_in, units_out), nn.ReLU()]
        if hidden_dropout:
            layers.append(nn.Dropout(hidden_dropout))
    return nn.Sequential(*layers, nn.Linear(sizes[-1], classes))
