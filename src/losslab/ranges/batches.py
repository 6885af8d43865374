"""The batches of a range test: data that can be iterated anew, samples counted, several batches to a step."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader, Dataset, IterableDataset

from losslab.training.step import Part

Count = Callable[[Any], int]
"""A batch -> its samples."""

STATED = ("num_graphs", "batch_size")
"""Where a batch of a library's own kind states how many samples it has."""
IMAGE_MAPS = (1, 3, 4)
"""Channels of an image, by which (channel, height, width) is told from a batch."""
COLUMNS = 4
"""A list of more tensors with several axes each may be a list of samples."""


def check_data(data: Any, argument: str = "data") -> None:
    """Raise TypeError or ValueError when no batches can be had from the data twice."""
    name = type(data).__name__
    if isinstance(data, Iterator):
        raise ValueError(
            f"`{argument}` is an iterator, which a test would use up; give what it iterates over"
        )
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        raise TypeError(
            f"`{argument}` (={name}) gives single samples; give batches: "
            "DataLoader(dataset, batch_size=64, shuffle=True)"
        )
    if isinstance(
        data, torch.Tensor | np.ndarray | str | bytes | Mapping | type
    ) or not isinstance(data, Iterable):
        raise TypeError(
            f"`{argument}` is a {name}, not batches; give an iterable of them, such as "
            "DataLoader(dataset, batch_size=64)"
        )


def length(data: Any) -> int | None:
    """Batches of an epoch; None where the data does not know."""
    try:
        return len(data)
    except (TypeError, NotImplementedError, AttributeError):
        return None


class CannotCount(ValueError):  # noqa: N818 - reads as a statement, like KeyboardInterrupt
    """The samples of a batch cannot be told."""


class Counter:
    """Counts the samples of batches: by the user's function, by what a loader says, or by a rule.

    The rule: a batch that states how many it has (`num_graphs`, `batch_size`) is believed. Else all its tensors must
    agree on their first axis; a list is a column of samples where its length is what agrees. Integer labels of one axis
    beside tensors whose second axis is as long say that the batch is time-first. A DataLoader's batch size decides
    between what is possible. What is not clear is refused, never guessed.

    Args:
        data: the batches.
        count: the user's function.
    """

    def __init__(self, data: Any, count: Count | None = None) -> None:
        self._count = count
        self._full = None if count else _loader_batch_size(data)
        self._is_time_first = False

    def __call__(self, batch: Any) -> int:
        """The samples of a batch.

        Raises:
            CannotCount: a ValueError, when they cannot be told.
        """
        if self._count is not None:
            return _checked(self._count(batch))
        stated = _stated(batch)
        if stated is not None:
            return stated
        if self._is_time_first:
            return _second_axis(batch) or self._refuse(batch, set())
        return self._by_rule(batch, _candidates(batch))

    def _by_rule(self, batch: Any, candidates: set[int]) -> int:
        """The samples of a batch that does not state them, from the numbers that its tensors allow."""
        full = self._full
        if full is not None and full in candidates:
            return full
        if full is not None and _second_axis(batch) == full:
            # Later batches, the short last one among them, have their samples along the same axis.
            self._is_time_first = True
            return full
        if len(candidates) != 1:
            return self._refuse(batch, candidates)
        samples = next(iter(candidates))
        # Less than the loader's batch size is a short batch; more is something else than samples.
        if full is not None and samples > full:
            return self._refuse(batch, candidates)
        return samples

    def _refuse(self, batch: Any, candidates: set[int]) -> int:
        found = (
            " or ".join(map(str, sorted(candidates)))
            or "its tensors do not agree on a first axis"
        )
        loader = f", and its DataLoader says {self._full}" if self._full else ""
        raise CannotCount(
            f"the samples of a batch, {outline(batch)}, cannot be counted for sure ({found}{loader}); "
            "give `count=lambda batch: ...`, which returns their number"
        )


