"""The samples of a batch are counted rightly or not at all."""

from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from own_network import plain, tensors
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import losslab
from losslab.integrations.torch import PolicyBatchSampler
from losslab.ranges.batches import CannotCount, Counter, steps_of
from losslab.training.step import Part, Stepper


def floats(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape)


def whole(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape, dtype=torch.long)


@dataclass
class Pair:
    inputs: torch.Tensor
    targets: torch.Tensor


Named = namedtuple("Named", "x y")


class Slots:
    __slots__ = ("x", "y")

    def __init__(self) -> None:
        self.x, self.y = floats(16, 4), whole(16)


IMAGES = [torch.zeros(3, 8 + index, 8) for index in range(16)]
COUNTED: dict[str, Any] = {
    "pair": (floats(16, 4), whole(16)),
    "default collate": [floats(16, 4), whole(16)],
    "mapping": {"image": floats(16, 3, 8, 8), "label": whole(16)},
    "nested mapping": {
        "inputs": {"ids": whole(16, 9), "mask": whole(16, 9)},
        "labels": whole(16),
    },
    "two inputs": ((floats(16, 4), floats(16, 7)), whole(16)),
    "object": SimpleNamespace(x=floats(16, 4), y=whole(16), name="batch"),
    "dataclass": Pair(floats(16, 4), whole(16)),
    "slots": Slots(),
    "named tuple": Named(floats(16, 4), whole(16)),
    "a scalar first": {"step": torch.tensor(7), "x": floats(16, 4), "y": whole(16)},
    "a scalar before a pair": (torch.tensor(0.5), floats(16, 4), whole(16)),
    "texts": (["a"] * 16, whole(16)),
    "list of images": (IMAGES, [{"boxes": floats(2, 4)}] * 16),
    "list of images and empty targets": ([*floats(16, 3, 8, 8)], [{}] * 16),
    "tuple of images": (tuple(IMAGES), whole(16)),
    "images alone": floats(16, 3, 8, 8),
    "columns of a table": [floats(16)] * 30,
    "arrays": (np.zeros((16, 4)), np.zeros(16)),
    "time first": (floats(35, 16, 8), whole(16)),
    "graphs": SimpleNamespace(
        x=floats(90, 4), edge_index=whole(2, 300), y=floats(16, 1), num_graphs=16
    ),
    "graphs beside labels": (SimpleNamespace(nodes=floats(90, 4), batch_size=16), whole(16)),
    "a library's own": SimpleNamespace(data=floats(90, 4), batch_size=torch.Size([16, 2])),
    "packed sequences": (
        pack_sequence([floats(3 + i, 2) for i in range(16)], enforce_sorted=False),
        whole(16),
    ),
}


@pytest.mark.parametrize("form", COUNTED)
def test_sixteen_samples_are_sixteen(form: str) -> None:
    assert Counter([])(COUNTED[form]) == 16


def test_things_in_images_are_no_samples() -> None:
    things = [{"boxes": floats(3, 4), "labels": whole(3)}] * 2
    assert Counter([])(([floats(3, 8, 8), floats(3, 9, 9)], things)) == 2


UNCLEAR: dict[str, Any] = {
    "graphs that do not say": {
        "x": floats(90, 4),
        "edge_index": whole(2, 300),
        "y": floats(16, 1),
    },
    "time first, nothing else": (floats(35, 16, 8), floats(20, 16, 8)),
    "samples in a list": IMAGES,
    "few images in a list": IMAGES[:2],
    "no tensor": {"a": 1, "b": None},
    "one scalar": torch.tensor(1.0),
    "weights of classes": (floats(16, 3, 8, 8), floats(3)),
    "lists of lists": ((floats(16, 4), floats(16, 4)), (floats(16), floats(16))),
}


@pytest.mark.parametrize("form", UNCLEAR)
def test_what_is_unclear_is_refused_with_what_to_write(form: str) -> None:
    with pytest.raises(CannotCount, match="give `count=lambda batch: ") as error:
        Counter([])(UNCLEAR[form])
    assert "\n" not in str(error.value)
    assert Counter([], count=lambda batch: 16)(UNCLEAR[form]) == 16


class Sequences(Dataset[Any]):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        return floats(35, 8), whole(35)


def time_first(samples: list[Any]) -> Any:
    inputs, targets = zip(*samples, strict=True)
    return torch.stack(inputs, 1), torch.stack(targets, 1)


