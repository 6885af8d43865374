"""Parts of a user's data: on the device where they are tensors, else read by workers in a fixed order."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, default_collate

from losslab.data.batches import Images
from losslab.data.splitting import VALIDATION_FRACTION, split
from losslab.data.task_data import TaskData
from losslab.errors import InvalidInput
from losslab.randomness import seeded_wholly
from losslab.tasks.trees import as_tensors, leaves, mapped, sample_count


class Selection(NamedTuple):
    """The samples of a batch; a sample's own random numbers depend on its epoch and on which of its copies it is."""

    epoch: int
    positions: torch.Tensor
    """In a part, int64 (sample,)."""
    copies: torch.Tensor | None = None
    """The number of each copy, int64 (sample,); 0 for all where None."""


FEW_CLASSES = 1000
"""Targets of at most so many values are held out stratified."""
EVALUATION_EPOCH = -1
"""The epoch of samples that are read for an evaluation."""


@dataclass(frozen=True)
class Tensors:
    """Samples that live on the device, a tree of tensors."""

    tree: Any

    @property
    def device(self) -> torch.device:
        """Where they live."""
        return next(leaves(self.tree)).device

    def __len__(self) -> int:
        return sample_count(self.tree)

    def batches(self, selections: Iterable[Selection]) -> Iterator[Any]:
        """A batch for each selection, gathered on the device."""
        for selection in selections:
            yield _gathered(self.tree, selection.positions)


def _gathered(tree: Any, positions: torch.Tensor) -> Any:
    return mapped(lambda leaf: leaf.index_select(0, positions), tree)


@dataclass(frozen=True)
class Read:
    """Samples of a map-style dataset, read ahead by worker processes and collated.

    Attributes:
        dataset: of all samples.
        positions: those of this part in it.
        collate: what makes a batch of a list of samples.
        workers: processes that read; 0 reads in this one. It changes no sample and no order.
        seed: of the random numbers that the dataset draws for a sample.
        device: where batches go.
    """

    dataset: "Dataset[Any]"
    positions: NDArray[np.int64]
    collate: Callable[[list[Any]], Any]
    workers: int
    seed: int
    device: torch.device

    def __len__(self) -> int:
        return len(self.positions)

    def batches(self, selections: Iterable[Selection]) -> Iterator[Any]:
        """A batch for each selection, read ahead by the workers."""
        loader: DataLoader[Any] = DataLoader(
            _Seeded(self.dataset, self.seed),
            batch_sampler=_Keys(self.positions, selections),
            collate_fn=_Collated(self.collate, self.seed),
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # else torch's global generator would be drawn from
        )
        for batch in loader:
            yield mapped(lambda leaf: leaf.to(self.device, non_blocking=True), batch)


Key = tuple[int, int, int]
"""Epoch, position in the dataset and number of the copy of a sample."""


@dataclass(frozen=True)
class _Keys:
    """The requests of a DataLoader to its workers: lists of (epoch, position in the dataset, number of the copy)."""

    positions: NDArray[np.int64]
    selections: Iterable[Selection]

    def __iter__(self) -> Iterator[list[Key]]:
        for epoch, positions, copies in self.selections:
            indices = self.positions[positions.cpu().numpy()].tolist()
            numbers = [0] * len(indices) if copies is None else copies.tolist()
            yield [(epoch, *key) for key in zip(indices, numbers, strict=True)]


