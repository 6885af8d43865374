"""The optimizer whose state a training step holds: a method of losslab as everywhere else, or what makes one."""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from pydantic import ValidationError
from torch import nn

from losslab.accounting.values import DependsOnData
from losslab.errors import InvalidInput, unknown_name
from losslab.optimizers import OPTIMIZERS, Method, choose
from losslab.optimizers.foreign import is_foreign
from losslab.spec import faults

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

ALIASES: dict[str, OptimizerFactory] = {
    "sgd-momentum": partial(torch.optim.SGD, momentum=0.9),
    "rmsprop-momentum": partial(torch.optim.RMSprop, momentum=0.9),
}
"""Short names that only counting has; the first is ``sgd(momentum=0.9)``."""


def build_optimizer(
    optimizer: str | Method | OptimizerFactory, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """The optimizer of these parameters, with the learning rate that its source proposes.

    Raises:
        InvalidInput: an unknown name or hyperparameter.
    """
    if isinstance(optimizer, str) and optimizer in ALIASES:
        return ALIASES[optimizer](parameters)
    if callable(optimizer):
        return optimizer(parameters)
    method = _method(optimizer)
    return method.build([{"params": list(parameters)}], method.default_lr)


def is_fused(
    optimizer: str | Method | OptimizerFactory, parameters: Iterable[nn.Parameter]
) -> bool:
    """Whether the optimizer updates parameters such as these on a CPU in one pass, without tensors of its own."""
    # As many axes, since some methods take matrices alone.
    twins = [nn.Parameter(torch.zeros((1,) * each.ndim, device="cpu")) for each in parameters]
    rule = build_optimizer(optimizer, twins)
    return any(group.get("fused") for group in rule.param_groups)


def first_step(rule: torch.optim.Optimizer) -> None:
    """Make the optimizer's state.

    Raises:
        InvalidInput: where its step depends on values, which nothing has here.
    """
    try:
        rule.step()
    except DependsOnData as error:
        raise InvalidInput(
            f"optimizer {type(rule).__name__}: its step reads values, and no data are here to have any ({error})"
        ) from error


def _method(optimizer: str | Method) -> Method:
    try:
        return choose(optimizer)
    except ValidationError as error:
        name = str(optimizer).partition("(")[0].strip()
        # The method's own list lacks the aliases; one of torch or anyone's says what is wrong with its options.
        if name not in OPTIMIZERS and not is_foreign(name):
            raise InvalidInput(
                unknown_name("optimizer", name, (*OPTIMIZERS, *ALIASES))
            ) from None
        raise InvalidInput(faults(error)) from None
