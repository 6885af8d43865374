"""Small networks, data and tasks that tests name by import path, in this process and in workers."""

import os
import random
import signal
import time
from collections.abc import Iterator
from threading import Timer
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn
from torch.utils.data import Dataset

from losslab.data import TaskData
from losslab.data.dataset import Dataset as ImageDataset
from losslab.errors import LosslabError
from losslab.machine.memory import CACHES


def tiny_data(images: int = 230, side: int = 6, channels: int = 3) -> ImageDataset:
    """Images whose class is told by which third of them is bright; learnable in a few steps."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, images + 60)
    pixels = generator.integers(0, 120, (images + 60, channels, side, side), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:, label * side // 3 : (label + 1) * side // 3] += 100
    return ImageDataset(
        name="tiny",
        title="Tiny",
        classes=("top", "middle", "bottom"),
        mean=(0.3,) * channels,
        std=(0.2,) * channels,
        train_images=pixels[:images],
        train_labels=labels[:images],
        test_images=pixels[images:],
        test_labels=labels[images:],
        sample=False,
        source="made here",
    )


class NanAfter(nn.Module):
    """A linear network whose output becomes NaN at its k-th training forward pass."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.linear = nn.Linear(108, 3)
        self.left = steps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.left -= self.training
        return self.linear(images.flatten(1)) * (float("nan") if self.left < 0 else 1.0)


def nan_after(*, steps: int = 3) -> nn.Module:
    return NanAfter(steps)


class Spoiled(nn.Module):
    """A linear network whose loss or gradient becomes NaN or infinite at its k-th training step, counted from 0."""

    def __init__(self, kind: str, value: float, step: int) -> None:
        super().__init__()
        self.linear = nn.Linear(108, 3)
        self.kind, self.value, self.left = kind, value, step

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.linear(images.flatten(1))
        self.left -= self.training
        if self.left == -1 and self.kind == "gradient":
            logits.register_hook(lambda gradient: gradient * self.value)
        elif (
            self.left == -1
        ):  # a class whose logit is -inf, where an image is of it, has an infinite loss
            logits = logits - torch.tensor([self.value, 0.0, 0.0])
        return logits


def spoiled(*, kind: str, value: str, step: int) -> nn.Module:
    return Spoiled(kind, float(value), step)


class Hungry(nn.Linear):
    """A linear network that asks for more memory than there is at one moment of its life."""

    def __init__(self, when: str) -> None:
        super().__init__(108, 3)
        self.when, self.step = when, 0
        if when == "building":
            self.ask()

    def ask(self) -> None:
        torch.empty(10**12)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        at_third = self.training and self.step == 3
        if self.when == "faked CUDA" and at_third:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        if (
            (self.when == "training" and at_third)
            or (self.when == "evaluation" and not self.training)
            or (self.when == "more than 32 images" and self.training and len(images) > 32)
        ):
            self.ask()
        self.step += self.training
        return super().forward(images.flatten(1))


def hungry(*, when: str) -> nn.Module:
    return Hungry(when)


def conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(16, 3),
    )


class Remembering(nn.Module):
    """A linear network that scales its outputs by what it keeps in buffers outside of its state."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(108, 3)
        self.register_buffer("scale", torch.ones(()), persistent=False)
        self.register_buffer("seen", torch.zeros(1).expand(2), persistent=False)
        self.register_buffer("last", None, persistent=False)
        self.register_buffer("edges", torch.eye(2).to_sparse(), persistent=False)
        self.register_buffer("angles", torch.ones(2, dtype=torch.complex128), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.scale *= 0.9
            self.seen = torch.cat([self.seen, self.scale.reshape(1)])
            self.last = self.seen[-2:] / 2
            if not hasattr(self, "late"):  # as masks and tables of angles often are
                self.register_buffer("late", torch.ones(()), persistent=False)
            self.late = self.late / 2
        last = 0 if self.last is None else self.last.sum()
        late = getattr(self, "late", 0)
        return self.linear(images.flatten(1)) * (self.scale + self.seen.mean() + last + late)


class Looked(nn.Module):
    """A model of whole numbers from 0 to 6, whose table of weights has sparse gradients, or dense ones."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 3, sparse=sparse)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.table(numbers).sum(1)


