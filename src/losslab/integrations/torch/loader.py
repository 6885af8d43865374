"""A DataLoader like another, but for its batches."""

from typing import Any

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    SequentialSampler,
)

from losslab.integrations.torch.sampler import PolicyBatchSampler
from losslab.schedules import Schedule

KEPT = (
    "num_workers",
    "collate_fn",
    "pin_memory",
    "timeout",
    "worker_init_fn",
    "multiprocessing_context",
    "generator",
    "prefetch_factor",
    "persistent_workers",
    "pin_memory_device",
    "in_order",
)
"""Arguments of a DataLoader that do not say what its batches are."""
SHUFFLED = ("RandomSampler", "SeedableRandomSampler")
"""Samplers of torch and Accelerate that draw a permutation of all samples."""


def with_batches(loader: DataLoader[Any], batch_sampler: BatchSampler) -> DataLoader[Any]:
    """A loader of the same dataset, collate function and workers, whose batches are those of the sampler.

    Raises:
        TypeError: as :func:`check_loader`.
    """
    check_loader(loader)
    return DataLoader(loader.dataset, batch_sampler=batch_sampler, **kept_options(loader))


def kept_options(loader: DataLoader[Any]) -> dict[str, Any]:
    """Arguments of a DataLoader, but for those that say what its batches are."""
    options = {name: getattr(loader, name) for name in KEPT if hasattr(loader, name)}
    # An empty name means none, but torch warns of any that is given.
    if not options.get("pin_memory_device"):
        options.pop("pin_memory_device", None)
    return options


def check_loader(loader: object) -> None:
    """Refuse what has no samples to choose from.

    Raises:
        TypeError: for what is no DataLoader, or one of an iterable dataset.
    """
    if not isinstance(loader, DataLoader):
        raise TypeError(
            f"the training data is a {type(loader).__name__}; a batch policy needs one torch DataLoader"
        )
    if isinstance(loader.dataset, IterableDataset):
        raise TypeError(
            "the training data is an IterableDataset, whose samples cannot be chosen; a batch policy needs a dataset "
            "with a length"
        )


def sampler_for(
    loader: DataLoader[Any],
    batch_size: Schedule | int,
    *,
    seed: int,
    rank: int | None = None,
    replicas: int = 1,
) -> PolicyBatchSampler:
    """A sampler of a loader's samples, shuffled and dropping the short batch as the loader does.

    Raises:
        TypeError: as :func:`check_loader`; where the loader draws its samples in a way of its own, such as by weights.
    """
    check_loader(loader)
    return PolicyBatchSampler(
        loader.dataset,  # type: ignore[arg-type]
        batch_size,
        own_batches(loader).drop_last,
        seed=seed,
        shuffle=is_shuffled(loader),
        rank=rank,
        replicas=replicas,
    )


def own_batches(loader: DataLoader[Any]) -> BatchSampler:
    """The batch sampler of a loader as its user gave it.

    Raises:
        TypeError: for one of another kind, whose batches a policy would lose in silence.
    """
    outer = loader.batch_sampler
    # Accelerate deals the batches of one sampler out to processes by another around it.
    batches = getattr(outer, "batch_sampler", outer)
    if type(batches) is not BatchSampler:
        raise TypeError(
            f"the loader has a batch sampler of its own ({type(batches).__name__}), which a batch policy would "
            "replace; give a loader with `batch_size` and `shuffle`"
        )
    return batches


def is_shuffled(loader: DataLoader[Any]) -> bool:
    """Whether a loader takes every sample once an epoch in a random order, and not in sequence.

    Raises:
        TypeError: where it does neither.
    """
    sampler = own_batches(loader).sampler
    if isinstance(sampler, SequentialSampler):
        return False
    # A subclass, a sample drawn twice or a part of the samples is an order that a policy would lose in silence.
    is_plain = type(sampler).__name__ in SHUFFLED and not sampler.replacement  # type: ignore[attr-defined]
    if not is_plain or len(sampler) != len(loader.dataset):  # type: ignore[arg-type]
        raise TypeError(
            f"the loader draws its samples by a {type(sampler).__name__} of its own, which a batch policy would "
            "replace; give a loader with `shuffle=True` or without"
        )
    return True
