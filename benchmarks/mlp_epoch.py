"""Images a second of the MLP with Adam and L2: losslab against a plain DataLoader loop over PIL images.

Both train the same network on the same CIFAR-10 images in one process with the same threads, in turn, five times each.
Usage: python benchmarks/mlp_epoch.py [steps] [--keep]
"""

from time import perf_counter

import numpy as np
import torch
from kept import Found, arguments, markdown, measured_on, present, rows_beside
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from losslab import data
from losslab.models.mlp import mlp
from losslab.records import Steps
from losslab.spec import make_run
from losslab.training.loop import train
from losslab.training.state import new_state

BATCH, REPEATS = 128, 5
PLAIN = "DataLoader over PIL images"


class PilImages(Dataset[tuple[torch.Tensor, int]]):
    """CIFAR-10 as tutorials feed it: each image becomes a PIL image, a tensor and a normalised tensor, one by one.

    The operations are those of torchvision's CIFAR10, ToTensor and Normalize, written out because torchvision is not
    needed for anything else here.
    """

    def __init__(self, dataset: data.Dataset) -> None:
        self.images = np.ascontiguousarray(dataset.train_images.transpose(0, 2, 3, 1))
        self.labels = dataset.train_labels.tolist()
        self.mean, self.std = dataset.mean, dataset.std

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.normalize(self.to_tensor(Image.fromarray(self.images[index]))), self.labels[
            index
        ]

    def to_tensor(self, picture: Image.Image) -> torch.Tensor:
        pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True))
        pixels = pixels.view(picture.size[1], picture.size[0], len(picture.getbands()))
        return pixels.permute((2, 0, 1)).contiguous().to(dtype=torch.float32).div(255)

    def normalize(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.clone()
        mean, std = (
            torch.as_tensor(values, dtype=pixels.dtype) for values in (self.mean, self.std)
        )
        if (std == 0).any():
            raise ValueError("a deviation is zero")
        return pixels.sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))


def plain(images: PilImages, steps: int) -> float:
    """Images a second of the tutorial's loop."""
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
    batches = iter(DataLoader(images, batch_size=BATCH, shuffle=True))
    began = perf_counter()
    for _ in range(steps):
        pixels, labels = next(batches)
        loss = F.cross_entropy(model(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return steps * BATCH / (perf_counter() - began)


def ours(dataset: data.Dataset, steps: int) -> float:
    """Images a second of a losslab run, by its own clock."""
    fields = {
        "data": "cifar10",
        "model": "mlp",
        "optimizer": "adam",
        "lr": 1e-3,
        "weight_decay": 1e-4,
    }
    run = make_run({**fields, "batch": BATCH, "steps": steps, "evaluate": "end", "test": False})
    records = train(run, dataset=dataset, state=new_state(run, dataset))
    return (
        steps
        * BATCH
        / [record for record in records if isinstance(record, Steps)][-1].train_seconds
    )


def measure(steps: int) -> Found:
    """Images a second of both, repeat by repeat."""
    dataset = data.load("cifar10")
    images = PilImages(dataset)
    rates: dict[str, list[float]] = {"losslab": [], PLAIN: []}
    for _ in range(REPEATS):
        rates["losslab"].append(ours(dataset, steps))
        rates[PLAIN].append(plain(images, steps))
    return {
        "steps": steps,
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "images_a_second": rates,
    }


def table(found: Found) -> str:
    """A row for each, with the ratio to the plain loop, pair by pair."""
    values = found["images_a_second"]
    rows = rows_beside(values, PLAIN, ",.0f")
    headings = [
        f"the MLP with Adam, batch {found['batch']}",
        "images/s",
        "times the plain loop",
        "from, to",
    ]
    how = f"{found['threads']} threads, medians of {len(values[PLAIN])} repeats of {found['steps']} steps"
    return f"{markdown(headings, rows)}\n\n{measured_on(found, 'mlp_epoch', how)}"


def main() -> None:
    rest = arguments()
    present("mlp_epoch", measure(int(rest[0]) if rest else 300), table)


if __name__ == "__main__":
    main()