def steps_of(
    data: Iterable[Any], parts: int, counter: Count, *, equal: bool, no_single: bool
) -> Iterator[list[Part]]:
    """The batches that each step accumulates, epoch after epoch.

    An epoch's last step takes what is left; where all are to be of one size, that is left out.

    Args:
        data: the batches of an epoch, iterated anew for each.
        parts: batches of a step.
        counter: of the samples of a batch.
        equal: have all steps of one size, and refuse batches of several sizes, but for the last of an epoch.
        no_single: leave out a single sample that follows larger batches: batch norm cannot train on it.
    Raises:
        ValueError: when an epoch has not as many batches, or not as many of one size.
    """
    is_first_epoch = True
    while True:
        groups = _grouped(_counted(data, counter, equal=equal, no_single=no_single), parts)
        first = next(groups, [])
        if not first and not is_first_epoch:
            raise ValueError(
                "`data` gave no batch when it was iterated again; give an iterable that begins anew each time"
            )
        if len(first) < parts:
            but_single = ", a last one of a single sample aside" if no_single else ""
            raise ValueError(
                f"a step takes {parts} batches, but `data` has {len(first)} in an epoch{but_single}"
            )
        size = _samples(first)
        if equal and size != parts * first[0].samples:
            raise ValueError(
                f"a step takes {parts} batches of {first[0].samples}, but `data` has {parts - 1} in an epoch, a last "
                f"one of {first[-1].samples} aside"
            )
        is_first_epoch = False
        yield first
        for group in groups:
            if not equal or _samples(group) == size:
                yield group


def outline(batch: Any) -> str:
    """The form of a batch in a few words.

    Example:
        >>> outline((torch.zeros(16, 3), [torch.zeros(2)] * 9))
        '(tensor of 16x3, list of 9)'
    """
    if isinstance(batch, torch.Tensor | np.ndarray):
        kind = "tensor" if isinstance(batch, torch.Tensor) else "array"
        return f"{kind} of {'x'.join(map(str, batch.shape)) or 'no axis'}"
    if isinstance(batch, Mapping):
        entries = [f"{key}: {_inner(value)}" for key, value in batch.items()]
    elif isinstance(batch, tuple | list):
        entries = list(map(_inner, batch))
    else:
        return f"a {type(batch).__name__}"
    more = ["..."] if len(entries) > COLUMNS else []
    inside = ", ".join(entries[:COLUMNS] + more)
    return f"{{{inside}}}" if isinstance(batch, Mapping) else f"({inside})"


def _inner(value: Any) -> str:
    if isinstance(value, torch.Tensor | np.ndarray):
        return outline(value)
    kind = type(value).__name__
    return f"{kind} of {len(value)}" if isinstance(value, tuple | list) else kind


def _counted(
    data: Iterable[Any], counter: Count, *, equal: bool, no_single: bool
) -> Iterator[Part]:
    """The batches of an epoch with their samples."""
    first = 0
    differing = 0
    for batch in data:
        samples = counter(batch)
        # A batch of another size may end an epoch; that it does not is known with the one after it.
        if equal and differing:
            raise ValueError(
                f"`data` gives batches of {first} and of {differing} samples; sizes are accumulated from equal ones: "
                "give batches of one size (an epoch's last one may be short)"
            )
        if no_single and samples == 1 and first > 1:
            continue
        if not first:
            first = samples
        elif samples != first:
            differing = samples
        yield Part(batch, samples)


def _samples(group: list[Part]) -> int:
    return sum(part.samples for part in group)


def _grouped(parts: Iterator[Part], count: int) -> Iterator[list[Part]]:
    while group := list(islice(parts, count)):
        yield group


def _checked(samples: Any) -> int:
    """What the user's function returned."""
    if isinstance(samples, bool) or not isinstance(samples, int | np.integer | torch.Tensor):
        raise TypeError(
            f"`count` returned a {type(samples).__name__}; it must return the number of samples, an int"
        )
    if samples < 1:
        raise ValueError(f"`count` returned {samples}; a batch has at least 1 sample")
    return int(samples)


