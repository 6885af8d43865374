"""The momentum of a run, cycled against its learning rate."""

from losslab import schedules
from losslab.choice import Choice, parse_choice
from losslab.errors import InvalidInput, unknown_name
from losslab.policies.choices import as_number
from losslab.policies.horizon import Horizon
from losslab.policies.laid_out import lr_schedule
from losslab.schedules import Schedule

CYCLED = {"base_momentum": 0.85, "max_momentum": 0.95}
"""Options of `cycled`, the one momentum policy, and what they are when not given."""
CYCLES = ("one_cycle", "triangular", "triangular2", "exp_range")
"""Learning-rate policies that a momentum can be cycled against."""
# What shapes one cycle, and shapes its momentum alike.
SHAPE = ("up_fraction", "three_phase", "linear")


def check_momentum(value: object) -> Choice | None:
    """The momentum policy of a spec, its options filled in.

    Raises:
        ValueError: a constant, an unknown name or option, or impossible values.
    """
    if value is None:
        return None
    if as_number(value) is not None:
        raise ValueError(
            "must be a policy, such as cycled; a constant is an option of the optimizer, such as "
            f"'sgd(momentum={value})'"
        )
    if isinstance(value, str):
        value = parse_choice(value, lambda _name: tuple(CYCLED))
    choice = Choice.model_validate(value)
    if choice.name != "cycled":
        raise ValueError(unknown_name("momentum policy", choice.name, ["cycled"]))
    for name, number in choice.options.items():
        if name not in CYCLED:
            raise ValueError(unknown_name("option of cycled", name, CYCLED))
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ValueError(f"`{name}` (={number!r}) must be a number")
    # Filled in, so that `cycled` and `cycled(base_momentum=0.85)` are the same run.
    options = CYCLED | choice.options
    low, high = options["base_momentum"], options["max_momentum"]
    if not 0 < low < high < 1:
        raise ValueError(
            f"`base_momentum` (={low}) and `max_momentum` (={high}) must ascend between 0 and 1"
        )
    return Choice(name="cycled", **options)


def check_cycled_against(lr: float | Choice) -> None:
    """Raise ValueError when a learning rate has no cycles."""
    if not isinstance(lr, Choice) or lr.name not in CYCLES:
        raise ValueError(
            f"`momentum` is cycled against `lr` (={lr}), which must be one of {', '.join(CYCLES)}"
        )


def momentum_schedule(momentum: Choice, lr: Choice, horizon: Horizon) -> Schedule:
    """The momentum over a run: lowest where the learning rate is highest.

    Args:
        momentum: as from :func:`check_momentum`.
        lr: one of `CYCLES`.
        horizon: the length of the run.
    Raises:
        InvalidInput: when the policy does not fit into a run of that length.
    Example:
        >>> lr = Choice(name="triangular", base_lr=1, max_lr=3, cycles=1)
        >>> schedule = momentum_schedule(Choice(name="cycled", **CYCLED), lr, Horizon(4, images=256))
        >>> [round(schedule(step), 3) for step in range(5)]
        [0.95, 0.9, 0.85, 0.9, 0.95]
    """
    laid_out = lr_schedule(lr, horizon)
    options = lr.options
    try:
        # The two sides of one cycle end at different rates, which no single line maps to one momentum.
        if lr.name == "one_cycle":
            shape = {name: options[name] for name in SHAPE if name in options}
            return schedules.one_cycle_momentum(
                horizon.total_steps, **shape, **momentum.options
            )
        return schedules.mirror_momentum(
            laid_out, options["base_lr"], options["max_lr"], **momentum.options
        )
    except ValueError as error:
        raise InvalidInput(f"`momentum` (={momentum}) against {lr}: {error}") from error
