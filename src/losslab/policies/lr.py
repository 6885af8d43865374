"""Learning-rate policies: schedules laid out over a run, with the options that a user gives."""

from collections.abc import Sequence

from losslab import schedules
from losslab.policies.chain import Chain
from losslab.policies.filled import Filled
from losslab.policies.horizon import Horizon, Policy
from losslab.schedules import Schedule


def piecewise(
    horizon: Horizon,
    /,
    values: Sequence[float],
    *,
    epochs: Sequence[float] = (),
    fractions: Sequence[float] = (),
) -> Schedule:
    """The next value at each of the epochs, or at each fraction of the run."""
    if min(values, default=0) < 0:
        raise ValueError(f"`values` (={list(values)}) must be at least 0")
    return schedules.piecewise(values, horizon.boundaries(epochs, fractions))


LR_POLICIES: dict[str, Policy] = {
    "constant": Filled(schedules.constant),
    "linear_ramp": Filled(schedules.linear_ramp),
    "exponential_ramp": Filled(schedules.exponential_ramp),
    "polynomial": Filled(schedules.polynomial),
    "piecewise": piecewise,
    "cosine": Filled(schedules.cosine),
    "warm_restarts": Filled(schedules.warm_restarts),
    "one_cycle": Filled(schedules.one_cycle),
    "triangular": Filled(schedules.triangular),
    "triangular2": Filled(schedules.triangular2),
    "exp_range": Filled(schedules.exp_range),
}
"""Name -> learning-rate policy."""
LR_POLICIES["chain"] = Chain("lr", LR_POLICIES)
