"""What each parameter group trains at, step by step: the run's learning rate or its own, and the momentum."""

from dataclasses import dataclass

import torch

from losslab.choice import Choice
from losslab.errors import InvalidInput
from losslab.policies import lr_schedule, momentum_schedule
from losslab.schedules import Schedule
from losslab.training.timeline import Step, Timeline


@dataclass(frozen=True)
class Rates:
    """Learning rates and momentum of an optimizer's groups; all are functions of the step, and resume with it.

    Attributes:
        optimizer: whose groups they are.
        own: the schedule of each group that has one of its own, else None.
        momentum: that of all groups; None leaves it to the optimizer.
    """

    optimizer: torch.optim.Optimizer
    own: tuple[Schedule | None, ...]
    momentum: Schedule | None

    def set(self, step: Step, factor: float) -> None:
        """Set the rates of a step.

        Args:
            step: of the timeline.
            factor: on all learning rates.
        """
        for group, own in zip(self.optimizer.param_groups, self.own, strict=True):
            lr = step.lr * group.get("lr_scale", 1.0) if own is None else own(step.index)
            group["lr"] = lr * factor
            if self.momentum is not None:
                _set_momentum(group, self.momentum(step.index))


def rates_of(optimizer: torch.optim.Optimizer, timeline: Timeline) -> Rates:
    """The rates of a run's optimizer over its timeline.

    Raises:
        InvalidInput: a group's policy does not fit into the run, or momentum is cycled where there is none.
    """
    run = timeline.run
    policies = [group.get("lr_policy") for group in optimizer.param_groups]
    own = [
        None if policy is None else lr_schedule(policy, timeline.horizon) for policy in policies
    ]
    momentum = None
    if run.momentum is not None:
        assert isinstance(run.lr, Choice)  # or the run would have been refused
        momentum = momentum_schedule(run.momentum, run.lr, timeline.horizon)
        if not optimizer.defaults.keys() & {"betas", "momentum"}:
            raise InvalidInput(
                f"`momentum` (={run.momentum}): {run.optimizer.name} has neither `momentum` nor `betas`; leave it out"
            )
    return Rates(optimizer, tuple(own), momentum)


def _set_momentum(group: dict[str, object], momentum: float) -> None:
    # As torch's CyclicLR: what Adam and its relatives have for a momentum is their first beta.
    betas = group.get("betas")
    if isinstance(betas, tuple | list):
        group["betas"] = (momentum, *betas[1:])
    else:
        group["momentum"] = momentum
