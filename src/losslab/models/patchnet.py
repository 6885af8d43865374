"""A small network that learns CIFAR-10 in minutes: its first filters are read from the images, and stay."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

PATCH = 2
"""Side of the patches that the first convolution looks at."""
EPS = 5e-4
"""Added to the variance of each direction of a patch, so that a direction without any is not blown up."""
# Both are the reference's: small logits at first, and biases that learn fast enough for a run of a few hundred steps.
OUTPUT_SCALE = 1 / 9
BIAS_LR_SCALE = 64.0
BIAS_WEIGHT_DECAY = 1.33e-3 / BIAS_LR_SCALE
"""At 64 times the rate, biases fall by as much a step as weights with the reference's decay, 1.33e-3 on a mean loss."""


class PatchNet(nn.Module):
    """Patch filters, three blocks of two convolutions, one linear layer without bias.

    The first convolution turns each 2 x 2 patch into its coordinates along the principal directions of training
    patches, each divided by its deviation, and into the same with the sign changed; its weights are not trained. A
    block is a convolution, max-pool 2, batch norm, GELU, a convolution, batch norm, GELU. Convolutions of blocks have
    no bias, batch norms a trained bias and a fixed scale of 1. The first filters of each convolution begin as the
    identity.

    Args:
        input_shape: (channels, height, width) of an image.
        classes: number of outputs.
        widths: channels of the blocks.
    Returns:
        A module from (batch, channels, height, width) to logits (batch, classes).
    Example:
        >>> sum(p.numel() for p in PatchNet().parameters())
        1972792

    Reference:
        Jordan 2024, arXiv:2404.00498, sections 3.1 to 3.3; here without its lookahead, and the bias of the first
        convolution is trained in all epochs. A run says how images are shifted and mirrored.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int] = (3, 32, 32),
        classes: int = 10,
        widths: Sequence[int] = (64, 256, 256),
    ) -> None:
        super().__init__()
        directions = input_shape[0] * PATCH**2
        self.patches = nn.Conv2d(input_shape[0], 2 * directions, PATCH)
        self.patches.weight.requires_grad_(False)
        self.patches.bias = nn.Parameter(torch.zeros(2 * directions))
        channels = [2 * directions, *widths]
        blocks = [_block(inputs, outputs) for inputs, outputs in pairwise(channels)]
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.head = nn.Linear(widths[-1], classes, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of normalised images."""
        features = self.blocks(nn.functional.gelu(self.patches(images)))
        logits: torch.Tensor = self.head(self.pool(features).flatten(1))
        return logits * OUTPUT_SCALE

    def initialize_from(self, images: torch.Tensor) -> None:
        """Set the first convolution's weights from normalised training images (n, channels, height, width)."""
        channels = images.shape[1]
        patches = images.unfold(2, PATCH, 1).unfold(3, PATCH, 1)
        patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels * PATCH**2).double()
        patches = patches - patches.mean(0)
        covariance = patches.T @ patches / len(patches)
        variances, directions = torch.linalg.eigh(covariance)
        # Signs of eigenvectors are free: the entry of largest magnitude becomes positive, the same on every machine.
        largest = directions.abs().argmax(0, keepdim=True)
        directions = directions * directions.gather(0, largest).sign()
        filters = (directions / (variances + EPS).sqrt()).T.reshape(-1, channels, PATCH, PATCH)
        self.patches.weight.data.copy_(torch.cat([filters, -filters]))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        _convolution(inputs, outputs),
        nn.MaxPool2d(2),
        _norm(outputs),
        nn.GELU(),
        _convolution(outputs, outputs),
        _norm(outputs),
        nn.GELU(),
    )


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, outputs, 3, padding="same", bias=False)
    # The identity on the channels that come in (section 3.3); the other filters keep torch's random weights.
    nn.init.dirac_(convolution.weight.data[:inputs])
    return convolution


def _norm(channels: int) -> nn.BatchNorm2d:
    # The reference's; at torch's momentum of 0.1 the averages would still hold the start when so short a run ends.
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Groups for a run's `parameter_groups`: biases of batch norms learn 64 times as fast."""
    # By identity, since comparing tensors compares their numbers.
    biases = {
        id(module.bias) for module in model.modules() if isinstance(module, nn.BatchNorm2d)
    }
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if id(parameter) not in biases]},
        {
            "params": [parameter for parameter in trained if id(parameter) in biases],
            "lr_scale": BIAS_LR_SCALE,
            "weight_decay": BIAS_WEIGHT_DECAY,
        },
    ]
