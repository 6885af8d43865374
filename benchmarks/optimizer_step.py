"""One optimizer step with L2 against the bytes it must move, at the speed of copying memory that is not in cache.

A ratio of 1 is a step as long as a copy of that many bytes. All methods and the copy are interleaved. With one thread
the clock is the processor's, which other work on the machine does not stretch. Compare ratios of
one run only.

Run: python benchmarks/optimizer_step.py [ROUNDS] [THREADS ...] [--keep]
"""

import time
from collections.abc import Callable
from statistics import median

import torch
from kept import Found, arguments, markdown, measured_on, present

from losslab.choice import Choice
from losslab.machine.memory import tune_memory
from losslab.models import build_model
from losslab.optimizers import OPTIMIZERS, choose
from losslab.optimizers.compiled import compiled
from losslab.optimizers.groups import build_optimizer

NETWORKS = ["mlp", "resnet-44"]
TITLES = {"mlp": "MLP", "resnet-44": "ResNet-44"}
COPY, TORCHS = "copy", ", torch's loop"
IN_BLOCKS = [name for name, method in OPTIMIZERS.items() if method.compiles]
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
        steps[f"{method}{TORCHS}"] = torchs(
            network(name).parameters(), lr=1e-3, weight_decay=1e-4
        ).step
    for method in IN_BLOCKS:
        optimizer = compiled(build_optimizer(choose(method), network(name), weight_decay=1e-4))
        steps[f"{method}, compiled"] = optimizer.step
    return steps


def measure(name: str, threads: int, rounds: int) -> Found:
    """Seconds of each step and of the copy beside it, round by round."""
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    source, target = torch.randn(COPIED // 4), torch.empty(COPIED // 4)
    steps = {COPY: lambda: target.copy_(source)} | steps_of(name)
    seconds: dict[str, list[float]] = {label: [] for label in steps}
    for step in steps.values():
        step()  # state is made by the first
    for _ in range(rounds):
        for label, step in steps.items():
            began = clock()
            step()
            seconds[label].append(clock() - began)
    parameters = list(network(name).parameters())
    elements = sum(parameter.numel() for parameter in parameters)
    return {
        "network": name,
        "threads": threads,
        "elements": elements,
        "tensors": len(parameters),
        "seconds": seconds,
    }


def ratio(setting: Found, label: str, bytes_copied: int) -> float:
    """A step's median time over that of copying the bytes that it must move."""
    slots = SLOTS.get(label.partition(",")[0], 2)
    moved = 4 * setting["elements"] * (3 + 2 * slots)
    copied = median(setting["seconds"][COPY]) * moved / (2 * bytes_copied)
    return float(median(setting["seconds"][label]) / copied)


def cell(setting: Found, label: str, bytes_copied: int) -> str:
    """The ratio, and the milliseconds; empty for what was not measured."""
    if label not in setting["seconds"]:
        return ""
    return f"{ratio(setting, label, bytes_copied):.2f} ({1000 * median(setting['seconds'][label]):.1f} ms)"


def table(found: Found) -> str:
    """A table for each network and number of threads: a row for each method, as it is, compiled, and torch's loop."""
    parts = []
    for setting in found["settings"]:
        rows = []
        for method in OPTIMIZERS:
            labels = (method, f"{method}, compiled", f"{method}{TORCHS}")
            title = OPTIMIZERS[method].title + (
                "" if method in IN_BLOCKS else ", torch's fused"
            )
            rows.append((title, *(cell(setting, label, found["copied"]) for label in labels)))
        speed = 2 * found["copied"] / median(setting["seconds"][COPY]) / 1e9
        threads = "one thread" if setting["threads"] == 1 else f"{setting['threads']} threads"
        size = f"{setting['elements']:,} parameters in {setting['tensors']} tensors"
        heading = f"{TITLES[setting['network']]}, {size}, {threads}; copies at {speed:.1f} GB/s"
        parts.append(markdown([heading, "as it is", "compiled", "torch's loop"], rows))
    how = f"medians of {found['rounds']} rounds; one thread by the processor's clock, more by the wall's"
    return "\n\n".join([*parts, measured_on(found, "optimizer_step", how)])


def main() -> None:
    rest = arguments()
    rounds = int(rest[0]) if rest else 40
    torch.manual_seed(0)
    tune_memory()  # as where runs are trained
    threads = [int(each) for each in rest[1:]] or [1, 2]
    settings = [measure(name, count, rounds) for name in NETWORKS for count in threads]
    present("optimizer_step", {"rounds": rounds, "copied": COPIED, "settings": settings}, table)


if __name__ == "__main__":
    main()
