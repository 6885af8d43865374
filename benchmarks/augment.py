"""Crop, flip, normalise and cutout of 64 x M CIFAR-10 images: losslab against one image at a time and kornia.

One image at a time is done in three ways: a pipeline of transforms on tensors and one on PIL images, which draw from
torch one number after the other as torchvision's do, and a loop on tensors pared down to the fewest operations, with
Python's own random numbers. Kornia, skipped where it is not installed, is given floats; the others are given bytes.

All take turns in one process with one thread that keeps freed memory, as training does; times are processor time, so
that other work on the machine does not count. Usage: python benchmarks/augment.py [rounds] [--keep]
"""

import random
import sys
from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
from kept import Found, arguments, is_there, markdown, measured_on, present
from PIL import Image, ImageOps

from losslab import data
from losslab.augment import compose, cutout, flip, normalize, pad_crop, repeat
from losslab.machine.memory import tune_memory

BATCH, PADDING, SIDE, HALF, CALLS = 64, 4, 32, 8, 5
COPIES = (1, 4, 10)

Work = Callable[[], object]


def below(bound: int) -> int:
    return int(torch.randint(bound, (1,)))


def crop_tensor(image: torch.Tensor) -> torch.Tensor:
    padded = torch.nn.functional.pad(image, [PADDING] * 4)
    top, left = below(2 * PADDING + 1), below(2 * PADDING + 1)
    return padded[:, top : top + SIDE, left : left + SIDE]


def flip_tensor(image: torch.Tensor) -> torch.Tensor:
    return image.flip(2) if torch.rand(1) < 0.5 else image


def crop_pil(image: Image.Image) -> Image.Image:
    padded = ImageOps.expand(image, PADDING)
    top, left = below(2 * PADDING + 1), below(2 * PADDING + 1)
    return padded.crop((left, top, left + SIDE, top + SIDE))


def flip_pil(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if torch.rand(1) < 0.5 else image


def to_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


class Normalize:
    def __init__(self, dataset: data.Dataset) -> None:
        self.mean, self.std = (
            torch.tensor(values).view(3, 1, 1) for values in (dataset.mean, dataset.std)
        )

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return image.float().div_(255).sub_(self.mean).div_(self.std)


def erase(pixels: torch.Tensor, row: int, column: int) -> torch.Tensor:
    pixels[:, max(0, row - HALF) : row + HALF, max(0, column - HALF) : column + HALF] = 0
    return pixels


def cutout_tensor(pixels: torch.Tensor) -> torch.Tensor:
    return erase(pixels, below(SIDE), below(SIDE))


def pipeline(*transforms: Callable[[Any], Any]) -> Callable[[Any], torch.Tensor]:
    def run(image: Any) -> Any:
        for transform in transforms:
            image = transform(image)
        return image

    return run


def pared_down(image: torch.Tensor, normalise: Normalize) -> torch.Tensor:
    padded = torch.nn.functional.pad(image, [PADDING] * 4)
    top, left = random.randrange(2 * PADDING + 1), random.randrange(2 * PADDING + 1)
    crop = padded[:, top : top + SIDE, left : left + SIDE]
    pixels = normalise(crop.flip(2) if random.random() < 0.5 else crop)
    return erase(pixels, random.randrange(SIDE), random.randrange(SIDE))


def kornia_pipeline(dataset: data.Dataset) -> Callable[[torch.Tensor], torch.Tensor] | None:
    if not is_there("kornia", "kornia"):
        return None
    from kornia import augmentation as K

    return torch.nn.Sequential(
        K.RandomCrop((SIDE, SIDE), padding=PADDING, cropping_mode="slice"),
        K.RandomHorizontalFlip(),
        K.Normalize(torch.tensor(dataset.mean), torch.tensor(dataset.std)),
        K.RandomErasing(scale=(0.25, 0.25), ratio=(1.0, 1.0), p=1.0),
    )


def contenders(dataset: data.Dataset, copies: int) -> dict[str, Work]:
    images = torch.from_numpy(dataset.train_images[:BATCH])
    repeated = images.repeat(copies, 1, 1, 1)
    pil = [Image.fromarray(image) for image in repeated.permute(0, 2, 3, 1).numpy()]
    generator, normalise = torch.Generator().manual_seed(0), Normalize(dataset)
    ours = compose(
        repeat(copies),
        pad_crop(PADDING),
        flip(),
        normalize(tuple(dataset.mean), tuple(dataset.std)),
        cutout(2 * HALF),
    )
    on_tensor = pipeline(crop_tensor, flip_tensor, normalise, cutout_tensor)
    on_pil = pipeline(crop_pil, flip_pil, to_tensor, normalise, cutout_tensor)
    made: dict[str, Work] = {
        "losslab": lambda: ours(images, generator),
        "transforms, tensors": lambda: torch.stack([on_tensor(image) for image in repeated]),
        "transforms, PIL": lambda: torch.stack([on_pil(image) for image in pil]),
        "pared-down loop": lambda: torch.stack(
            [pared_down(image, normalise) for image in repeated]
        ),
    }
    if kornia := kornia_pipeline(dataset):
        floats = repeated.float() / 255
        made["kornia"] = lambda: kornia(floats)
    return made


def seconds(work: Work) -> float:
    """A call in steady state: the first of a turn finds the caches full of another's data and is not counted."""
    work()
    began = process_time()
    for _ in range(CALLS):
        work()
    return (process_time() - began) / CALLS


def compare(works: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds of a call of each, round by round."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return times


def measure(rounds: int) -> Found:
    """The comparison at each number of copies."""
    dataset = data.load("cifar10")
    return {
        "rounds": rounds,
        "batch": BATCH,
        "copies": {copies: compare(contenders(dataset, copies), rounds) for copies in COPIES},
    }


def table(found: Found) -> str:
    """A row for each way: its images a second at each number of copies, and how many times as fast losslab is."""
    rows = []
    for name in found["copies"][next(iter(found["copies"]))]:
        cells = [name]
        for copies, times in found["copies"].items():
            rate = found["batch"] * int(copies) / median(times[name])
            ours = times["losslab"]
            ratio = median(other / own for other, own in zip(times[name], ours, strict=True))
            cells += [f"{rate:,.0f}", f"{ratio:.1f}"]
        rows.append(cells)
    headings = ["way"]
    for copies in found["copies"]:
        headings += [f"{found['batch']} × {copies}, images/s", "losslab's speed over it"]
    how = f"one thread, processor time, medians of {found['rounds']} rounds, ratios round by round"
    return f"{markdown(headings, rows)}\n\n{measured_on(found, 'augment', how)}"


def main() -> None:
    rest = arguments()
    torch.set_num_threads(1)
    tune_memory()
    found = measure(int(rest[0]) if rest else 15)
    whole = "kornia" in sys.modules
    present("augment", found, table, packages=["kornia"] if whole else [], is_whole=whole)


if __name__ == "__main__":
    main()
