"""Networks by name; each file holds one family and reads beside its paper's table."""

import functools
import inspect
import re
from typing import TYPE_CHECKING, Any

from losslab.choice import Choice, check_options, import_attribute, is_factory
from losslab.errors import InvalidInput, unknown_name

if TYPE_CHECKING:
    from torch import nn

MODELS: dict[str, str] = {
    "mlp": "losslab.models.mlp:mlp",
    "lenet5": "losslab.models.lenet:lenet5",
    "alexnet": "losslab.models.alexnet:alexnet",
    "alexnet-torchvision": "losslab.models.alexnet:alexnet_torchvision",
    "alexnet-ungrouped": "losslab.models.alexnet:alexnet_ungrouped",
    "conv-stack": "losslab.models.stack:conv_stack",
    "googlenet": "losslab.models.inception:googlenet",
    "inception-naive": "losslab.models.inception:inception_naive",
    "inception-reduced": "losslab.models.inception:inception_reduced",
    "minigooglenet": "losslab.models.minigooglenet:minigooglenet",
    "patchnet": "losslab.models.patchnet:PatchNet",
    "resnet-20": "losslab.models.resnet:resnet",
    "resnet-32": "losslab.models.resnet:resnet",
    "resnet-44": "losslab.models.resnet:resnet",
    "resnet-56": "losslab.models.resnet:resnet",
    "resnet-110": "losslab.models.resnet:resnet",
    "vgg11": "losslab.models.vgg:vgg11",
    "vgg13": "losslab.models.vgg:vgg13",
    "vgg16": "losslab.models.vgg:vgg16",
    "vgg19": "losslab.models.vgg:vgg19",
}
"""Name -> ``module:factory``. A factory takes keywords only; `input_shape` and `classes` where they can vary.

A ResNet's number is its depth; any other of 6n + 2 works, too.
"""

_RESNET = re.compile(r"resnet-(\d+)")
_PACKAGES = ("torchvision/", "timm/")


def is_model(name: str) -> bool:
    """Whether a name is built in or points outside losslab: ``package.module:factory``, ``torchvision/`` or ``timm/``.

    Only the form is judged; nothing is imported.
    """
    return (
        name in MODELS
        or bool(_RESNET.fullmatch(name))
        or is_factory(name)
        or name.startswith(_PACKAGES)
    )


def unknown_model(name: str) -> str:
    """One line for a name that is no model: the nearest, all choices, and how to name another package's network.

    Example:
        >>> unknown_model("resnet50").partition(" (choices")[0]
        "unknown model 'resnet50'; did you mean 'resnet-56'?"
        >>> unknown_model("resnet50").partition("); ")[2]
        'or torchvision/resnet50, timm/resnet50 where these packages are installed, or package.module:factory'
    """
    if name.endswith(".py"):
        return f"unknown model '{name}'; name what is in the file: {name.removesuffix('.py')}:Network, from its folder"
    own = f"torchvision/{name}, timm/{name} where these packages are installed, or package.module:factory"
    return f"{unknown_name('model', name, MODELS)}; or {own}"


def load_factory(name: str) -> Any:
    """Import the callable behind a model name.

    Raises:
        InvalidInput: when the name is unknown, or its module or attribute cannot be imported.
    """
    if name.startswith("torchvision/"):
        path = f"torchvision.models:{name.partition('/')[2]}"
    elif name.startswith("timm/"):
        path = "timm:create_model"
    elif ":" in name:
        path = name
    elif resnet := _RESNET.fullmatch(name):
        return functools.partial(
            load_factory("losslab.models.resnet:resnet"), depth=int(resnet[1])
        )
    elif name in MODELS:
        path = MODELS[name]
    else:
        raise InvalidInput(unknown_model(name))
    return import_attribute(f"model '{name}'", path)


def build_model(
    choice: Choice, *, input_shape: tuple[int, ...] | None = None, classes: int | None = None
) -> "nn.Module":
    """Build the network that a choice names, with fresh weights from torch's current random state.

    Args:
        choice: the model's name and options.
        input_shape: (channel, height, width) of one image; given only to factories that take it, and not by an option.
            timm's networks are given its channels as `in_chans`.
        classes: number of outputs; given likewise, to networks of timm and torchvision as `num_classes`.
    Raises:
        InvalidInput: unknown name or option, or a factory that returns no module.
    """
    # Late: a study or a command names models, and checks their names, without torch.
    from torch import nn

    factory = load_factory(choice.name)
    options = choice.options
    # timm has one factory for all its networks, which takes the name.
    if choice.name.startswith("timm/"):
        options = {"model_name": choice.name.partition("/")[2], **options}
    try:
        # A user's option wins over what follows from the data.
        fitting = _fitting(choice.name, factory, input_shape, classes)
        inferred = {
            key: value
            for key, value in fitting.items()
            if value is not None and key not in options
        }
        check_options("model", choice.name, factory, options)
        model = factory(**inferred, **options)
    except (TypeError, ValueError, LookupError) as error:
        raise InvalidInput(f"model '{choice.name}': {error}") from error
    if not isinstance(model, nn.Module):
        raise InvalidInput(
            f"model '{choice.name}' gave {type(model).__name__}, not a torch.nn.Module"
        )
    return model


def _fitting(
    name: str, factory: Any, input_shape: tuple[int, ...] | None, classes: int | None
) -> dict[str, object]:
    """The arguments of a factory that follow from the data, by the names that it has for them.

    The factories of timm and torchvision take these as keywords that their signature does not list.
    """
    if name.startswith("timm/"):
        channels = input_shape[0] if input_shape and len(input_shape) == 3 else None
        return {"num_classes": classes, "in_chans": channels}
    if name.startswith("torchvision/"):
        return {"num_classes": classes}
    known = {"input_shape": input_shape, "classes": classes}
    parameters = inspect.signature(factory).parameters
    return {key: value for key, value in known.items() if key in parameters}