class Doubled(nn.Module):
    """A network in float64, without batch norm or dropout: its batches may be taken apart without a trace."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(96, 3)
        ).double()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images.double())


def doubled() -> nn.Module:
    return Doubled()


class Slow(nn.Module):
    """A layer that passes its input on after a moment."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        time.sleep(0.005)
        return images


class Repeatable(nn.Linear):
    """A layer that works only where torch was asked for algorithms that repeat their bits."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert torch.are_deterministic_algorithms_enabled()
        return super().forward(images.flatten(1))


def repeatable() -> nn.Module:
    return Repeatable(108, 3)


def slow_net(*, inputs: int = 108, classes: int = 3, hidden_dropout: float = 0.0) -> nn.Module:
    layers = (nn.Linear(inputs, 8), nn.Dropout(hidden_dropout), nn.Linear(8, classes))
    return nn.Sequential(Slow(), nn.Flatten(), *layers)


def counting(count: int) -> Iterator[int]:
    yield from range(count)


def its_device(*, device: str = "cpu") -> Iterator[str]:
    yield device


def repeats_bits() -> Iterator[bool]:
    yield torch.are_deterministic_algorithms_enabled()


def failing() -> Iterator[int]:
    yield 1
    raise LosslabError("as intended")


def broken() -> Iterator[int]:
    yield 1
    raise ZeroDivisionError("by mistake")


def killed() -> Iterator[int]:
    yield 1
    os.kill(os.getpid(), signal.SIGKILL)


def killed_later(value: Any) -> Iterator[Any]:
    """Tell the process, which is killed soon: while it sends a large value, or when the task has ended."""
    yield os.getpid()
    Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()
    yield value


def waiting() -> Iterator[int]:
    yield os.getpid()
    time.sleep(600)


def caches() -> Iterator[list[str | None]]:
    yield [os.environ.get(name) for name in CACHES]


def threads() -> Iterator[int]:
    yield torch.get_num_threads()


def cores() -> Iterator[tuple[int, list[int]]]:
    """Threads and cores of a worker, which waits so that another one takes the next task."""
    yield torch.get_num_threads(), psutil.Process().cpu_affinity()
    time.sleep(2)


def wants_one_channel() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(64, 3))


def mean_output(model: nn.Module, batch: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
    """A loss of a user's own."""
    return factor * model(batch).mean()


def largest_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A metric of a user's own."""
    return (outputs.flatten() - targets.flatten()).abs().max()


