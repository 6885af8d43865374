"""Range tests from what a Transformers Trainer has: its model, collator, loss, precision and optimizer."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import Trainer

import losslab
from losslab.integrations.accelerate.finders import check_unscaled
from losslab.integrations.transformers.ready import ready
from losslab.ranges import BatchRange, CriticalBatch, LrRange
from losslab.tasks.losses import Judged, Loss


def find_lr(trainer: Trainer, *, write_back: bool = False, **options: Any) -> LrRange:
    """The learning rates between which the loss of a Trainer's model falls, as :func:`losslab.find_lr`.

    Collator, loss, label smoothing, precision, accumulation (by tokens where the model's loss is), clipping and
    optimizer are the Trainer's; callbacks are not called, nothing is logged, and nothing of the Trainer is changed.

    Args:
        trainer: before or after training.
        write_back: set ``trainer.args.learning_rate`` to the suggestion, where a range is found; an optimizer that
            exists already keeps its rate.
        options: of :func:`losslab.find_lr`, such as ``start``, ``end``, ``steps``, ``seeds``.
    Raises:
        ValueError: where DeepSpeed or FSDP own the model.
    """
    args = trainer.args
    own = {
        # 0 means no clipping to a Trainer.
        "clip_norm": args.max_grad_norm or None,
        "accumulate": args.gradient_accumulation_steps,
        "scaler": trainer.accelerator.scaler,
        "count": _samples,
    }
    with ready(trainer) as (model, loader, optimizer):
        found = losslab.find_lr(
            model, loader, optimizer, loss_fn=TrainerLoss(trainer), **own | options
        )
    if write_back and found.found:
        args.learning_rate = found.suggestion
    return found


def find_batch(
    trainer: Trainer, *, sizes: Sequence[int], **options: Any
) -> BatchRange | CriticalBatch:
    """The batch sizes between which the loss of a Trainer's model falls, as :func:`losslab.find_batch`.

    Args:
        trainer: as in :func:`find_lr`; its learning rate is used unless ``lr`` is given.
        sizes: increasing multiples of the samples of a batch, ``per_device_train_batch_size``.
        options: of :func:`losslab.find_batch`.
    Raises:
        ValueError: as :func:`find_lr`, and in fp16, whose scaled gradients hide their noise.
    """
    check_unscaled(trainer.accelerator)
    own: dict[str, Any] = {"count": _samples, "clip_norm": trainer.args.max_grad_norm or None}
    with ready(trainer) as (model, loader, optimizer):
        found: BatchRange | CriticalBatch = losslab.find_batch(
            model,
            loader,
            optimizer,
            loss_fn=TrainerLoss(trainer),
            sizes=sizes,
            **own | options,
        )
        return found


class TrainerLoss(Loss):
    """The loss of a Trainer, with its weights: the tokens that count, where the model's loss is a mean over those."""

    def __init__(self, trainer: Trainer) -> None:
        # Behind a function, into which a test does not look for what it is to put back.
        self.trainer: Callable[[], Any] = lambda: trainer
        self.__name__ = "compute_loss"

    def __call__(self, model: nn.Module, batch: Any) -> Judged:
        """As :class:`Loss` has it."""
        trainer = self.trainer()
        inputs = trainer._prepare_inputs(batch)
        items = self.weight(inputs)
        with trainer.accelerator.autocast(), trainer.compute_loss_context_manager():
            # With its own count the loss is the mean of this batch, which the step weighs by the same count. Of a
            # batch without an item it is 0, and no 0 / 0.
            counted = None if items is None else items.clamp(min=1)
            loss = trainer.compute_loss(model, inputs, num_items_in_batch=counted)
        return Judged(loss.mean())

    def weight(self, batch: Any) -> torch.Tensor | None:
        """As :class:`Loss` has it."""
        trainer = self.trainer()
        items = trainer._get_num_items_in_batch([batch], trainer.args.device)
        return None if items is None else torch.as_tensor(items)


def _samples(batch: Any) -> int:
    """Rows of a collated batch: the length of its first tensor."""
    for value in batch.values():
        if isinstance(value, torch.Tensor) and value.ndim:
            return len(value)
    raise ValueError("a batch of the collator has no tensor; give `count`")
