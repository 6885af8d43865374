"""A learning rate and batches laid out over a training with Accelerate, each process with its share."""

from typing import Any

from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader

from losslab.integrations import torch as plain
from losslab.integrations.torch.course import Course, PolicyLike
from losslab.integrations.torch.loader import (
    check_loader,
    is_shuffled,
    own_batches,
    sampler_for,
    with_batches,
)


def lay_out(
    accelerator: Accelerator,
    loader: DataLoader[Any],
    *,
    lr: PolicyLike,
    batch: PolicyLike,
    epochs: float,
    seed: int = 0,
) -> tuple[DataLoader[Any], Course]:
    """Lay out a learning rate and a batch size, and give a prepared loader of those batches.

    Each batch of the policy is split among the processes, so that a step of all of them is one step of the course. Do
    not prepare the loader again.

    Args:
        accelerator: whose processes and device are meant; it must not accumulate.
        loader: of your dataset, prepared or not; only its batches are replaced.
        lr: policy of the learning rate, as :func:`losslab.lay_out`.
        batch: policy of the batch of all processes together.
        epochs: length of the training.
        seed: of the order.
    Returns:
        The loader, which moves its batches to the device, and the course; iterate over the loader once an epoch.
    Raises:
        ValueError: where the accelerator accumulates; a policy that cannot be laid out.
        TypeError: for a loader whose samples have an order of their own.
    """
    if accelerator.gradient_accumulation_steps != 1:
        raise ValueError(
            f"the Accelerator accumulates {accelerator.gradient_accumulation_steps} batches a step, which a policy of "
            "batch sizes does not know; set gradient_accumulation_steps=1"
        )
    check_loader(loader)
    course = plain.lay_out(
        lr=lr,
        batch=batch,
        dataset_size=loader.dataset,  # type: ignore[arg-type]
        epochs=epochs,
        seed=seed,
        drop_last=own_batches(loader).drop_last,
        shuffle=is_shuffled(loader),
    )
    sampler = sampler_for(
        loader,
        course.batch_sampler.batch_size,
        seed=seed,
        rank=accelerator.process_index,
        replicas=accelerator.num_processes,
    )
    # The batches are each process's own already: Accelerate is to deal none out, and only to move them.
    prepared = prepare_data_loader(
        with_batches(loader, sampler),
        accelerator.device,
        num_processes=1,
        process_index=0,
        put_on_device=True,
    )
    return prepared, course
