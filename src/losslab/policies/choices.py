"""Check what a user writes as a policy, a text, a table or an open schedule, and turn it into a Choice."""

import inspect
import re
from collections.abc import Mapping, Sequence
from inspect import Parameter
from math import inf, isfinite
from typing import Any

from pydantic import ValidationError

from losslab.choice import Choice, parse_choice
from losslab.errors import unknown_name
from losslab.policies.horizon import Horizon, Policy
from losslab.schedules import Named, constant

_SPECIMEN = {
    "lr": Horizon(1000, images=100, epochs=10.0, seen=range(1001)),
    "batch": Horizon(1000, images=100, epochs=10.0),
}
"""The run over which a policy is tried before the real one's length is known."""
# A rate of 0 trains nothing and harms nothing, at the end of a cosine for instance; a batch of 0 has no mean.
LEAST = {"lr": 0, "batch": 1}


def number_or_policy(
    kind: str, policies: Mapping[str, Policy], value: object
) -> float | Choice:
    """The value of a learning rate or a batch size: a positive number, or a policy.

    Raises:
        ValueError: a number that is not positive, a batch size that is not whole, or as :func:`as_policy`.
    """
    number = as_number(value)
    if number is None:
        return as_policy(kind, policies, value)
    if not 0 < number < inf:
        raise ValueError("must be a number greater than 0")
    if kind == "lr":
        return number
    if number != int(number):
        raise ValueError("must be a whole number of images")
    return int(number)


def as_policy(kind: str, policies: Mapping[str, Policy], value: object) -> Choice:
    """The policy of a text, a table or an open schedule, once its options are known to fit together.

    Args:
        kind: ``lr`` or ``batch``.
        policies: name -> policy.
        value: ``"cosine(0.1)"``, ``{"name": "cosine", "high": 0.1}`` or ``losslab.schedules.cosine(0.1)``.
    Raises:
        ValueError: another form, unknown name, unknown or missing option, impossible values.
    """
    if isinstance(value, str):
        # "0,1" would be no name of a policy, and the message about that would miss the point.
        _check_decimal_point(value)
        value = parse_choice(value, lambda name: _by_position(kind, policies, name))
    elif isinstance(value, Named):
        value = _table(value)
    choice = _choice(value)
    _check_name(kind, policies, choice.name)
    return check_policy(kind, policies, choice)


def check_policy(kind: str, policies: Mapping[str, Policy], choice: Choice) -> Choice:
    """Check that a choice is a policy whose options fit together over some run, and return it.

    Raises:
        ValueError: unknown option, missing option or impossible values.
    """
    options = choice.options
    if kind == "batch":
        multiple = options.pop("multiple", 1)
        _check_multiple(multiple)
    policy = policies[choice.name]
    parameters = _options_of(policy)
    for name in options:
        if name not in parameters:
            raise ValueError(
                unknown_name(f"option of {kind} policy {choice.name}", name, parameters)
            )
    _check_complete(choice.name, parameters, options)
    for name, value in options.items():
        _check_value(name, value, parameters[name].annotation)
    if kind == "batch":
        _check_sizes_by_epoch(choice.name, options, multiple)
    # Only a schedule knows which options fit together: it is built, over a run that is long enough for any.
    specimen = _SPECIMEN[kind]
    try:
        schedule = policy(specimen, **options)
        least = min(schedule(step) for step in range(specimen.total_steps))
    except ArithmeticError as error:
        raise ValueError(f"its options lead beyond what numbers hold ({error})") from None
    if least < LEAST[kind]:
        raise ValueError(
            f"its values go down to {least:g}; they must be at least {LEAST[kind]}"
        )
    return choice


def _options_of(policy: Policy) -> dict[str, Parameter]:
    """The options of a policy; its first parameter is the horizon."""
    _, *options = inspect.signature(policy).parameters.values()
    return {option.name: option for option in options}


def _check_name(kind: str, policies: Mapping[str, Policy], name: str) -> None:
    if name not in policies:
        raise ValueError(unknown_name(f"{kind} policy", name, policies))


def _by_position(kind: str, policies: Mapping[str, Policy], name: str) -> list[str]:
    """The options that may be given without their name, in order."""
    _check_name(kind, policies, name)
    options = _options_of(policies[name]).values()
    return [option.name for option in options if option.kind is not Parameter.KEYWORD_ONLY]


def _check_decimal_point(text: str) -> None:
    if re.fullmatch(r"[+-]?\d+,\d+(e[+-]?\d+)?", text.strip(), re.I):
        raise ValueError(
            f"is no number; write it with a point (={text.strip().replace(',', '.')}) and no other marks"
        )


def _choice(value: object) -> Choice:
    if not isinstance(value, Mapping | Choice):
        raise ValueError("must be a number, or a policy such as 'cosine(0.1)'")
    try:
        return Choice.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        raise ValueError(f"`{path}` of a policy: {first['msg']}") from None


def as_number(value: object) -> float | None:
    """The number that a value or its text is; None where it is none."""
    if isinstance(value, bool):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def _table(schedule: Named) -> dict[str, Any]:
    if "steps" in dict(schedule.arguments):
        raise ValueError(
            f"{schedule!r} has a length of its own; leave out `steps`, which the run gives"
        )
    # One that never takes `steps` has its own, too, but for a constant.
    if not schedule.is_open and schedule.build is not constant:
        raise ValueError(
            f"{schedule!r} counts in steps of its own; write it as a text, such as "
            "'piecewise([0.1, 0.01], epochs=[30])'"
        )
    return {"name": schedule.name.removesuffix("_batch"), **dict(schedule.arguments)}


def _check_complete(
    name: str, parameters: Mapping[str, Parameter], options: Mapping[str, Any]
) -> None:
    """Raise ValueError that names every option that is required and absent."""
    required = [
        option
        for option, parameter in parameters.items()
        if parameter.default is Parameter.empty
    ]
    missing = [f"`{option}`" for option in required if option not in options]
    if missing:
        form = ", ".join(f"{option}=..." for option in required)
        raise ValueError(f"{name} needs {' and '.join(missing)}: {name}({form})")


def _check_multiple(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"`multiple` (={value!r}) must be a whole number of at least 1")


def _check_sizes_by_epoch(name: str, options: Mapping[str, Any], multiple: int) -> None:
    """Raise ValueError where rounding would move the epochs at which sizes change."""
    values = options.get("values", ())
    if (
        name == "piecewise"
        and options.get("epochs")
        and any(value % multiple for value in values)
    ):
        raise ValueError(
            f"`values` (={list(values)}) must be multiples of `multiple` (={multiple}) where `epochs` says when they "
            "change, since epochs follow from the sizes"
        )


def _check_value(name: str, value: object, kind: object) -> None:
    """Raise ValueError when a value is not of the kind that the policy's signature says."""
    if kind is bool:
        fits, rule = isinstance(value, bool), "true or false"
    elif kind == Sequence[float]:
        fits, rule = (
            isinstance(value, list | tuple) and all(map(_is_number, value)),
            "a list of numbers",
        )
    elif kind is int:
        fits, rule = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif kind in (float, float | None):
        fits, rule = _is_number(value), "a number"
    else:
        fits, rule = isinstance(value, list | tuple), "a list of numbers and policies"
    if not fits:
        raise ValueError(f"`{name}` (={value!r}) must be {rule}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
