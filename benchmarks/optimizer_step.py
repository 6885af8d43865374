"""Milliseconds of one optimizer step on the parameters of the 3072-1000-1000-10 network, with L2; methods interleaved.

Run: python benchmarks/optimizer_step.py [ROUNDS]
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch

from losslab.optimizers import OPTIMIZERS, _rmsprop_nesterov_step, choose

SHAPES = [(1000, 3072), (1000,), (1000, 1000), (1000,), (10, 1000), (10,)]


def parameters() -> list[torch.nn.Parameter]:
    made = [torch.nn.Parameter(0.02 * torch.randn(shape)) for shape in SHAPES]
    for parameter in made:
        parameter.grad = 0.01 * torch.randn_like(parameter)
    return made


def step_in_one_piece() -> Callable[[], object]:
    step = choose("rmsprop-nesterov").build([{"params": parameters(), "weight_decay": 1e-4}], 1e-3).step

    def whole() -> None:
        piece, _rmsprop_nesterov_step.PIECE = _rmsprop_nesterov_step.PIECE, 2**40
        step()
        _rmsprop_nesterov_step.PIECE = piece

    return whole


def main(rounds: int) -> None:
    torch.manual_seed(0)
    steps: dict[str, Callable[[], object]] = {
        name: choose(name).build([{"params": parameters(), "weight_decay": 1e-4}], 1e-3).step for name in OPTIMIZERS
    }
    steps["rmsprop-nesterov, tensors whole"] = step_in_one_piece()
    steps["torch RMSprop(momentum=0.9)"] = torch.optim.RMSprop(parameters(), 1e-3, momentum=0.9, weight_decay=1e-4).step
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            times[name].append(1e3 * (time.perf_counter() - started))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, median of {rounds} rounds")
    for name, values in times.items():
        print(f"{name:34s} {statistics.median(values):7.2f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