def test_the_batch_size_of_a_loader_tells_time_first_tensors_and_its_short_last_batch() -> None:
    data = DataLoader(Sequences(), batch_size=16, collate_fn=time_first)
    counter = Counter(data)
    assert [counter(batch) for batch in data] == [16, 16, 8]
    counter = Counter(DataLoader(Sequences(), batch_size=16))
    assert [counter(batch) for batch in DataLoader(Sequences(), batch_size=16)] == [16, 16, 8]


def test_more_samples_than_a_loader_says_are_refused() -> None:
    data = DataLoader(Sequences(), batch_size=16, collate_fn=lambda samples: floats(32, 4))
    with pytest.raises(CannotCount, match="32, and its DataLoader says 16"):
        Counter(data)(next(iter(data)))


@pytest.mark.parametrize(
    ("count", "message"),
    [(lambda b: 0, "at least 1"), (lambda b: 1.5, "a float"), (lambda b: None, "NoneType")],
)
def test_a_count_that_is_none_is_refused(count: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Counter([], count=count)(floats(2, 2))


def objects(size: int) -> list[Any]:
    images, labels = tensors().tensors
    parts = zip(images.split(size), labels.split(size), strict=True)
    return [SimpleNamespace(x=x, y=y, lengths=None) for x, y in parts if len(y) == size]


def test_a_size_trains_as_many_samples_as_it_says() -> None:
    seen = 0

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        nonlocal seen
        seen += len(batch.x) * model[1].weight.requires_grad
        return F.cross_entropy(model(batch.x), batch.y)

    losslab.find_batch(
        plain(),
        objects(16),
        "adam",
        loss_fn=loss_fn,
        sizes=[16, 32],
        lr=0.01,
        steps=10,
        seeds=1,
    )
    noise = 2 * len(objects(16)) * 16  # fewer than 16 batches: all of them, after each size
    assert seen == 10 * 16 + 10 * 32 + noise


def test_an_epoch_that_does_not_divide_ends_with_a_smaller_step() -> None:
    found = losslab.find_lr(
        plain(), objects(16), "adam", loss_fn=of_object, accumulate=5, steps=10, seeds=1
    )
    assert found.setting is not None
    assert found.setting.batch_sizes == [80]


def of_object(model: nn.Module, batch: Any) -> torch.Tensor:
    return F.cross_entropy(model(batch.x), batch.y)


def test_batches_of_several_sizes_are_no_measure_of_size() -> None:
    data = DataLoader(
        tensors(), batch_sampler=PolicyBatchSampler(207, lambda step: 16 if step % 3 else 12)
    )
    with pytest.raises(ValueError, match="`data` gives batches of 12 and of 16 samples"):
        losslab.find_batch(plain(), data, "adam", sizes=[12, 24], lr=0.01, steps=10, seeds=1)
    assert losslab.find_lr(plain(), data, "adam", steps=10, seeds=1).mode == "ramp"


def test_find_lr_needs_no_count_unless_it_accumulates() -> None:
    images = [(floats(4, 3, 6, 6), floats(3))] * 4  # with a weight for each colour

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        return model(batch[0]).square().mean()

    found = losslab.find_lr(plain(), images, "adam", loss_fn=loss_fn, steps=10, seeds=1)
    assert found.setting is not None
    assert found.setting.batch_sizes == []
    for call in (
        lambda **options: losslab.find_lr(
            plain(), images, "adam", loss_fn=loss_fn, accumulate=2, **options
        ),
        lambda **options: losslab.find_batch(
            plain(), images, "adam", loss_fn=loss_fn, sizes=[4, 8], lr=0.1, **options
        ),
    ):
        with pytest.raises(CannotCount):
            call(steps=5, seeds=1)
        assert call(steps=5, seeds=1, count=lambda batch: len(batch[0])).setting is not None


class Stream(IterableDataset[Any]):
    """Without a length."""

    def __iter__(self) -> Iterator[Any]:
        yield from tensors()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_without_a_length_works_in_both_finders(workers: int) -> None:
    data = DataLoader(Stream(), batch_size=16, num_workers=workers)
    assert losslab.find_lr(plain(), data, "adam", steps=30, seeds=1).curve.loss
    found = losslab.find_batch(plain(), data, "adam", sizes=[16, 64], lr=0.01, steps=6, seeds=1)
    assert found.curve.batch_size == [16, 64]
    with pytest.raises(ValueError, match="an epoch has 14 batches of 16"):
        losslab.find_batch(plain(), data, "adam", sizes=[16, 4096], lr=0.01, steps=6, seeds=1)


def test_data_that_is_used_up_after_an_epoch_is_refused() -> None:
    class Once:
        def __init__(self) -> None:
            self.batches = 3

        def __iter__(self) -> Iterator[Any]:
            while self.batches:
                self.batches -= 1
                yield floats(4, 108), whole(4)

    with pytest.raises(ValueError, match="gave no batch when it was iterated again"):
        losslab.find_lr(plain(), Once(), "adam", steps=9, seeds=1)


def test_a_last_batch_of_one_is_left_out_where_batch_norm_trains() -> None:
    images, labels = (tensor[:33] for tensor in tensors().tensors)
    data = [(images[start : start + 16], labels[start : start + 16]) for start in (0, 16, 32)]
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    sizes: list[int] = []

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        sizes.append(len(batch[1]))
        return F.cross_entropy(model(batch[0]), batch[1])

    losslab.find_lr(model, data, "adam", loss_fn=loss_fn, steps=6, seeds=1)
    assert set(sizes) == {16}
    losslab.find_batch(
        model, data, "adam", loss_fn=loss_fn, sizes=[16, 32], lr=0.01, steps=6, seeds=1
    )
    assert set(sizes) == {16}
    model[2].eval()  # frozen batch norm takes one
    losslab.find_lr(model, data, "adam", loss_fn=loss_fn, steps=6, seeds=1)
    assert set(sizes) == {16, 1}


def groups(samples: int, parts: int, *, equal: bool) -> list[int]:
    """Samples of the steps of an epoch of batches of 16."""
    batches = [floats(size) for size in [16] * (samples // 16) + [samples % 16] if size]
    steps = steps_of(batches, parts, len, equal=equal, no_single=False)
    per_epoch = -(-len(batches) // parts)
    return [sum(part.samples for part in group) for group in islice(steps, per_epoch)]


@pytest.mark.parametrize(
    ("samples", "expected"), [(96, [32, 32, 32]), (90, [32, 32, 26]), (98, [32, 32, 32, 2])]
)
def test_steps_of_equal_batches_are_of_one_size(samples: int, expected: list[int]) -> None:
    assert groups(samples, 2, equal=False) == expected
    assert groups(samples, 2, equal=True) == [32] * len(expected)
    whole = samples // 16
    assert groups(samples, whole, equal=True) == [16 * whole] * len(
        range(0, samples, 16 * whole)
    )


def test_a_size_that_an_epoch_does_not_quite_hold_is_refused_before_anything_trains() -> None:
    trained = 0

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        nonlocal trained
        trained += 1
        return F.cross_entropy(model(batch[0]), batch[1])

    data = DataLoader(tensors(), batch_size=16)
    count, last = len(data), len(tensors()) % 16
    assert last
    with pytest.raises(ValueError, match=f"an epoch has {count - 1} batches of 16"):
        losslab.find_batch(
            plain(), data, "adam", loss_fn=loss_fn, sizes=[16, 16 * count], lr=0.01, steps=3
        )
    assert trained == 0
    with pytest.raises(
        ValueError, match=rf"takes {count} batches of 16, .* a last one of {last} "
    ):
        next(steps_of(data, count, Counter(data), equal=True, no_single=False))


@pytest.mark.parametrize("mode", ["steps", "branch"])
def test_a_point_of_a_batch_size_is_of_steps_of_that_size(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Of 66 samples a step of 64 leaves a batch of 2."""
    sizes: list[int] = []
    step = Stepper.step

    def recorded(self: Stepper, parts: list[Part], samples: int, **options: Any) -> Any:
        sizes.append(samples)
        return step(self, parts, samples, **options)

    monkeypatch.setattr(Stepper, "step", recorded)
    data = DataLoader(TensorDataset(*(tensor[:66] for tensor in tensors().tensors)), 16)
    options = {"sizes": [16, 32, 64], "lr": 0.01, "steps": 8, "seeds": 1, "mode": mode}
    losslab.find_batch(plain(), data, "adam", **options)
    counts = [8, 4, 2] if mode == "branch" else [8, 8, 8]
    assert sizes == [16] * counts[0] + [32] * counts[1] + [64] * counts[2]
