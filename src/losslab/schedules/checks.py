"""Rules that several schedules share."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from math import inf
from typing import ParamSpec, SupportsFloat, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")

# 0 is no length: where a schedule is built without one by mistake, `check_positive` refuses it.
LEFT_OPEN = 0
"""Default of `steps`: a schedule called without it is a policy, laid out when the length of the run is known."""


NUMBERS = (float, int)
LISTS = (Sequence[float], Sequence[int])
MAY_BE_ABSENT = (float | None, int | None)


def check_numbers(signature: inspect.Signature, arguments: Mapping[str, object]) -> None:
    """Raise TypeError, by its name, for an argument that is no number where the signature asks for one."""
    for name, value in arguments.items():
        kind = signature.parameters[name].annotation
        if kind in LISTS and isinstance(value, Sequence):
            for entry in value:
                _check_number(name, entry)
        elif kind in NUMBERS or (kind in MAY_BE_ABSENT and value is not None):
            _check_number(name, value)


def of_numbers(function: Callable[P, Result]) -> Callable[P, Result]:
    """Have a function check its arguments by :func:`check_numbers` before anything else."""
    signature = inspect.signature(function)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> Result:
        check_numbers(signature, signature.bind(*args, **kwargs).arguments)
        return function(*args, **kwargs)

    return checked


def _check_number(name: str, value: object) -> None:
    if isinstance(value, SupportsFloat):  # numbers of numpy and torch, too
        return
    remedy = ""
    if value is None:
        remedy = "; where a range test found none, its `reason` says what to try"
    raise TypeError(f"`{name}` (={value!r}) must be a number{remedy}")


def check_positive(**values: float) -> None:
    """Raise ValueError, by its name, for a number that is not positive and finite."""
    for name, value in values.items():
        _check_number(name, value)
        if not 0 < value < inf:
            raise ValueError(f"`{name}` (={value}) must be positive and finite")


def check_fraction(**values: float) -> None:
    """Raise ValueError, by its name, for a number that does not lie between 0 and 1."""
    for name, value in values.items():
        _check_number(name, value)
        if not 0 < value < 1:
            raise ValueError(f"`{name}` (={value}) must lie between 0 and 1")
