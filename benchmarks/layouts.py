"""Seconds of a training step by layout, by number of threads, and compiled by torch.compile or not.

A step is a forward and backward pass and an update by Adam, on images of the data's shape; the first step of a compiled
network is the compiling. Each row is measured in this process alone.
Usage: python benchmarks/layouts.py [seconds for each]
"""

import os
import sys
from statistics import median
from time import perf_counter

import torch
from torch import nn
from torch.nn import functional as F

from losslab.machine.memory import tune_memory
from losslab.models import build_model
from losslab.spec import make_run
from losslab.training.state import memory_format, usual_layout

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
CORES = os.cpu_count() or 1
GREY, COLOUR = (1, 28, 28), (3, 32, 32)
NETWORKS = (
    ("mlp", COLOUR, 128),
    ("lenet5", GREY, 64),
    ("lenet5", GREY, 512),
    ("minigooglenet", GREY, 64),
    ("resnet-8", COLOUR, 64),
    ("resnet-20", COLOUR, 64),
    ("resnet-44", COLOUR, 64),
)


def network(name: str, shape: tuple[int, int, int]) -> nn.Module:
    """A built-in network for ten classes."""
    run = make_run(
        {
            "data": "cifar10",
            "model": name,
            "optimizer": "adam",
            "lr": 1e-3,
            "batch": 1,
            "steps": 1,
        }
    )
    return build_model(run.model, input_shape=shape, classes=10)


def time_steps(
    model: nn.Module, shape: tuple[int, int, int], batch: int, layout: torch.memory_format
) -> list[float]:
    """Seconds of each step."""
    seconds: list[float] = []
    images, labels = (
        torch.randn(batch, *shape).contiguous(memory_format=layout),
        torch.randint(0, 10, (batch,)),
    )
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    while len(seconds) < 4 or sum(seconds[1:]) < SECONDS:
        began = perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        seconds.append(perf_counter() - began)
    return seconds


def main() -> None:
    tune_memory()
    print(
        f"{'network':14} {'batch':>5}  {'layout':22} {'1 thread':>9} {f'{CORES} threads':>10}   first step"
    )
    for name, shape, batch in NETWORKS:
        usual = usual_layout(network(name, shape))
        for layout in ("channels_last", "contiguous") if usual == "channels_last" else (usual,):
            for is_compiled in (False, True):
                model = network(name, shape).to(memory_format=memory_format(layout))  # type: ignore[call-overload]
                found = []
                for threads in (1, CORES):
                    torch.set_num_threads(threads)
                    torch.compiler.reset()
                    steps = torch.compile(model, dynamic=False) if is_compiled else model
                    found.append(time_steps(steps, shape, batch, memory_format(layout)))  # type: ignore[arg-type]
                one, several = (median(seconds[1:]) * 1e3 for seconds in found)
                print(
                    f"{name:14} {batch:5}  {layout + ', compiled' * is_compiled:22} {one:6.1f} ms {several:7.1f} ms "
                    f"{found[0][0]:7.1f} s",
                    flush=True,
                )
    print(f"torch {torch.__version__}, {CORES} cores")


if __name__ == "__main__":
    main()
