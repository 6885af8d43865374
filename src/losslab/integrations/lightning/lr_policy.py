"""A learning-rate policy as a callback of Lightning's Trainer."""

from math import inf
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from losslab.integrations.lightning.batch_policy import BatchPolicy, batches_done
from losslab.integrations.torch.course import Course, PolicyLike, equal_steps, laid_out_lr
from losslab.ranges.trial import lr_ratios, set_lrs
from losslab.schedules import Schedule


class LrPolicy(Callback):  # type: ignore[misc]  # untyped where Lightning is not installed
    """Set the learning rate of every optimizer step by a policy, laid out over the steps of the training.

    Beside a :class:`BatchPolicy` the steps are those of its batch sizes, so that both end together. The step is the
    Trainer's ``global_step``: a training that is resumed goes on where it was.

    Args:
        policy: ``"exp_range(1e-4, 1e-2)"``, a number, or a schedule of :mod:`losslab.schedules`; of the first parameter
            group, to which the others keep the ratio that ``configure_optimizers`` gave them.
    Attributes:
        schedule: the learning rate by step; known from the beginning of the training.
        total_steps: optimizer steps over which it is laid out.
    Raises:
        ValueError: where the module has a scheduler of its own, several optimizers, or no known length; where a
            training goes on that a :class:`BatchPolicy` lays out otherwise than it was begun.
    """

    def __init__(self, policy: PolicyLike) -> None:
        self.policy = policy
        self.schedule: Schedule | None = None
        self.total_steps = 0
        self._ratios: list[float] = []

    def on_train_start(self, trainer: Trainer, _module: LightningModule) -> None:
        """Lay the policy out."""
        _check(trainer)
        self._lay_out(trainer)
        self._ratios = lr_ratios(trainer.optimizers[0])

    def on_train_batch_start(self, trainer: Trainer, *_arguments: Any) -> None:
        """Set the rate of the step that this batch is part of."""
        assert self.schedule is not None
        lr = self.schedule(trainer.global_step)
        set_lrs(trainer.optimizers[0], [lr * ratio for ratio in self._ratios])

    def _lay_out(self, trainer: Trainer) -> None:
        batch_policies = [own for own in trainer.callbacks if isinstance(own, BatchPolicy)]
        if batch_policies:
            course = batch_policies[0].course(self.policy)
            _check_step(trainer, course)
            self.schedule, self.total_steps = course.lr, course.total_steps
            return
        steps = trainer.estimated_stepping_batches
        if not 0 < steps < float("inf"):
            raise ValueError(
                f"the training has {steps} steps; give the Trainer `max_epochs` or `max_steps`"
            )
        self.total_steps = int(steps)
        # Of a loader without a length, whose epochs are not known, the training is one.
        epoch_steps = self.total_steps
        if trainer.num_training_batches < inf:
            # The last step of an epoch takes what is left of the batches that a step accumulates.
            batches = int(trainer.num_training_batches)
            epoch_steps = -(-batches // trainer.accumulate_grad_batches)
        self.schedule = laid_out_lr(self.policy, equal_steps(self.total_steps, epoch_steps))


def _check(trainer: Trainer) -> None:
    if len(trainer.optimizers) != 1:
        raise ValueError(
            f"the module has {len(trainer.optimizers)} optimizers; LrPolicy sets the rate of one"
        )
    if trainer.lr_scheduler_configs:
        name = type(trainer.lr_scheduler_configs[0].scheduler).__name__
        raise ValueError(
            f"configure_optimizers returns a scheduler ({name}) beside LrPolicy, and both set the learning rate; "
            "leave one out"
        )


def _check_step(trainer: Trainer, course: Course) -> None:
    """Raise ValueError where the rate, which goes by the step, and the size, by the epoch, would part."""
    course.batch_sampler.set_epoch(trainer.current_epoch)
    step = course.batch_sampler.state_dict()["current"]["step"] + batches_done(trainer)
    if trainer.global_step != step:
        raise ValueError(
            f"the training goes on at step {trainer.global_step}, which is step {step} of the batch policy over "
            f"max_epochs={trainer.max_epochs}: it was begun with another max_epochs, policy or data; give those, or "
            "begin anew with a new Trainer"
        )
