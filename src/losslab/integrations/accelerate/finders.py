"""Range tests of a model, an optimizer and a loader, prepared by Accelerate or not."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import send_to_device
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

import losslab
from losslab.integrations.torch.loader import kept_options, with_batches
from losslab.ranges import BatchRange, CriticalBatch, LrRange
from losslab.ranges.losses import LossFn, UserLoss, cross_entropy
from losslab.tasks.losses import Loss


def find_lr(
    accelerator: Accelerator,
    model: nn.Module,
    data: Any,
    optimizer: Any,
    *,
    loss_fn: LossFn = cross_entropy,
    **options: Any,
) -> LrRange:
    """The learning rates between which the loss falls, as :func:`losslab.find_lr`.

    Precision, accumulation and device are the accelerator's; nothing of it, and of what it prepared, is changed.

    Args:
        accelerator: yours.
        model: prepared, or where the accelerator has its device.
        data: a loader, prepared or not, or any iterable of batches.
        optimizer: of the model, prepared or not, or a method by name.
        loss_fn: ``(model, batch) -> loss``, as in :func:`losslab.find_lr`.
        options: of :func:`losslab.find_lr`, such as ``clip_norm``.
    """
    own = {
        "accumulate": accelerator.gradient_accumulation_steps,
        "scaler": accelerator.scaler,
    }
    return losslab.find_lr(
        model,
        unprepared(data),
        inner(optimizer),
        loss_fn=OnDevice(accelerator, loss_fn),
        **own | options,
    )


def find_batch(
    accelerator: Accelerator,
    model: nn.Module,
    data: Any,
    optimizer: Any,
    *,
    sizes: Sequence[int],
    loss_fn: LossFn = cross_entropy,
    **options: Any,
) -> BatchRange | CriticalBatch:
    """The batch sizes between which the loss falls, as :func:`losslab.find_batch`.

    Args:
        accelerator: as in :func:`find_lr`.
        model: as there.
        data: as there; its batches are the smallest that are trained on.
        optimizer: as there.
        sizes: increasing multiples of the size of the data's batches.
        loss_fn: as there.
        options: of :func:`losslab.find_batch`.
    Raises:
        ValueError: in fp16, whose scaled gradients hide their noise.
    """
    check_unscaled(accelerator)
    found: BatchRange | CriticalBatch = losslab.find_batch(
        model,
        unprepared(data),
        inner(optimizer),
        sizes=sizes,
        loss_fn=OnDevice(accelerator, loss_fn),
        **options,
    )
    return found


class OnDevice(Loss):
    """A loss in the accelerator's precision, on a batch that is moved to its device."""

    def __init__(self, accelerator: Accelerator, loss_fn: LossFn) -> None:
        # Behind a function, into which a test does not look for what it is to put back.
        self.accelerator: Callable[[], Any] = lambda: accelerator
        self.loss = UserLoss(loss_fn)
        self.__name__ = self.loss.name

    def __call__(self, model: nn.Module, batch: Any) -> Any:
        """The loss and the accuracy, as a function of a user returns them."""
        accelerator = self.accelerator()
        batch = send_to_device(batch, accelerator.device)
        with accelerator.autocast():
            judged = self.loss(model, batch)
        return judged.loss, judged.outputs

    def weight(self, batch: Any) -> torch.Tensor | None:
        """As :class:`Loss` has it."""
        return self.loss.weight(batch)


def unprepared(data: Any) -> Any:
    """A plain loader of the same batches, whose order differs from seed to seed where it is drawn.

    An iteration of one of Accelerate's that is left midway would leave its trace in the accelerator.
    """
    if not isinstance(data, DataLoader) or not hasattr(data, "rng_types"):
        return data
    is_iterable = isinstance(data.dataset, IterableDataset)
    if is_iterable or data.batch_sampler is None:
        # No sampler deals batches out: samples come in the dataset's own order, or are batches themselves.
        sampler = None if is_iterable else data.sampler
        return DataLoader(
            data.dataset,
            data.batch_size,
            sampler=sampler,
            drop_last=data.drop_last,
            **kept_options(data),
        )
    batches: Any = data.batch_sampler
    # Accelerate's sampler draws the same order for every seed of a test; torch's follows the test's seeds. One of
    # several processes has another sampler around it, and keeps the order on which all agree.
    if type(getattr(batches, "sampler", None)).__name__ == "SeedableRandomSampler":
        shuffled = DataLoader(
            data.dataset, batches.batch_size, shuffle=True, drop_last=batches.drop_last
        )
        batches = shuffled.batch_sampler
    return with_batches(data, batches)


def check_unscaled(accelerator: Accelerator) -> None:
    """Raise ValueError where a scaler would hide the noise of gradients."""
    if accelerator.scaler is not None:
        raise ValueError(
            f"the Accelerator trains in {accelerator.mixed_precision}, whose scaled gradients hide their noise; "
            "find the batch size in 'bf16' or 'no'"
        )


def inner(optimizer: Any) -> Any:
    """The optimizer that Accelerate wrapped; any other that wraps one, such as Lookahead, is itself the one to test."""
    return optimizer.optimizer if isinstance(optimizer, AcceleratedOptimizer) else optimizer