class _Seeded(Dataset[Any]):
    """A dataset that draws, for each sample, random numbers of (seed, epoch, position, copy), in whichever process."""

    def __init__(self, dataset: "Dataset[Any]", seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __getitem__(self, key: Key) -> tuple[Key, Any]:
        epoch, index, copy = key
        which = f", copy {copy}" if copy else ""
        # Users' transforms draw from torch's, Python's or numpy's global state.
        with seeded_wholly(self.seed, f"sample of epoch {epoch}{which}", index):
            return key, self.dataset[index]


@dataclass(frozen=True)
class _Collated:
    """A collate function that draws, for each batch, random numbers of (seed, epoch, first sample)."""

    collate: Callable[[list[Any]], Any]
    seed: int

    def __call__(self, samples: list[tuple[Key, Any]]) -> Any:
        (epoch, index, copy), _ = samples[0]
        with seeded_wholly(self.seed, f"batch of epoch {epoch}, copy {copy}", index):
            return self.collate([sample for _, sample in samples])


SomeSamples = Images | Tensors | Read
"""Images keep their own way to a batch, which augments."""


@dataclass(frozen=True)
class Parts:
    """The training samples, a fixed sample of these, those held out and the test set; the last two may be missing."""

    training: SomeSamples
    fit: SomeSamples
    validation: SomeSamples | None
    test: SomeSamples | None


def part_positions(
    data: TaskData, *, validation_fraction: float, train_samples: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide `train` into positions to train on and to hold out, none of the latter where validation data is given.

    Targets that are few classes are held out stratified; else each sample is as likely as another.

    Raises:
        InvalidInput: when the fraction or the number does not suit the data.
    """
    # Counted first: inputs and targets of different numbers are refused, which labels alone do not show.
    samples = count_samples(data.train, "train")
    labels = class_labels(data.train)
    if labels is None:
        labels = np.zeros(samples, np.int64)
    fraction = validation_fraction if data.validation is None else 0.0
    # None is held out, as 0 says; the default says nothing.
    if data.validation is not None and validation_fraction not in (0, VALIDATION_FRACTION):
        raise InvalidInput(
            f"validation_fraction (={validation_fraction}) must be left out: {data.name or 'the data'} names its own "
            f"{count_samples(data.validation, 'validation'):,} validation samples"
        )
    return split(labels, validation_fraction=fraction, train_images=train_samples)


def class_labels(part: Any) -> NDArray[np.int64] | None:
    """The targets of a pair (inputs, targets) where they are classes: whole numbers, one a sample, of few values."""
    if not isinstance(part, tuple | list) or len(part) != 2:
        return None
    targets = as_tensors(part[1]) if isinstance(part[1], torch.Tensor | np.ndarray) else None
    if targets is None or targets.ndim != 1 or targets.is_floating_point():
        return None
    labels = targets.cpu().numpy().astype(np.int64)
    return labels if len(np.unique(labels)) <= FEW_CLASSES else None


def count_samples(part: Any, name: str) -> int:
    """Count the samples of a part.

    Raises:
        InvalidInput: when it is neither tensors of one length nor a dataset that has one, or has no samples.
    """
    dataset: Any = part.dataset if isinstance(part, DataLoader) else part
    try:
        samples = len(dataset) if _is_map_style(dataset) else sample_count(as_tensors(part))
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"`{name}` of the data must be tensors or arrays, alone or in a tuple or mapping, or a map-style Dataset: "
            f"{error}"
        ) from error
    if not samples:
        raise InvalidInput(f"`{name}` of the data has no samples; give one or more")
    return samples


def samples_of(
    part: Any,
    name: str,
    positions: NDArray[np.int64] | None,
    *,
    seed: int,
    device: torch.device,
    workers: int,
) -> Tensors | Read:
    """Get a part of the data, or some of its positions, ready to give batches.

    Args:
        part: as in TaskData.
        name: of the part, for messages.
        positions: those that are used; all when None.
        seed: of what a dataset draws.
        device: where batches are wanted.
        workers: processes that read a dataset, where it brings no number of its own.
    """
    selected = np.arange(count_samples(part, name)) if positions is None else positions
    if isinstance(part, DataLoader):
        return Read(
            part.dataset, selected, part.collate_fn, part.num_workers or workers, seed, device
        )
    if _is_map_style(part):
        return Read(part, selected, default_collate, workers, seed, device)
    index = torch.from_numpy(selected)
    return Tensors(mapped(lambda leaf: leaf.to(device), _gathered(as_tensors(part), index)))


def shape_of_inputs(part: Any) -> tuple[int, ...] | None:
    """The shape of one sample's inputs, where they are one tensor: the only one, or the first of a pair."""
    tree = _sample(part)
    inputs = tree[0] if isinstance(tree, tuple) and len(tree) == 2 else tree
    return tuple(inputs.shape[1:]) if isinstance(inputs, torch.Tensor) else None


def _sample(part: Any) -> Any:
    """A tree of the form of a batch of the part: the first sample of what is read, else all."""
    if not _is_map_style(part) and not isinstance(part, DataLoader):
        return as_tensors(part)
    samples = samples_of(
        part, "train", np.zeros(1, np.int64), seed=0, device=torch.device("cpu"), workers=0
    )
    assert isinstance(samples, Read)
    return first_batch(replace(samples, workers=0), 1)


def outputs_for(data: TaskData) -> int | None:
    """How many outputs a network for the data has, where that follows from it: its classes, or columns of targets."""
    count_samples(data.train, "train")  # none, or different numbers, are refused here already
    if data.classes:
        return len(data.classes)
    sample = _sample(data.train)
    if (
        not isinstance(sample, tuple)
        or len(sample) != 2
        or not isinstance(sample[1], torch.Tensor)
    ):
        return None
    targets = sample[1]
    if targets.is_floating_point():
        return 1 if targets.ndim == 1 else int(targets.shape[1])
    labels = class_labels(data.train)
    return None if labels is None else int(labels.max()) + 1


def content_sha256(data: TaskData) -> str:
    """A hash of all samples that are tensors, 16 hexadecimal digits; of what is read one by one their number alone."""
    digest = sha256()
    for name, part in (
        ("train", data.train),
        ("validation", data.validation),
        ("test", data.test),
    ):
        if part is None:
            continue
        digest.update(f"{name} {count_samples(part, name)}".encode())
        if not _is_map_style(part) and not isinstance(part, DataLoader):
            for leaf in leaves(as_tensors(part)):
                digest.update(f"{leaf.dtype} {tuple(leaf.shape)}".encode())
                digest.update(
                    leaf.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
                )
    return digest.hexdigest()[:16]


def advice_on_types(reason: str) -> str:
    """What to do where torch says that inputs are float64, unlike the weights; nothing of other errors."""
    is_of_types = re.search("double.*float", reason, re.IGNORECASE | re.DOTALL)
    return '; give float32 arrays (.astype("float32"))' if is_of_types else ""


def describe(data: TaskData) -> str:
    """The shapes and types of a training batch, for messages."""
    part = data.train
    if _is_map_style(part) or isinstance(part, DataLoader):
        return f"samples of a {type(part).__name__}"
    shapes = [
        f"{str(leaf.dtype).removeprefix('torch.')} {tuple(leaf.shape)}"
        for leaf in leaves(as_tensors(part))
    ]
    return ", ".join(shapes)


def _is_map_style(part: Any) -> bool:
    # `__getitems__` is how torch's own loader knows a dataset that is no subclass of its Dataset: Hugging Face's.
    is_dataset = isinstance(part, Dataset) or hasattr(part, "__getitems__")
    return hasattr(part, "__getitem__") and hasattr(part, "__len__") and is_dataset


def first_batch(samples: Tensors | Read, count: int) -> Any:
    """The first few samples as a batch."""
    positions = torch.arange(min(count, len(samples)))
    return next(islice(samples.batches([Selection(EVALUATION_EPOCH, positions)]), 1))
