"""One optimizer step with L2 against the bytes it must move, at the speed of copying memory that is not in cache.

A ratio of 1 is a step as long as a copy of that many bytes. All methods and the copy are interleaved. With one thread
the clock is the processor's, which other work on the machine does not stretch. Beside the median stands the fastest
round over the fastest copy, which is nearer to a quiet machine. Compare ratios of one run only.

Run: python benchmarks/optimizer_step.py [ROUNDS]
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch

from losslab.choice import Choice
from losslab.machine.memory import tune_memory
from losslab.models import build_model
from losslab.optimizers import OPTIMIZERS, choose
from losslab.optimizers.compiled import compiled
from losslab.optimizers.groups import build_optimizer

NETWORKS = ["mlp", "resnet-44"]
IN_BLOCKS = ["rmsprop", "rmsprop-nesterov", "adadelta", "nadam"]
BEFORE: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "rmsprop": torch.optim.RMSprop,
    "adadelta": torch.optim.Adadelta,
    "nadam": torch.optim.NAdam,
}
"""torch's loop over whole tensors, for methods that it has no fused step of."""
SLOTS = {"sgd": 0, "adagrad": 1, "rmsprop": 1}
"""Tensors of state; two where nothing is said."""
COPIED = 2**26
"""Bytes of the copy, twice the cache of most machines."""


def network(name: str) -> torch.nn.Module:
    model = build_model(Choice(name=name), input_shape=(3, 32, 32), classes=10)
    for parameter in model.parameters():
        parameter.grad = 0.01 * torch.randn_like(parameter)
    return model


def steps_of(name: str) -> dict[str, Callable[[], object]]:
    steps: dict[str, Callable[[], object]] = {}
    for method in OPTIMIZERS:
        steps[method] = build_optimizer(choose(method), network(name), weight_decay=1e-4).step
    for method, torchs in BEFORE.items():
        steps[f"{method}, torch's loop"] = torchs(
            network(name).parameters(), lr=1e-3, weight_decay=1e-4
        ).step
    for method in IN_BLOCKS:
        optimizer = compiled(build_optimizer(choose(method), network(name), weight_decay=1e-4))
        began = time.perf_counter()
        optimizer.step()
        print(f"  {method} compiled in {time.perf_counter() - began:.1f} s")
        steps[f"{method}, compiled"] = optimizer.step
    return steps


def measure(name: str, threads: int, rounds: int) -> None:
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    elements = sum(parameter.numel() for parameter in network(name).parameters())
    tensors = len(list(network(name).parameters()))
    print(f"{name}: {elements:,} parameters in {tensors} tensors, {threads} threads")
    source, target = torch.randn(COPIED // 4), torch.empty(COPIED // 4)
    steps = {"copy": lambda: target.copy_(source)} | steps_of(name)
    times: dict[str, list[float]] = {label: [] for label in steps}
    for _ in range(rounds):
        for label, step in steps.items():
            began = clock()
            step()
            times[label].append(clock() - began)
    copies = times.pop("copy")
    speed, fastest_speed = 2 * COPIED / statistics.median(copies), 2 * COPIED / min(copies)
    print(f"  copy {speed / 1e9:.1f} GB/s, read and written; fastest {fastest_speed / 1e9:.1f}")
    print("  method                           median   ratio  fastest   ratio")
    for label, seconds in times.items():
        slots = SLOTS.get(label.partition(",")[0], 2)
        moved = 4 * elements * (3 + 2 * slots)
        middle, fastest = statistics.median(seconds), min(seconds)
        print(
            f"  {label:30s} {1e3 * middle:6.2f} ms {middle * speed / moved:7.2f}"
            f" {1e3 * fastest:6.2f} ms {fastest * fastest_speed / moved:6.2f}"
        )


def main(rounds: int) -> None:
    torch.manual_seed(0)
    tune_memory()  # as where runs are trained
    print(f"torch {torch.__version__}, {rounds} rounds")
    for name in NETWORKS:
        for threads in (1, 2):
            measure(name, threads, rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
