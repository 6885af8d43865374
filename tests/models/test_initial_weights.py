"""Initial weights that a model is asked for."""

from math import sqrt

import pytest
import torch
from torch import nn

from losslab.models.minigooglenet import minigooglenet
from losslab.models.resnet import Block, resnet


def test_a_block_whose_last_scale_is_zero_begins_as_its_shortcut() -> None:
    network = resnet(depth=8, zero_init_last=True).eval()
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    assert len(blocks) == 3
    images = torch.randn(2, 16, 8, 8)
    for block in blocks:
        expected = torch.relu(block.shortcut(images))
        images = block(images)
        torch.testing.assert_close(images, expected)


@pytest.mark.parametrize("init", ["glorot", "he"])
def test_minigooglenets_convolutions_begin_as_asked(init: str) -> None:
    torch.manual_seed(0)
    network = minigooglenet(init=init)  # type: ignore[arg-type]
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for convolution in convolutions:
        area = convolution.kernel_size[0] * convolution.kernel_size[1]
        inputs, outputs = convolution.in_channels * area, convolution.out_channels * area
        values = convolution.weight.detach()
        if init == "glorot":
            bound = sqrt(6 / (inputs + outputs))
            assert 0.97 * bound < values.abs().max() <= bound
        else:
            assert values.std() == pytest.approx(sqrt(2 / inputs), rel=0.1)
            assert values.abs().max() > 2.5 * sqrt(2 / inputs)