def _loader_batch_size(data: Any) -> int | None:
    """The batch size that a DataLoader states, itself or by its batch sampler."""
    if not isinstance(data, DataLoader):
        return None
    size = data.batch_size
    if size is None:
        size = getattr(data.batch_sampler, "batch_size", None)
    return size if isinstance(size, int) and size > 0 else None


def _stated(batch: Any) -> int | None:
    """The number that a batch of graphs, of sequences or of a library's own kind states."""
    if isinstance(batch, PackedSequence):
        return int(batch.batch_sizes[0])
    for name in STATED:
        stated = batch.get(name) if isinstance(batch, Mapping) else getattr(batch, name, None)
        if isinstance(stated, torch.Size) and stated:
            return stated[0]
        if isinstance(stated, int) and not isinstance(stated, bool) and stated > 0:
            return stated
    return None


def _candidates(batch: Any) -> set[int]:
    """The numbers of samples that a batch may have."""
    entries = _entries(batch)
    candidates = _column(batch) if entries is None else _structure(entries)
    if isinstance(batch, tuple | list) and _may_be_samples(batch):
        candidates = (candidates or set()) | {len(batch)}
    return candidates or _beside_labels(batch)


def _beside_labels(batch: Any) -> set[int]:
    """The number of integer labels of one axis beside time-first tensors; empty where there are no such.

    There is one label a sample; other vectors, such as weights of the classes, tell nothing.
    """
    vectors = [leaf for leaf in _leaves(batch) if leaf.ndim == 1]
    labels = {len(vector) for vector in vectors if not vector.is_floating_point()}
    return labels if labels == {_second_axis(batch)} else set()


def _entries(value: Any) -> list[Any] | None:
    """The parts of a batch that is a structure; None for a tensor and for what has no parts."""
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, tuple | list):
        return list(value)
    if isinstance(value, torch.Tensor | np.ndarray | str | bytes | int | float | None):
        return None
    names = list(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        names += getattr(kind, "__slots__", ())
    return [getattr(value, name, None) for name in names if not name.startswith("_")]


def _structure(entries: list[Any] | None) -> set[int] | None:
    """The numbers on which all parts agree that say anything; None where none does."""
    columns = [column for column in map(_column, entries or []) if column is not None]
    return set.intersection(*columns) if columns else None


def _column(value: Any) -> set[int] | None:
    """The numbers of samples that one part may hold; None for a part that says nothing, such as a scalar."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return {value.shape[0]} if value.ndim else None
    stated = _stated(value)
    if stated is not None:
        return {stated}
    entries = _entries(value)
    if entries is None:
        return None
    if not isinstance(value, list | tuple) or not value:
        return _structure(entries)
    if all(isinstance(entry, Mapping) for entry in entries):
        return {len(value)}  # what is to be found in each image
    # Two inputs of 16 samples each, or two samples: the other parts decide.
    inner = _structure(entries) or set()
    return inner | {len(value)}


def _may_be_samples(batch: Sequence[Any]) -> bool:
    """Whether a list is perhaps the samples themselves, such as images."""
    if not batch or not all(isinstance(entry, torch.Tensor | np.ndarray) for entry in batch):
        return False
    if any(entry.ndim < 2 for entry in batch):
        return False  # columns of a table
    are_images = all(entry.ndim == 3 and entry.shape[0] in IMAGE_MAPS for entry in batch)
    return len(batch) > COLUMNS or are_images


def _leaves(batch: Any) -> Iterator[torch.Tensor]:
    if isinstance(batch, np.ndarray):
        if batch.dtype != object:
            yield torch.as_tensor(batch)
    elif isinstance(batch, torch.Tensor):
        yield batch
    else:
        for entry in _entries(batch) or []:
            yield from _leaves(entry)


def _second_axis(batch: Any) -> int | None:
    """The number of samples where all tensors have them along the second axis, those of one axis along it."""
    leaves = [leaf for leaf in _leaves(batch) if leaf.ndim]
    if all(leaf.ndim == 1 for leaf in leaves):
        return None
    lengths = {leaf.shape[0] if leaf.ndim == 1 else leaf.shape[1] for leaf in leaves}
    return lengths.pop() if len(lengths) == 1 else None
