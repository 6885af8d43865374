"""The account of a network, from the network, what builds it, or its name."""

import inspect
import weakref
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from losslab.accounting.inputs import Inputs, InputShape, parse_inputs
from losslab.accounting.ledger import Ledger
from losslab.accounting.rows import ledger_of
from losslab.accounting.running import first_line
from losslab.accounting.trace import trace
from losslab.accounting.twin import weightless
from losslab.accounting.values import Values
from losslab.choice import Choice, parse_choice
from losslab.errors import InvalidInput
from losslab.models import build_model, load_factory

Countable = nn.Module | Callable[[], nn.Module] | str
"""A module, a factory without arguments, or a model's name with options such as ``resnet-44(shortcut='A')``."""


def count(
    model: Countable,
    input_shape: InputShape | None = None,
    *,
    batch_size: int = 1,
    include_bias: bool = True,
) -> Ledger:
    """The ledger of a network for one batch: every row with the arithmetic that gave its numbers.

    The network runs once, in evaluation mode, as a copy without weights on torch's meta device. It is not touched, and
    one given by name or by factory is built there too, so that its weights never exist.

    Args:
        model: a module, a factory without arguments, or a model's name.
        input_shape: of one sample, without the batch: ``(3, 224, 224)`` or ``"3x224x224"``; ``"128:int64"`` names a
            dtype, ``()`` or ``":int64"`` is one number a sample. Or an example tensor, its batch in front. A list or a
            dictionary of these, nested as the model takes them, feeds several inputs; other values in a dictionary,
            such as ``False``, are passed on. None for a name's own default, or for a model that takes no input;
            ``"none"`` counts parameters alone.
        batch_size: samples in the batch; an example tensor brings its own.
        include_bias: whether parameters whose name begins or ends with ``bias`` count as parameters.
    Raises:
        InvalidInput: when the model cannot be built or does not run on this input, in one line that says where.
    Example:
        >>> ledger = count("lenet5")
        >>> ledger.parameters, ledger.macs, ledger.rows[1].work["parameters"]
        (61706, 416520, '(5*5*1)*6 + 6 = 156')
    """
    network, inputs, batch_size = resolve(model, input_shape, batch_size)
    name = model if isinstance(model, str) else type(network).__name__
    return ledger_of(
        name, trace(network, inputs, batch_size, include_bias=include_bias), batch_size
    )


def resolve(
    model: Countable, input_shape: InputShape | None, batch_size: int
) -> tuple[nn.Module, Inputs, int]:
    """The network, without weights where it is built here, its inputs and the size of the batch.

    Raises:
        InvalidInput: when a factory raises or returns no module, or there is no usable input shape.
    """
    if batch_size < 1:
        raise InvalidInput(f"`batch_size` (={batch_size}) must be at least 1")
    network = _uncompiled(model) if isinstance(model, nn.Module) else _built(model, input_shape)
    if input_shape is None and isinstance(model, str):
        input_shape = _default_shape(model, network)
    if input_shape is None:
        input_shape = _without_input(network)
    inputs = parse_inputs(input_shape)
    return network, inputs, _batch_of(inputs, batch_size)


def _uncompiled(model: nn.Module) -> nn.Module:
    """What ``torch.compile`` was given; the work is the same."""
    original = getattr(model, "_orig_mod", None)
    return original if isinstance(original, nn.Module) else model


def _without_input(network: nn.Module) -> InputShape:
    """No arguments for a network that needs none; parameters alone for a container, which has no forward."""
    if getattr(network.forward, "__name__", "") == "_forward_unimplemented":
        return "none"
    parameters = inspect.signature(network.forward).parameters.values()
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if needed:
        raise InvalidInput(
            f"`input` is missing, which forward({', '.join(needed)}) needs; give the shape of one sample: --input "
            "3x224x224 on the command line, 128:int64 for ids, none for parameters alone; input_shape=(3, 224, 224) "
            "in Python"
        )
    return {}


def _batch_of(inputs: Inputs, batch_size: int) -> int:
    """The size of the batch that example tensors bring, or that is given."""
    batches = {entry.batch for entry in inputs.each if entry.batch}
    if len(batches) != 1:
        return batch_size
    (batch,) = batches
    if batch_size not in (1, batch):
        raise InvalidInput(
            f"`batch_size` (={batch_size}) is not that of the example tensor (={batch}); leave it out"
        )
    return batch


def _built(model: Callable[[], nn.Module] | str, input_shape: InputShape | None) -> nn.Module:
    network = _weightless(_by_name(model, input_shape) if isinstance(model, str) else model)
    if not isinstance(network, nn.Module):
        raise InvalidInput(f"`model` gave {type(network).__name__}, not a torch.nn.Module")
    return _uncompiled(network)


def _by_name(name: str, input_shape: InputShape | None) -> Callable[[], nn.Module]:
    try:
        choice = Choice(**parse_choice(name))
    except ValueError as error:
        raise InvalidInput(f"`model`: {error}") from None
    inputs = parse_inputs(input_shape) if input_shape is not None else None
    shape = inputs.each[0].shape if inputs and len(inputs.each) == 1 else None
    return lambda: build_model(choice, input_shape=shape)


def _weightless(make: Callable[[], nn.Module]) -> nn.Module:
    """What a factory builds, without weights; small constants have values, which a factory may ask for."""
    handle = register_module_parameter_registration_hook(_without_weights())
    try:
        with torch.inference_mode(False):
            try:
                with Values():
                    return make()
            except InvalidInput:
                raise
            except Exception:
                # It may read values of large tensors; then only its parameters are without.
                return make()
    except InvalidInput:
        raise
    except Exception as error:
        raise InvalidInput(f"`model` cannot be built: {first_line(error)}") from error
    finally:
        handle.remove()


def _without_weights() -> Callable[..., Any]:
    """A hook that registers a weightless parameter in place of each, and one for all registrations of the same."""
    twins: dict[int, tuple[weakref.ref[nn.Parameter], Any]] = {}

    def registered(_module: Any, _name: Any, parameter: nn.Parameter | None) -> Any:
        # None keeps what is registered: another object would untie a weight that two layers share.
        if parameter is None or parameter.is_meta:
            return None
        original, twin = twins.get(id(parameter), (None, None))
        # The id of one that is gone may be that of another.
        if original is None or original() is not parameter:
            twin = weightless(parameter)
            twins[id(parameter)] = weakref.ref(parameter), twin
        return twin

    return registered


def _default_shape(name: str, network: nn.Module) -> Any:
    if name.startswith("torchvision/"):
        return (3, 224, 224)
    if name.startswith("timm/"):
        return cast("Any", network).default_cfg["input_size"]
    # A factory may pass its options on.
    for builder in (
        load_factory(parse_choice(name)["name"]),
        type(network),
    ):
        parameter = inspect.signature(builder).parameters.get("input_shape")
        if parameter is not None and parameter.default is not parameter.empty:
            return parameter.default
    return None
