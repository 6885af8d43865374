"""A receptive field by measurement: where the gradient of one output unit with respect to the input is not zero."""

import torch
from torch import nn

from losslab.accounting.count import Countable, resolve
from losslab.accounting.inputs import InputShape
from losslab.errors import InvalidInput

MAX_POOLS = (
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
)


def gradient_support(
    model: Countable, input_shape: InputShape | None = None
) -> dict[str, list[int] | int]:
    """The region of the input that the middle unit of the output depends on, with every weight set to one.

    With weights of one sign no two paths through the network cancel, so that what is not reached is not seen. The
    model is changed; give a name or a factory of convolutions, averages and ReLUs.

    Returns:
        ``sides`` of the smallest box that holds every input position with a gradient, along each axis after the
        channel, and ``positions``, how many have one; their equality with the box's area shows that it has no holes.
    Raises:
        InvalidInput: with max pooling, whose gradient reaches one unit of each window, or where no gradient arrives.
    Example:
        >>> gradient_support("conv-stack(kernel=5, layers=3)")
        {'sides': [13, 13], 'positions': 169}
    """
    network, inputs, _ = resolve(model, input_shape, batch_size=1)
    if any(isinstance(module, MAX_POOLS) for module in network.modules()):
        raise InvalidInput(
            "gradient support does not show the windows of max pooling, whose gradient reaches one unit of each; the "
            "fields that `count` derives do"
        )
    network = network.to_empty(device="cpu").eval()
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    image = torch.ones(1, *inputs.each[0].shape, requires_grad=True)
    output = network(image)
    output[(0, 0, *(side // 2 for side in output.shape[2:]))].backward()
    assert image.grad is not None
    reached = image.grad[0].ne(0).any(0).nonzero()
    if not len(reached):
        raise InvalidInput("no gradient arrives at the input, as where activations saturate")
    return {
        "sides": (reached.amax(0) - reached.amin(0) + 1).tolist(),
        "positions": len(reached),
    }
