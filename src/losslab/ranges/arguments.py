"""What a range test is given, checked before anything trains: each fault in one line that says what to write."""

import inspect
from collections.abc import Sequence
from math import isfinite
from operator import index
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from losslab.optimizers import Method, choose
from losslab.spec import faults

WRITE_OPTIMIZER = "give `torch.optim.Adam(model.parameters())` or a name such as 'adam'"


def check_model(model: Any) -> None:
    """Raise TypeError or ValueError for what is no network with something to train."""
    if not isinstance(model, nn.Module):
        kind = (
            f"the class {model.__name__}"
            if isinstance(model, type)
            else f"a {type(model).__name__}"
        )
        raise TypeError(f"`model` is {kind}; give a torch.nn.Module, an instance of it")
    weights = list(model.parameters())
    if not weights:
        raise ValueError(
            f"`model` ({type(model).__name__}) has no parameters, so that there is nothing to train"
        )
    if any(p.is_meta for p in weights):
        raise ValueError(
            f"`model` ({type(model).__name__}) is on the meta device, where weights have no values; build it on another"
        )
    if not any(p.requires_grad for p in weights):
        raise ValueError(
            f"all {len(weights)} parameters of `model` are frozen; set requires_grad=True on those to be trained"
        )


def bound(optimizer: Any, model: nn.Module) -> torch.optim.Optimizer:
    """An optimizer of the model: the user's, or a method by name over all weights that are not frozen.

    Raises:
        TypeError: for what is no optimizer and no name.
        ValueError: an unknown name or option; an optimizer that trains nothing here, or has no plain step.
    """
    if isinstance(optimizer, str | Method):
        return _built(optimizer, model)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(_no_optimizer(optimizer))
    _check_step(optimizer)
    trained: list[nn.Parameter] = []
    for group in optimizer.param_groups:
        trained += group["params"]
    own = set(map(id, model.parameters()))
    if own.isdisjoint(map(id, trained)):
        raise ValueError(
            "`optimizer` trains no parameter of `model`; make it from this model's parameters()"
        )
    if not any(p.requires_grad for p in trained):
        raise ValueError(
            "all parameters of `optimizer` are frozen; set requires_grad=True on those to be trained"
        )
    return optimizer


def name_of(optimizer: Any) -> str:
    """What an answer calls the optimizer."""
    if isinstance(optimizer, str):
        return optimizer
    if isinstance(optimizer, Method):
        return optimizer.name
    return type(optimizer).__name__


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of at least so much.

    Raises:
        TypeError: when it is no whole number.
        ValueError: when it is less.
    """
    # `True` is an int to Python, and a slip to us; whole numbers of numpy and torch have an index, too.
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"`{name}` (={value!r}) must be a whole number")
    if index(value) < least:
        raise ValueError(f"`{name}` (={value}) must be at least {least}")
    return index(value)


def positive(name: str, value: Any) -> float:
    """A positive finite number.

    Raises:
        TypeError: when it is no number.
        ValueError: when it is not positive or not finite.
    """
    wrong = TypeError(f"`{name}` (={value!r}) must be a number, such as 1e-3")
    if isinstance(value, str | bool):
        raise wrong
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        raise wrong from None
    # Written so that NaN, which is neither above nor below zero, is refused.
    if not (number > 0 and isfinite(number)):
        raise ValueError(f"`{name}` (={number}) must be positive and finite")
    return number


def increasing(sizes: Any) -> list[int]:
    """Batch sizes as a list of increasing whole numbers.

    Raises:
        TypeError, ValueError: when they are none.
    """
    is_list = isinstance(sizes, Sequence) or hasattr(sizes, "tolist")
    if isinstance(sizes, str) or not is_list:
        raise TypeError(
            f"`sizes` (={sizes!r}) must be batch sizes in a list, such as [16, 32, 64]"
        )
    listed = [whole("sizes", size, 1) for size in sizes]
    if len(listed) < 2 or sorted(set(listed)) != listed:
        raise ValueError(f"`sizes` (={listed}) must be two or more increasing batch sizes")
    return listed


def _built(optimizer: str | Method, model: nn.Module) -> torch.optim.Optimizer:
    try:
        method = choose(optimizer)
    except ValidationError as error:
        raise ValueError(f"`optimizer` (={optimizer!r}): {faults(error)}") from None
    weights = [p for p in model.parameters() if p.requires_grad]
    # The rate is a placeholder: every step of a test sets its own.
    return method.build([{"params": weights}], lr=1.0)


def _no_optimizer(value: Any) -> str:
    kind = type(value).__name__
    if isinstance(value, type):
        own = f"`{value.__name__}(model.parameters())`"
        return f"`optimizer` is the class {value.__name__}; give {own} or a name such as 'adam'"
    if isinstance(value, list | tuple):
        advice = "a test drives one: give one with parameter groups, or test each"
        return f"`optimizer` is a {kind} of {len(value)}; {advice}"
    if inspect.isfunction(value) or hasattr(value, "func"):
        return f"`optimizer` is a function; {WRITE_OPTIMIZER}"
    if hasattr(value, "apply_gradients"):
        return f"`optimizer` is Keras's {kind}; {WRITE_OPTIMIZER}"
    return f"`optimizer` is a {kind}; {WRITE_OPTIMIZER}"


def _check_step(optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError when a step needs a closure: it then searches a rate of its own, or takes several gradients."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    needs_closure = closure is not None and closure.default is inspect.Parameter.empty
    if needs_closure or isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError(
            f"`optimizer` ({type(optimizer).__name__}) needs a closure for each step, which a range test has not got; "
            "use one whose step() takes none, such as 'sgd' or 'adam'"
        )