def broken_metric(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    raise LookupError("no such thing")


def large_metric(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.empty(10**15).sum()


broken_metric.direction = large_metric.direction = "lower"  # type: ignore[attr-defined]


def columns_error(outputs: torch.Tensor, targets: dict[str, torch.Tensor]) -> torch.Tensor:
    """A metric of targets that are a mapping."""
    return (outputs - targets["right"]).abs().mean()


columns_error.direction = "lower"  # type: ignore[attr-defined]


def table(rows: int = 400, seed: int = 0) -> TaskData:
    """Eight numbers a row, whose noisy sum of squares is the target."""
    generator = np.random.default_rng(seed)
    inputs = generator.standard_normal((rows, 8)).astype("float32")
    targets = (np.square(inputs).sum(1) + 0.1 * generator.standard_normal(rows)).astype(
        "float32"
    )
    cut = rows * 3 // 4
    return TaskData(train=(inputs[:cut], targets[:cut]), test=(inputs[cut:], targets[cut:]))


class Rows(Dataset[Any]):
    """The same table, read row by row; with noise, each reading draws its own."""

    def __init__(self, noise: bool, part: slice) -> None:
        inputs, targets = (
            np.concatenate(column) for column in zip(table().train, table().test, strict=True)
        )
        self.inputs, self.targets = inputs[part], targets[part]
        self.noise = noise

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = torch.from_numpy(self.inputs[index])
        if self.noise:
            inputs = inputs + torch.randn(8) + np.random.standard_normal() + random.random()
        return inputs, torch.tensor(self.targets[index])


def rows() -> TaskData:
    return TaskData(train=Rows(False, slice(0, 300)), test=Rows(False, slice(300, None)))


def noisy_rows() -> TaskData:
    return TaskData(train=Rows(True, slice(0, 300)), test=Rows(False, slice(300, None)))


def tokens(sequences: int = 160, length: int = 12) -> TaskData:
    """Sequences that count upwards modulo 17 from a random start, padded to one length behind a mask."""
    generator = np.random.default_rng(0)
    starts = generator.integers(0, 17, (sequences, 1))
    ids = (starts + np.arange(length)) % 17
    lengths = generator.integers(4, length + 1, (sequences, 1))
    mask = (np.arange(length) < lengths).astype("int64")
    return TaskData(train={"input_ids": ids, "attention_mask": mask})


class Reader(nn.Module):
    """A two-layer transformer on tokens, with a causal mask and a mask of padding."""

    def __init__(self, width: int = 16, vocabulary: int = 17) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        length = input_ids.shape[1]
        future = torch.ones(length, length, dtype=torch.bool, device=input_ids.device).triu(1)
        hidden = self.layers(
            self.embedding(input_ids), mask=future, src_key_padding_mask=attention_mask == 0
        )
        return self.head(hidden)


def reader() -> nn.Module:
    return Reader()


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, arXiv:2302.06675, Algorithm 2."""

    def __init__(
        self, params: Any, lr: float = 1e-4, betas: Any = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weights in group["params"]:
                momentum = self.state[weights].setdefault("momentum", torch.zeros_like(weights))
                first, second = group["betas"]
                weights.mul_(1 - group["lr"] * group["weight_decay"])
                weights.add_(
                    torch.lerp(weights.grad, momentum, first).sign_(), alpha=-group["lr"]
                )
                momentum.lerp_(weights.grad, 1 - second)


class Shaking(torch.optim.SGD):
    """Steps to which numpy's noise is added."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        super().step(closure)
        for group in self.param_groups:
            for weights in group["params"]:
                weights.add_(float(np.random.rand()), alpha=1e-3)


def masked_loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross-entropy of the next token where the mask is one, as a user writes it."""
    logits, targets = model(**batch)[:, :-1], batch["input_ids"][:, 1:]
    counted = batch["attention_mask"][:, 1:] == 1
    return nn.functional.cross_entropy(logits[counted], targets[counted])


masked_loss.weight = lambda batch: batch["attention_mask"][:, 1:].sum()  # type: ignore[attr-defined]


def squared_error(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return (model(batch[0])[:, 0] - batch[1]).square().mean()


def still_reader() -> nn.Module:
    model = Reader()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for layer in model.layers.layers:
        layer.self_attn.dropout = 0.0
    return model


def table_network() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))


def narrow() -> nn.Module:
    """A network that takes rows of three numbers."""
    return nn.Linear(3, 1)


def cannot_be_built() -> nn.Module:
    """A factory that fails."""
    raise ZeroDivisionError("as intended")


def loaded_rows() -> TaskData:
    return TaskData(
        train=torch.utils.data.DataLoader(Rows(False, slice(0, 300)), num_workers=1)
    )


def deaf_at_its_end() -> Iterator[int]:
    """A task that has begun its last piece of work when it is asked to stop, and ends as it should."""
    asked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    yield 1
    while not asked:
        time.sleep(0.01)
    signal.signal(signal.SIGTERM, before)


def noisy_loss(model: nn.Module, batch: Any) -> torch.Tensor:
    """A loss that draws from every global state, in evaluations, too."""
    noise = float(torch.rand(())) + float(np.random.rand()) + random.random()
    return nn.functional.cross_entropy(model(batch[0]), batch[1]) + noise


class Drawn(Dataset[Any]):
    """Samples that are drawn anew at each reading."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return torch.rand(3), index % 2


def with_noise(samples: list[Any]) -> Any:
    """A batch to which numpy's noise is added."""
    inputs, targets = zip(*samples, strict=True)
    noise = torch.from_numpy(np.random.rand(len(inputs), 3)).float()
    return torch.stack(inputs) + noise, torch.tensor(targets)
