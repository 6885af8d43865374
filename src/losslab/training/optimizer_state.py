"""The state of an optimizer in a checkpoint: tensors and plain values of each parameter, numbers of each group."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch

from losslab.errors import InvalidInput

PLAIN = (bool, int, float, str, type(None))
"""Types of values that JSON gives back as they were."""


def check(optimizer: torch.optim.Optimizer) -> None:
    """Raise InvalidInput when the optimizer, once it has stepped, keeps what a checkpoint would lose."""
    numbers(optimizer)


def tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The tensors of its state, by ``optimizer.INDEX.KEY``; the index is that of the parameter over all groups."""
    return {
        f"optimizer.{index}.{key}": value
        for index, key, value in _values(optimizer)
        if torch.is_tensor(value)
    }


def numbers(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """All other values of its state, and the numbers of its groups, where some optimizers count their steps."""
    plain = {
        f"{index}.{key}": value
        for index, key, value in _values(optimizer)
        if not torch.is_tensor(value)
    }
    return {
        "numbers": plain,
        "groups": [_numbers_of(optimizer, group) for group in optimizer.param_groups],
    }


def restore(
    optimizer: torch.optim.Optimizer,
    saved: Mapping[str, torch.Tensor],
    facts: Mapping[str, Any],
) -> None:
    """Bring a fresh optimizer to a saved state, bit for bit.

    Args:
        optimizer: of the same parameters in the same groups.
        saved: as from :func:`tensors`, among others.
        facts: as from :func:`numbers`, among others.
    """
    # torch numbers the parameters over all groups in their order; the index in a key is that number.
    own = {
        key.removeprefix("optimizer."): value
        for key, value in saved.items()
        if key.startswith("optimizer.")
    }
    state: dict[int, dict[str, Any]] = {}
    for path, value in {**own, **facts["numbers"]}.items():
        index, _, key = path.partition(".")
        state.setdefault(int(index), {})[key] = value
    parameters = list(chain.from_iterable(group["params"] for group in optimizer.param_groups))
    for index, values in state.items():
        state[index] = {
            key: _laid_out(value, parameters[index]) for key, value in values.items()
        }
    groups = optimizer.state_dict()["param_groups"]
    # None from older versions.
    for group, group_numbers in zip(groups, facts.get("groups", ()), strict=False):
        group.update(group_numbers)
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    # torch gives state the type of its parameter, which rounds a float64 sum and cuts a large integer, and loses texts.
    for index, values in state.items():
        loaded = optimizer.state[parameters[index]]
        for key, value in values.items():
            if not torch.is_tensor(value):
                loaded[key] = value
            elif loaded[key].dtype != value.dtype:
                loaded[key] = value.to(loaded[key].device)


def _laid_out(value: Any, parameter: torch.Tensor) -> Any:
    """Bring state of a parameter's shape into that parameter's layout: fused steps read both in the order of memory."""
    if torch.is_tensor(value) and value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value


def _values(optimizer: torch.optim.Optimizer) -> Iterator[tuple[int, str, Any]]:
    """The state per parameter: (index of the parameter, key, tensor or plain value).

    Raises:
        InvalidInput: when there is more than that, which a checkpoint would lose.
    """
    content = optimizer.state_dict()
    for extra in content.keys() - {"state", "param_groups"}:
        raise _unsaved(optimizer, f"`{extra}` beside its state")
    for index, values in content["state"].items():
        if not isinstance(index, int):
            raise _unsaved(optimizer, f"state of `{index}`, which is no parameter")
        for key, value in values.items():
            if not isinstance(value, (torch.Tensor, *PLAIN)):
                raise _unsaved(optimizer, f"`{key}`, a {type(value).__name__}, in its state")
            yield index, key, value


def _numbers_of(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> dict[str, float]:
    for key, value in group.items():
        # A rate may be a tensor: it is set anew at each step, and nothing is lost with it.
        if key not in ("params", "lr") and isinstance(value, torch.Tensor | dict | set):
            raise _unsaved(optimizer, f"`{key}`, a {type(value).__name__}, in a group")
    return {key: value for key, value in group.items() if isinstance(value, bool | int | float)}


def _unsaved(optimizer: torch.optim.Optimizer, what: str) -> InvalidInput:
    return InvalidInput(
        f"optimizer {type(optimizer).__name__} keeps {what}; a checkpoint holds tensors, numbers and texts of each "
        "parameter, so that this run could not be resumed"
    )
