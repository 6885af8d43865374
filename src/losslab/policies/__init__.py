"""Policies by name: the learning rate or batch size of a spec or a command line, laid out as a schedule.

Lengths that a policy leaves open come from the run: a ramp fills it, and cycles are counted so that it ends with one.
"""

from losslab.policies.average import check_average
from losslab.policies.batch import BATCH_POLICIES
from losslab.policies.choices import number_or_policy
from losslab.policies.horizon import Horizon, Policy
from losslab.policies.laid_out import batch_schedule, lr_schedule
from losslab.policies.lr import LR_POLICIES
from losslab.policies.momentum import check_cycled_against, check_momentum, momentum_schedule
from losslab.policies.plateau import PLATEAUS, check_plateau, new_plateau

__all__ = [
    "BATCH_POLICIES",
    "LR_POLICIES",
    "PLATEAUS",
    "Horizon",
    "Policy",
    "batch_schedule",
    "check_average",
    "check_cycled_against",
    "check_momentum",
    "check_plateau",
    "lr_schedule",
    "momentum_schedule",
    "new_plateau",
    "number_or_policy",
]
