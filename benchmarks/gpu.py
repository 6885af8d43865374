"""Images a second on a GPU, in each precision, and the memory that they take.

    python benchmarks/gpu.py [--device cuda]

Three networks of the studies, each trained for some seconds; wall seconds of steps. Where there is no GPU it says so
and does nothing. Results belong in docs/gpu.md, with the card's name.
"""

import argparse
from itertools import product
from statistics import median
from time import perf_counter

import torch

from losslab import data
from losslab.machine.memory import peak_memory, reset_peak_memory
from losslab.records import Steps
from losslab.spec import make_run
from losslab.training.loop import train

NETWORKS = (("lenet5", 64), ("minigooglenet", 64), ("resnet-44", 64), ("resnet-44", 512))
SECONDS = 10.0
"""How long each network trains in each precision: 12 of these take two minutes."""


def images_a_second(model: str, batch: int, precision: str, device: str) -> float:
    """The median over records of ten steps, the first left out."""
    spec = {"data": "cifar10", "model": model, "optimizer": "sgd(momentum=0.9)", "lr": 1e-3}
    fields = {"batch": batch, "precision": precision, "steps": 10**6, "evaluate": "end"}
    run = make_run({**spec, **fields, "augment": ["pad_crop(padding=4)", "flip"]})
    seconds: list[float] = []
    before, began = 0.0, perf_counter()
    for record in train(run, dataset=data.load("cifar10"), device=device):
        if isinstance(record, Steps):
            seconds.append((record.train_seconds - before) / len(record.loss))
            before = record.train_seconds
            if len(seconds) > 2 and perf_counter() - began > SECONDS:
                break
    return batch / median(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    device = parser.parse_args().device
    if not torch.cuda.is_available():
        print("no benchmark: torch finds no GPU here")
        return
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}")
    for (model, batch), precision in product(NETWORKS, ("fp32", "bf16", "fp16")):
        reset_peak_memory(device)
        rate = images_a_second(model, batch, precision, device)
        memory = peak_memory(device) / 1e9
        print(f"{model}, batch {batch}, {precision}: {rate:,.0f} images/s, {memory:.2f} GB")


if __name__ == "__main__":
    main()
