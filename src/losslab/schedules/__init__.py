"""A schedule is a function from the optimizer step, counted from 0, to a value: learning rate, batch size, momentum.

Schedules are closures over numbers that print, compare and are pickled as the call that built them. They are composed
by calling one within another. One that is called without its `steps` is open: a policy, laid out when the length of the
run is known. A :class:`Plateau` takes a metric in place of a step.
"""

from losslab.schedules.combined import chain, mirror, mirror_momentum, warmup, whole
from losslab.schedules.cosines import cosine, cosine_batch, restarts, warm_restarts
from losslab.schedules.cycles import (
    Envelope,
    cycle,
    decay,
    exp_range,
    gamma_for,
    halving,
    triangular,
    triangular2,
)
from losslab.schedules.named import Named, Schedule
from losslab.schedules.one_cycle import one_cycle, one_cycle_batch, one_cycle_momentum
from losslab.schedules.plateau import Plateau, grow_on_plateau, reduce_on_plateau
from losslab.schedules.ramps import (
    constant,
    exponential_ramp,
    linear_ramp,
    piecewise,
    polynomial,
)

__all__ = [
    "Envelope",
    "Named",
    "Plateau",
    "Schedule",
    "chain",
    "constant",
    "cosine",
    "cosine_batch",
    "cycle",
    "decay",
    "exp_range",
    "exponential_ramp",
    "gamma_for",
    "grow_on_plateau",
    "halving",
    "linear_ramp",
    "mirror",
    "mirror_momentum",
    "one_cycle",
    "one_cycle_batch",
    "one_cycle_momentum",
    "piecewise",
    "polynomial",
    "reduce_on_plateau",
    "restarts",
    "triangular",
    "triangular2",
    "warm_restarts",
    "warmup",
    "whole",
]
