"""A learning-rate policy as a callback of Transformers' Trainer."""

from functools import partial
from math import ceil
from typing import Any

from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback, TrainerState, TrainingArguments

from losslab.integrations.torch.course import PolicyLike, equal_steps, laid_out_lr
from losslab.schedules import Schedule


class LrPolicy(TrainerCallback):  # type: ignore[misc]  # untyped where Transformers is not installed
    """Let the Trainer's scheduler follow a policy, laid out over the steps of the training.

    The Trainer steps, logs and saves its scheduler as ever; ``lr_scheduler_type`` and the warm-up of its arguments
    count no more. Within :func:`batch_policy` the steps are those of its batch sizes, so that both end together.

    Args:
        policy: ``"exp_range(1e-5, 1e-3)"``, a number, or a schedule of :mod:`losslab.schedules`; of the first parameter
            group, to which the others keep their ratio.
    Attributes:
        schedule: the learning rate by step; known from the beginning of the training.
    Raises:
        ValueError: where the Trainer's scheduler is none that scales the rate by a function of the step.
    """

    def __init__(self, policy: PolicyLike) -> None:
        self.policy = policy
        self.schedule: Schedule | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, _control: Any, **kwargs: Any
    ) -> None:
        """Lay the policy out and hand it to the scheduler."""
        scheduler = kwargs["lr_scheduler"]
        if type(scheduler) is not LambdaLR:
            raise ValueError(
                f"the Trainer's scheduler is a {type(scheduler).__name__}, which LrPolicy cannot lead; set "
                "lr_scheduler_type='linear', whose values are then replaced"
            )
        self.schedule = self._laid_out(args, state, kwargs.get("train_dataloader"))
        base = float(scheduler.base_lrs[0])
        scheduler.lr_lambdas = [partial(_ratio, self.schedule, base)] * len(scheduler.base_lrs)
        # The rate of the step at hand was set by the values before.
        rates = [
            base_lr * self.schedule(scheduler.last_epoch) / base
            for base_lr in scheduler.base_lrs
        ]
        for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        scheduler._last_lr = rates

    def _laid_out(self, args: TrainingArguments, state: TrainerState, loader: Any) -> Schedule:
        course_of = getattr(loader, "course_of", None)
        if course_of is not None:
            schedule: Schedule = course_of(self.policy).lr
            return schedule
        try:
            epoch_steps = ceil(len(loader) / args.gradient_accumulation_steps)
        except TypeError:
            # Of a loader without a length the Trainer, too, takes the whole training for one epoch.
            epoch_steps = state.max_steps
        return laid_out_lr(self.policy, equal_steps(state.max_steps, epoch_steps))


def _ratio(schedule: Schedule, base_lr: float, step: int) -> float:
    # A partial of a function can be pickled, and the scheduler's state keeps nothing of it.
    return schedule(step) / base_lr
