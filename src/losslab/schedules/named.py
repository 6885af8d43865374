"""A schedule that knows the call that built it: its repr, how it is pickled, and whether its length is still open."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from inspect import isfunction
from typing import Any, ParamSpec, TypeVar

from losslab.schedules.checks import check_numbers

Schedule = Callable[[int], float]
"""Optimizer step, counted from 0 -> a learning rate, a batch size or a momentum."""

P = ParamSpec("P")
Value = TypeVar("Value", bound=float)


@dataclass(frozen=True)
class Named:
    """A schedule of this package: call it with a step.

    Attributes:
        build: the function that built it.
        arguments: name and value of each argument that it was given.
        value: step -> value; None where the length was left open, and the schedule is a policy, to be laid out.
    """

    build: Callable[..., Schedule]
    arguments: tuple[tuple[str, Any], ...]
    value: Schedule | None

    def __call__(self, step: int) -> float:
        """The value at a step.

        Raises:
            TypeError: when the schedule's length was left open.
        """
        if self.value is None:
            raise TypeError(
                f"`steps` of {self!r} is open: give it, or let a run or losslab.lay_out do so"
            )
        return self.value(step)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={_shown(value)}" for name, value in self.arguments)
        return f"{self.name}({options})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and (self.name, self.arguments) == (
            other.name,
            other.arguments,
        )

    def __hash__(self) -> int:
        # Arguments may be lists, which have no hash.
        return hash(repr(self))

    def __reduce__(self) -> tuple[Any, ...]:
        # A closure cannot be pickled; the call that built it can.
        return _rebuilt, (self.build.__module__, self.name, dict(self.arguments))

    @property
    def name(self) -> str:
        """The name of the function that built it."""
        return str(self.build.__name__)

    @property
    def is_open(self) -> bool:
        """Whether its length is left to the run."""
        return self.value is None


def named(build: Callable[P, Callable[[int], Value]]) -> Callable[P, Callable[[int], Value]]:
    """Have a function that returns a closure return a :class:`Named`; without its `steps`, an open one."""
    signature = inspect.signature(build)

    @wraps(build)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Callable[[int], Value]:
        try:
            arguments = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            # The signature does not know whose it is.
            takes = ", ".join(signature.parameters)
            raise TypeError(f"{build.__name__}({takes}): {error}") from None
        # Here, since an open one is built only when it is laid out.
        check_numbers(signature, arguments)
        is_open = "steps" in signature.parameters and "steps" not in arguments
        value = None if is_open else bare(build(*args, **kwargs))
        # `wrapped` and not `build`: it is what the module holds under this name, which pickling looks up.
        return Named(wrapped, tuple(arguments.items()), value)  # type: ignore[return-value]

    return wrapped


def bare(schedule: Callable[[int], Value]) -> Callable[[int], Value]:
    """The closure within a schedule: schedules within schedules are called at every step, and names cost time."""
    if isinstance(schedule, Named) and schedule.value is not None:
        return schedule.value  # type: ignore[return-value]
    return schedule


def _shown(value: object) -> str:
    """A function by its name, anything else as it prints itself."""
    return value.__name__ if isfunction(value) else repr(value)


def _rebuilt(module: str, name: str, arguments: dict[str, Any]) -> Schedule:
    build: Callable[..., Schedule] = getattr(import_module(module), name)
    return build(**arguments)
