"""What the harness of an lr range test costs, against a bare loop and against pytorch-lr-finder.

All train LeNet-5 for so many steps of 64 on the same Fashion-MNIST images, in one process with one thread, in turn.
CPU seconds are taken, which other work on the machine disturbs less.

- bare loop: batches in memory, nothing but training and keeping the losses
- find_lr: the same network, optimizer and batches
- losslab find lr: the same training as a run (images as bytes, channels last)
- pytorch-lr-finder: over a DataLoader of the same tensors; and of PIL images, a transform each, as tutorials feed it

Usage: python benchmarks/range_test.py [steps] [repeats] [--keep]
"""

import contextlib
import io
import sys
from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any

import numpy as np
import torch
from kept import Found, arguments, is_there, markdown, measured_on, present, rows_beside
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from losslab import data, find_lr
from losslab.models.lenet import lenet5
from losslab.ranges import find_lr_range
from losslab.ranges.run_traces import train_trace
from losslab.ranges.runs import lr_runs
from losslab.schedules import exponential_ramp

Batch = tuple[torch.Tensor, torch.Tensor]
BARE, PEER = "bare loop", "torch-lr-finder"
START, END, BATCH = 1e-7, 1e-1, 64
"""The ramp stays where no loss diverges, so that all train equally many steps."""


def model_and_optimizer() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = lenet5()
    return model, torch.optim.SGD(model.parameters(), lr=START)


def bare(batches: list[Batch], steps: int) -> int:
    """The least that trains a ramp and keeps its losses."""
    model, optimizer = model_and_optimizer()
    lr, losses = exponential_ramp(START, END, steps), []
    for step in range(steps):
        images, labels = batches[step % len(batches)]
        optimizer.param_groups[0]["lr"] = lr(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return len(losses)


def ours(batches: list[Batch], steps: int) -> int:
    model, optimizer = model_and_optimizer()
    return len(
        find_lr(model, batches, optimizer, start=START, end=END, steps=steps, seeds=1).curve.lr
    )


def as_run(_batches: list[Batch], steps: int) -> int:
    fields = {
        "data": "fashion-mnist",
        "model": "lenet5",
        "optimizer": "sgd",
        "batch": BATCH,
        "steps": steps,
    }
    (run,) = lr_runs(fields, start=START, end=END, seeds=1)
    *_, trace = train_trace(run, data.load("fashion-mnist"))
    return len(find_lr_range([trace]).curve.lr)


class PilImages(Dataset[tuple[torch.Tensor, int]]):
    """A PIL image at a time, made a tensor and normalised."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images = [
            Image.fromarray((image[0] * 128 + 128).byte().numpy()) for image in images
        ]
        self.labels = labels.tolist()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(np.array(self.images[index])).float()[
            None
        ] / 128 - 1, self.labels[index]


def lr_finder(
    batches: list[Batch], steps: int, source: Callable[..., Any] = TensorDataset
) -> int:
    """pytorch-lr-finder as its README uses it."""
    from torch_lr_finder import LRFinder

    dataset = source(*(torch.cat(column) for column in zip(*batches, strict=True)))
    model, optimizer = model_and_optimizer()
    finder = LRFinder(model, optimizer, torch.nn.CrossEntropyLoss(), device="cpu")
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        loader = DataLoader(dataset, batch_size=BATCH, shuffle=True)
        finder.range_test(loader, end_lr=END, num_iter=steps, diverge_th=1e9)
    return len(finder.history["loss"])


def measure(steps: int, repeats: int) -> Found:
    """CPU seconds of each way, repeat by repeat."""
    dataset = data.load("fashion-mnist")
    images = torch.from_numpy(dataset.train_images[: 200 * BATCH].copy()).float() / 128 - 1
    labels = torch.from_numpy(dataset.train_labels[: 200 * BATCH].copy())
    batches = list(zip(images.split(BATCH), labels.split(BATCH), strict=True))
    ways: dict[str, Callable[[list[Batch], int], Any]] = {
        BARE: bare,
        "`find_lr`": ours,
        "`losslab find lr`": as_run,
    }
    if is_there("torch_lr_finder", PEER):
        ways["pytorch-lr-finder, a DataLoader of tensors"] = lr_finder
        ways["pytorch-lr-finder, of PIL images"] = partial(lr_finder, source=PilImages)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(batches, 20)
    for _ in range(repeats):
        for name, way in ways.items():
            began = process_time()
            done = way(batches, steps)
            seconds[name].append(process_time() - began)
            assert done >= 0.95 * steps, f"{name} trained {done} of {steps} steps"
    return {"steps": steps, "batch": BATCH, "seconds": seconds}


def table(found: Found) -> str:
    """A row for each way, with the ratio to the bare loop, repeat by repeat."""
    values = found["seconds"]
    rows = rows_beside(values, BARE, ".2f")
    headings = [
        f"{found['steps']} steps of {found['batch']}, LeNet-5",
        "CPU seconds",
        "times the bare loop",
        "from, to",
    ]
    how = f"one thread, medians of {len(values[BARE])} repeats"
    return f"{markdown(headings, rows)}\n\n{measured_on(found, 'range_test', how)}"


def main() -> None:
    rest = arguments()
    torch.set_num_threads(1)
    steps, repeats = (int(each) for each in [*rest, *("500", "5")[len(rest) :]])
    found, whole = measure(steps, repeats), "torch_lr_finder" in sys.modules
    present("range_test", found, table, packages=[PEER] if whole else [], is_whole=whole)


if __name__ == "__main__":
    main()
