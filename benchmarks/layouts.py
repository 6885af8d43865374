"""Seconds of a training step by each way to carry it out: layout, compiled or not, one thread or all.

Each network trains on images of its data's shape, in this process alone. With as many processes as cores, a core does
at least what one thread does here divided by what they take from each other; the study's own calibration measures that.
Usage: python benchmarks/layouts.py [seconds for each]
"""

import os
import sys
from statistics import median

import torch

from losslab import data
from losslab.layout import Layout, compiled, other_layout
from losslab.models import build_model
from losslab.spec import make_run
from losslab.study import calibrate
from losslab.study.local import keep_freed_memory
from losslab.training import new_state, usual_layout

NETWORKS = (
    ("mlp", "cifar10", 128),
    ("lenet5", "fashion-mnist", 64),
    ("lenet5", "fashion-mnist", 512),
    ("minigooglenet", "fashion-mnist", 64),
    ("resnet-8", "cifar10", 64),
    ("resnet-20", "cifar10", 64),
    ("resnet-44", "cifar10", 64),
)


def layouts_of(model: str, name: str) -> tuple[Layout, ...]:
    """The usual one, compiled or not, and for convolutions the other layout."""
    run = make_run({"data": name, "model": model, "optimizer": "adam", "lr": 1e-3, "batch": 1, "steps": 1})
    usual = usual_layout(build_model(run.model, input_shape=data.load(name).train_images.shape[1:], classes=10))
    layouts = (usual, other_layout(usual)) if usual == "channels_last" else (usual,)
    return tuple(layout for layout in layouts for layout in (layout, compiled(layout)))


def measure(model: str, name: str, batch: int, layout: Layout) -> tuple[float, float]:
    """Seconds of the first step and of a later one."""
    run = make_run({"data": name, "model": model, "optimizer": "adam", "lr": 1e-3, "batch": batch, "steps": 1})
    dataset = data.load(name)
    return calibrate.time_steps(run, dataset, new_state(run, dataset, layout=layout), batch, 1)


def main() -> None:
    calibrate.CALIBRATION_SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    keep_freed_memory()
    cores = os.cpu_count() or 1
    print(f"{'network':16} {'batch':>5}  {'layout':22} {'1 thread':>9} {f'{cores} threads':>10}   first step")
    for model, name, batch in NETWORKS:
        for layout in layouts_of(model, name):
            times = []
            for threads in (1, cores):
                torch.set_num_threads(threads)
                times.append(measure(model, name, batch, layout))
            first = median(first for first, _ in times)
            one, all_threads = (later for _, later in times)
            print(
                f"{model:16} {batch:5}  {layout:22} {one * 1e3:6.1f} ms {all_threads * 1e3:7.1f} ms   {first:6.1f} s",
                flush=True,
            )
    print(f"torch {torch.__version__}, {cores} cores")


if __name__ == "__main__":
    main()
