"""The parameter groups of a network: which weights decay, and which rates they train at."""

from collections.abc import Iterable, Mapping
from itertools import chain
from math import isfinite
from typing import Any

import torch
from torch import nn

from losslab.choice import import_attribute
from losslab.errors import InvalidInput, unknown_name
from losslab.optimizers.method import Method
from losslab.policies import LR_POLICIES, number_or_policy

Group = dict[str, Any]


def build_optimizer(
    method: Method,
    model: nn.Module,
    *,
    weight_decay: float = 0.0,
    parameter_groups: str | None = None,
) -> torch.optim.Optimizer:
    """Build the optimizer of a run; its rates are set at each step, as losslab.training.rates does.

    Args:
        method: what updates the weights.
        model: whose weights they are.
        weight_decay: of the groups that name none.
        parameter_groups: ``package.module:function``; the function takes the model and gives a list of groups.
    Raises:
        InvalidInput: groups that do not fit the model or the optimizer, or an optimizer that cannot be built.
    """
    if not any(p.requires_grad for p in model.parameters()):
        raise InvalidInput(
            f"`model` ({type(model).__name__}) has nothing to train: it has no parameters, or all are frozen; set "
            "requires_grad=True on those to be trained"
        )
    if parameter_groups is None:
        groups = default_groups(model, weight_decay)
    else:
        groups = groups_of(parameter_groups, model, weight_decay)
    # Any rate will do: the schedule's is set before the first step.
    optimizer = method.build(groups, lr=1.0)
    for group in groups:
        _check_keys(group, optimizer.defaults, method.name)
    return optimizer


def default_groups(model: nn.Module, weight_decay: float) -> list[Group]:
    """Divide weights into those that decay (two or more dimensions) and the rest (biases, normalisation scales)."""
    weights = [p for p in model.parameters() if p.requires_grad]
    # The usual division: no function becomes simpler when a bias or a scale of a normalisation is pulled towards 0.
    groups: list[Group] = [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def groups_of(path: str, model: nn.Module, weight_decay: float) -> list[Group]:
    """Get the groups that a function gives for a model, each with its weight decay.

    Raises:
        InvalidInput: no such function, an error within it, or groups that are not a division of the model's weights.
    """
    what = f"`parameter_groups` (={path})"
    function = import_attribute(what, path)
    try:
        own = [dict(group) for group in function(model)]
        groups = [
            {"weight_decay": weight_decay, **group, "params": _listed(group["params"])}
            for group in own
        ]
    except Exception as error:  # a stranger's code may raise anything
        message = f"{what} must give a list of groups like torch's, each with `params`: {type(error).__name__}: {error}"
        raise InvalidInput(message) from error
    for number, group in enumerate(groups):
        _check_numbers(f"{what}, group {number}", group)
        _name_policy(f"{what}, group {number}", group)
    _check_division(what, groups, model)
    return groups


def _listed(parameters: torch.Tensor | Iterable[torch.Tensor]) -> list[torch.Tensor]:
    return [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)


def _check_numbers(what: str, group: Group) -> None:
    for key in ("lr_scale", "weight_decay"):
        value = group.get(key, 0.0)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not (isfinite(value) and value >= 0)
        ):
            raise InvalidInput(f"{what}: `{key}` (={value!r}) must be a number of at least 0")


def _name_policy(what: str, group: Group) -> None:
    """Keep a group's own learning-rate policy under `lr_policy`: `lr` is where torch has the rate of a step."""
    if "lr" not in group:
        return
    if "lr_scale" in group:
        raise InvalidInput(
            f"{what}: give `lr`, its own, or `lr_scale`, a factor on the run's, not both"
        )
    try:
        group["lr_policy"] = number_or_policy("lr", LR_POLICIES, group.pop("lr"))
    except ValueError as error:
        raise InvalidInput(f"{what}: `lr`: {error}") from error


def _check_division(what: str, groups: list[Group], model: nn.Module) -> None:
    """Raise InvalidInput unless every weight that is trained is in one group, and nothing else is in any."""
    names: dict[torch.Tensor, str] = {
        parameter: name for name, parameter in model.named_parameters()
    }
    seen: set[torch.Tensor] = set()
    for parameter in chain.from_iterable(group["params"] for group in groups):
        if not isinstance(parameter, torch.Tensor) or parameter not in names:
            raise InvalidInput(
                f"{what}: a group holds {_shown(parameter)}, which is no parameter of the model"
            )
        if parameter in seen:
            raise InvalidInput(f"{what}: '{names[parameter]}' is in the groups twice")
        seen.add(parameter)
    missing = [
        name
        for parameter, name in names.items()
        if parameter.requires_grad and parameter not in seen
    ]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InvalidInput(
            f"{what}: '{missing[0]}'{more} in no group; freeze it by requires_grad_(False) if wanted"
        )


def _shown(value: object) -> str:
    return (
        f"a tensor of shape {tuple(value.shape)}"
        if isinstance(value, torch.Tensor)
        else repr(value)
    )


def _check_keys(group: Group, known: Mapping[str, Any], name: str) -> None:
    """Raise InvalidInput for what the optimizer would not read: torch keeps any key of a group and says nothing."""
    if group["weight_decay"] and "weight_decay" not in known:
        raise InvalidInput(
            f"`weight_decay` (={group['weight_decay']}): {name} has none; leave it out"
        )
    for key in (
        group.keys() - known.keys() - {"params", "lr_scale", "lr_policy", "weight_decay"}
    ):
        choices = (*known, "lr_scale")
        raise InvalidInput(
            f"`parameter_groups`: {unknown_name(f'option of a group of {name}', key, choices)}"
        )
