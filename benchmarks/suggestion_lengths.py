"""How the suggested learning rate depends on the length of the range test: four tasks, five optimizers, four lengths.

Regret is the loss that 300 steps at the suggestion come to, read off a grid of three rates a decade by interpolation
over log lr, less the lowest of that grid; a loss above that of the first step counts as that. One seed, one thread.
Usage: python benchmarks/suggestion_regret.py lengths OUT.json [task ...]
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losslab import data
from losslab.models.lenet import lenet5
from losslab.models.resnet import resnet
from losslab.optimizers import choose
from losslab.ranges import Trace, find_lr_range
from losslab.ranges.losses import UserLoss, cross_entropy
from losslab.ranges.race import PER_DECADE, STEPS, race
from losslab.ranges.trial import train_briefly
from losslab.schedules import exponential_ramp
from losslab.training.step import Part, Stepper

OPTIMIZERS = ("sgd(momentum=0.9)", "adam", "rmsprop", "adagrad", "adadelta")
LENGTHS = (60, 100, 300, 1000)
START, END = 1e-9, 10.0
LOWEST, HIGHEST = -4, 1
"""Powers of ten between which the grid lies."""
BATCHES, BATCH = 320, 16

Batches = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Task:
    """A network and its batches, always in the same order."""

    model: Callable[[], nn.Module]
    batches: Batches
    loss: Callable[[nn.Module, Any], Any] = cross_entropy


class Transformer(nn.Module):
    """Two causal layers that predict the next of 16 symbols."""

    def __init__(self, width: int = 32, length: int = 16) -> None:
        super().__init__()
        self.symbols = nn.Embedding(16, width)
        self.places = nn.Parameter(torch.zeros(length, width))
        layer = nn.TransformerEncoderLayer(
            width, 2, 64, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 16)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

    def forward(self, symbols: Tensor) -> Tensor:
        """Logits (batch, symbol, length)."""
        hidden = self.layers(
            self.symbols(symbols) + self.places, mask=self.mask, is_causal=True
        )
        logits: Tensor = self.head(hidden).transpose(1, 2)
        return logits


def next_symbol(model: nn.Module, batch: Any) -> Tensor:
    """The cross-entropy of the next symbol, mean over a batch."""
    return F.cross_entropy(model(batch[0]), batch[1])


def of_images(name: str, side: int) -> Batches:
    """Normalised images, averaged down to a side."""
    dataset = data.load(name)
    count = BATCHES * BATCH
    pixels = torch.from_numpy(np.array(dataset.train_images[:count])).float()
    images = F.adaptive_avg_pool2d((pixels - pixels.mean()) / pixels.std(), side)
    labels = torch.from_numpy(np.array(dataset.train_labels[:count]))
    return list(zip(images.split(BATCH), labels.split(BATCH), strict=True))


def of_table() -> Batches:
    """Twenty columns, five classes by a random network; a tenth of the labels are random."""
    draws = torch.Generator().manual_seed(0)
    rows = torch.randn(BATCHES * BATCH, 20, generator=draws)
    hidden = torch.tanh(rows @ torch.randn(20, 16, generator=draws))
    labels = (hidden @ torch.randn(16, 5, generator=draws)).argmax(1)
    is_noise = torch.rand(len(rows), generator=draws) < 0.1
    labels = torch.where(is_noise, torch.randint(5, labels.shape, generator=draws), labels)
    return list(zip(rows.split(BATCH), labels.split(BATCH), strict=True))


def of_symbols() -> Batches:
    """Chains of 16 symbols, each drawn by the two before it."""
    draws = torch.Generator().manual_seed(0)
    chances = torch.softmax(2 * torch.randn(16, 16, 16, generator=draws), -1)
    chain = torch.randint(16, (BATCHES * BATCH, 2), generator=draws)
    for _ in range(15):
        following = chances[chain[:, -2], chain[:, -1]]
        chain = torch.cat([chain, torch.multinomial(following, 1, generator=draws)], 1)
    pairs = zip(chain[:, :16].split(BATCH), chain[:, 1:].split(BATCH), strict=True)
    return list(pairs)


def perceptron() -> nn.Module:
    """Of the table."""
    return nn.Sequential(
        nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5)
    )


TASKS: dict[str, Callable[[], Task]] = {
    "LeNet-5": lambda: Task(lambda: lenet5(), of_images("fashion-mnist", 28)),
    "ResNet-8": lambda: Task(
        lambda: resnet(depth=8, input_shape=(3, 8, 8)), of_images("cifar10", 8)
    ),
    "MLP": lambda: Task(perceptron, of_table()),
    "transformer": lambda: Task(Transformer, of_symbols(), next_symbol),
}


def train(task: Task, optimizer: str, lrs: Sequence[float]) -> Trace:
    """The trace of a training whose weights and order are always the same."""
    torch.manual_seed(0)
    model = task.model()
    stepper = Stepper(
        network=model,
        optimizer=choose(optimizer).build([{"params": list(model.parameters())}], lr=1.0),
        loss=UserLoss(task.loss),
    )
    epochs = 1 + len(lrs) // len(task.batches)
    steps = [[Part(batch, BATCH)] for batch in task.batches * epochs]
    return train_briefly(stepper, steps, lrs).trace(list(lrs), seed=0)


def measure(task: Task, optimizer: str) -> dict[str, Any]:
    """Suggestions at every length, by the ramp alone and by the race, and their regret."""

    @cache
    def at(lr: float, steps: int = STEPS) -> list[Trace]:
        return [train(task, optimizer, [lr] * steps)]

    indices = range(LOWEST * PER_DECADE, HIGHEST * PER_DECADE + 1)
    rates = [float(10 ** (index / PER_DECADE)) for index in indices]
    first = at(rates[0])[0].loss[0]
    grid = [min(at(lr)[0].closing_loss()[0], first) for lr in rates]
    lengths = []
    for steps in LENGTHS:
        rate = exponential_ramp(START, END, steps)
        trace = train(task, optimizer, [rate(step) for step in range(steps)])
        found = find_lr_range([trace])
        raced = race(found.lr_max, at) if found.lr_max else None
        suggestions = {"ramp": found.suggestion, "race": raced.winner if raced else None}
        regrets = {
            name: float(np.interp(np.log10(lr), np.log10(rates), grid)) - min(grid)
            if lr
            else None
            for name, lr in suggestions.items()
        }
        ends = {"lr_min": found.lr_min, "lr_max": found.lr_max}
        lengths.append({"steps": steps, **ends, "suggestion": suggestions, "regret": regrets})
    return {"rates": rates, "losses": grid, "lengths": lengths}


def main(out: str, *names: str) -> None:
    """Measure and keep; tasks that are not named stay as they were measured before."""
    torch.set_num_threads(1)
    path = Path(out)
    began = process_time()
    for name in names or TASKS:
        task = TASKS[name]()
        rows = {optimizer: measure(task, optimizer) for optimizer in OPTIMIZERS}
        kept = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(kept | {name: rows}, indent=1) + "\n")
        print(f"{name}: {process_time() - began:.0f} s of a processor")
