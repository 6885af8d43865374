"""A DataLoader like another, but for its batches."""

from typing import Any

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
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
)
"""Arguments of a DataLoader that do not say what its batches are."""


def with_batches(loader: DataLoader[Any], batch_sampler: BatchSampler) -> DataLoader[Any]:
    """A loader of the same dataset, collate function and workers, whose batches are those of the sampler.

    Raises:
        TypeError: for what is no DataLoader, or one of an iterable dataset, which has no samples to choose from.
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
    options = {name: getattr(loader, name) for name in KEPT if hasattr(loader, name)}
    # An empty name means none, but torch warns of any that is given.
    if not options.get("pin_memory_device"):
        options.pop("pin_memory_device", None)
    return DataLoader(loader.dataset, batch_sampler=batch_sampler, **options)


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
        TypeError: where the loader draws its samples in a way of its own, such as by weights.
    """
    return PolicyBatchSampler(
        loader.dataset,  # type: ignore[arg-type]
        batch_size,
        loader.drop_last,
        seed=seed,
        shuffle=is_shuffled(loader),
        rank=rank,
        replicas=replicas,
    )


def is_shuffled(loader: DataLoader[Any]) -> bool:
    """Whether a loader takes every sample once an epoch in a random order, and not in sequence.

    Raises:
        TypeError: where it does neither.
    """
    sampler = loader.sampler
    if type(loader.batch_sampler) is not BatchSampler:
        raise TypeError(
            f"the loader has a batch sampler of its own ({type(loader.batch_sampler).__name__}), which a batch policy "
            "would replace; give a loader with `batch_size` and `shuffle`"
        )
    if isinstance(sampler, SequentialSampler):
        return False
    # A subclass, a sample drawn twice or a part of the samples is an order that a policy would lose in silence.
    is_plain = type(sampler) is RandomSampler and not sampler.replacement
    if not is_plain or len(sampler) != len(loader.dataset):  # type: ignore[arg-type]
        raise TypeError(
            f"the loader draws its samples by a {type(sampler).__name__} of its own, which a batch policy would "
            "replace; give a loader with `shuffle=True` or without"
        )
    return True
