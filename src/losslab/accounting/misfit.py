"""What to say where a forward raises: the input, the layer, and what that takes."""

from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from losslab import text
from losslab.accounting.call import tensors_in


class Frame(NamedTuple):
    """A module that runs.

    Attributes:
        path: in the model; empty for the model itself.
        kind: its class.
        shapes: of its arguments, of one sample, as text.
        visit: number of its call, counted over all calls of modules.
    """

    path: str = ""
    kind: str = ""
    shapes: str = ""
    visit: int = 0

    def __str__(self) -> str:
        kind = f" ({self.kind})" if self.kind else ""
        where = f"layer '{self.path}'{kind}" if self.path else f"the model{kind}"
        return f"{where} got {self.shapes}" if self.shapes else where


def shapes_in(*arguments: Any) -> str:
    """The shapes of one sample of all tensors in a nested structure: ``3x28x28, 5``."""
    return ", ".join(map(_shape_of_sample, tensors_in(*arguments)))


def _shape_of_sample(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape[1:])) or "a scalar"


def misfit(model: nn.Module, given: str, frame: Frame, says: str) -> str:
    """One line: which input does not fit which model, where, and what the error says."""
    if not given:
        return f"{frame}: {says}"
    takes = _takes(model.get_submodule(frame.path), frame.shapes, given)
    where = f"{frame}: " if frame.path else ""
    return f"`input` (={given}) does not fit `model` ({type(model).__name__}): {where}{says.rstrip('.')}{takes}"


def _takes(layer: nn.Module, shapes: str, given: str) -> str:
    """The channels or numbers that a layer takes where it got others, and the input that would fit."""
    sizes = shapes.split("x")
    # A class with a forward of its own may change what it got before.
    if layer.forward.__module__ not in (nn.modules.linear.__name__, nn.modules.conv.__name__):
        return ""
    if isinstance(layer, _ConvNd) and len(sizes) == 1 + len(layer.kernel_size):
        axis, wanted, noun = 0, layer.in_channels, "channel"
    elif isinstance(layer, nn.Linear):
        axis, wanted, noun = -1, layer.in_features, "number"
    else:
        return ""
    if sizes[axis] == str(wanted) or "," in shapes:
        return ""
    sizes[axis] = str(wanted)
    # Behind other layers nobody knows which input would give that.
    fitting = f": give {'x'.join(sizes)}" if shapes == given else ""
    return f"; it takes {text.count(wanted, noun)}{fitting}"
