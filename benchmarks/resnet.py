"""Training images a second of ResNet-44 on CIFAR-10 with crop, flip and cutout, and what augmenting takes of a step.

losslab, also in bf16 where the processor multiplies in it, against a plain eager loop in fp32: the same network,
channels first, fed by a DataLoader that transforms one image at a time. All train in one process with the same threads,
in turn, five times each.
Usage: python benchmarks/resnet.py [steps] [model] [--keep]
"""

import random
from functools import partial
from statistics import median
from time import perf_counter

import torch
from kept import Found, arguments, markdown, measured_on, present, rows_beside
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from losslab import data
from losslab.machine.memory import tune_memory
from losslab.machine.process import multiplies_fast
from losslab.models import build_model
from losslab.optimizers.groups import default_groups
from losslab.records import Steps
from losslab.spec import Run, make_run
from losslab.training.feed import image_parts
from losslab.training.loop import train
from losslab.training.parts import prepare
from losslab.training.state import new_state, usual_layout

BATCH, REPEATS, LR, DECAY = 64, 5, 0.1, 1e-4
PLAIN = "plain loop, DataLoader"


class Transformed(Dataset[tuple[torch.Tensor, int]]):
    """CIFAR-10 an image at a time: pad, crop, flip, normalise, cutout."""

    def __init__(self, dataset: data.Dataset) -> None:
        self.images = torch.from_numpy(dataset.train_images)
        self.labels = dataset.train_labels.tolist()
        self.mean, self.std = (
            torch.tensor(values).view(3, 1, 1) for values in (dataset.mean, dataset.std)
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        top, left, row, column = (random.randrange(bound) for bound in (9, 9, 32, 32))
        crop = F.pad(self.images[index], [4] * 4)[:, top : top + 32, left : left + 32]
        pixels = (crop.flip(2) if random.random() < 0.5 else crop).float().div_(255)
        pixels.sub_(self.mean).div_(self.std)[
            :, max(0, row - 8) : row + 8, max(0, column - 8) : column + 8
        ] = 0
        return pixels, self.labels[index]


def make(model: str, steps: int) -> Run:
    augment = ["pad_crop(padding=4)", "flip", "cutout(size=16)"]
    fields = {
        "data": "cifar10",
        "model": model,
        "optimizer": "sgd(momentum=0.9)",
        "lr": LR,
        "weight_decay": DECAY,
    }
    return make_run(
        {
            **fields,
            "batch": BATCH,
            "augment": augment,
            "steps": steps,
            "evaluate": "end",
            "test": False,
        }
    )


def ours(run: Run, dataset: data.Dataset) -> float:
    """Images a second of a losslab run, by its own clock."""
    records = train(run, dataset=dataset, state=new_state(run, dataset))
    return (
        BATCH
        * (run.steps or 0)
        / [record for record in records if isinstance(record, Steps)][-1].train_seconds
    )


def plain(model: nn.Module, loader: DataLoader[tuple[torch.Tensor, int]], steps: int) -> float:
    """Images a second of the tutorial's loop."""
    optimizer = torch.optim.SGD(default_groups(model, DECAY), lr=LR, momentum=0.9)
    batches = iter(loader)
    began = perf_counter()
    for _ in range(steps):
        pixels, labels = next(batches)
        loss = F.cross_entropy(model(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return BATCH * steps / (perf_counter() - began)


def augmenting(run: Run, dataset: data.Dataset, model: nn.Module) -> float:
    """Seconds in which a step's images are gathered, augmented and normalised."""
    images, seconds = prepare(run, dataset, usual_layout(model)).training, []
    turns = partial(torch.zeros, BATCH)
    for step in range(50):
        indices = torch.randperm(len(images))[:BATCH]
        began = perf_counter()
        for _ in image_parts(run, images, indices, turns, step):
            pass
        seconds.append(perf_counter() - began)
    return median(seconds)


def measure(steps: int, name: str) -> Found:
    """Images a second of each, repeat by repeat, and the seconds that augmenting takes of a step."""
    run = make(name, steps)
    dataset = data.load("cifar10")
    loader = DataLoader(Transformed(dataset), batch_size=BATCH, shuffle=True)
    model = build_model(run.model, input_shape=(3, 32, 32), classes=10)
    runs = {"losslab": run}
    if multiplies_fast("bf16"):
        runs["losslab, bf16"] = run.model_copy(update={"precision": "bf16"})
    rates: dict[str, list[float]] = {label: [] for label in (PLAIN, *runs)}
    for _ in range(REPEATS):
        rates[PLAIN].append(plain(model, loader, steps))
        for label, version in runs.items():
            rates[label].append(ours(version, dataset))
    return {
        "network": name,
        "steps": steps,
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "images_a_second": rates,
        "augmenting_seconds": augmenting(run, dataset, model),
    }


def table(found: Found) -> str:
    """A row for each, with the ratio to the plain loop, repeat by repeat."""
    values = found["images_a_second"]
    rows = rows_beside(values, PLAIN, ",.0f")
    share = (
        found["augmenting_seconds"]
        * median(found["images_a_second"]["losslab"])
        / found["batch"]
    )
    headings = [
        f"{found['network']}, batch {found['batch']}",
        "images/s",
        "times the plain loop",
        "from, to",
    ]
    repeats = f"medians of {len(values[PLAIN])} repeats of {found['steps']} steps"
    augmented = f"augmenting takes {100 * share:.1f} % of losslab's step in fp32"
    how = f"{found['threads']} threads, {repeats}; {augmented}"
    return f"{markdown(headings, rows)}\n\n{measured_on(found, 'resnet', how)}"


def main() -> None:
    rest = arguments()
    tune_memory()
    steps = int(rest[0]) if rest else 20
    present("resnet", measure(steps, rest[1] if len(rest) > 1 else "resnet-44"), table)


if __name__ == "__main__":
    main()
