"""Rules that several schedules share."""

from math import inf

# 0 is no length: where a schedule is built without one by mistake, `check_positive` refuses it.
LEFT_OPEN = 0
"""Default of `steps`: a schedule called without it is a policy, laid out when the length of the run is known."""


def check_positive(**values: float) -> None:
    """Raise ValueError, by its name, for a value that is not positive and finite."""
    for name, value in values.items():
        if not 0 < value < inf:
            raise ValueError(f"`{name}` (={value}) must be positive and finite")


def check_fraction(**values: float) -> None:
    """Raise ValueError, by its name, for a value that does not lie between 0 and 1."""
    for name, value in values.items():
        if not 0 < value < 1:
            raise ValueError(f"`{name}` (={value}) must lie between 0 and 1")
