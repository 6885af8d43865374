"""Where the time of a training step goes: arithmetic, memory, random numbers, update, flush, Python.

The MLP (Adam, batch 128), LeNet-5 (batch 64) and ResNet-44 (batch 64), on one thread. torch.profiler tells the time of
each kernel without those that it calls; shares are of the wall time of the same steps, which other work on the machine
stretches alike, in the shortest of several rounds. What no kernel accounts for is Python and the calls into torch, and
the profiler itself, a microsecond or two a call, so that this share is an upper bound. Milliseconds are processor time
of steps without the profiler. (Not named `profile.py`, which would be imported in the place of the standard library's
module.) Usage: python benchmarks/step_profile.py [rounds] [--keep]
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from statistics import median
from time import perf_counter, process_time

import torch
from kept import Found, arguments, markdown, measured_on, present
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from losslab.machine.process import set_threads
from losslab.records import Record, Steps
from losslab.spec import Run, make_run
from losslab.training import loop
from losslab.training.pending import Pending

STEPS = {"mlp": 40, "lenet5": 60, "resnet-44": 10}
"""Network -> steps of a round: a multiple of those of a record."""
RUNS = [
    {"data": "cifar10", "model": "mlp", "optimizer": "adam", "lr": 1e-3, "weight_decay": 1e-4, "batch": 128},
    {"data": "fashion-mnist", "model": "lenet5", "optimizer": "sgd(momentum=0.9)", "lr": 0.01, "batch": 64},
    {
        "data": "cifar10", "model": "resnet-44", "optimizer": "sgd(momentum=0.9)", "lr": 0.1, "weight_decay": 1e-4,
        "batch": 64, "augment": ["pad_crop(padding=4)", "flip"],
    },
]  # fmt: skip
KINDS = {
    "arithmetic": ("mm", "addmm", "convolution", "linear", "max_pool2d", "avg_pool2d"),
    "random numbers": (
        "bernoulli",
        "random",
        "randperm",
        "randint",
        "rand",
        "normal",
        "uniform",
    ),
}
"""Kind of kernel -> what is in its name; all others move memory: element by element, sums, copies, normalisation."""
FLUSH = "flush"
COLUMNS = {
    "arithmetic": "arithmetic",
    "memory": "memory",
    "random numbers": "random numbers",
    "update": "update",
    FLUSH: "flush of records",
}
"""Kind -> its heading."""
NAMES = {
    "mlp": "MLP with Adam, 128",
    "lenet5": "LeNet-5 with momentum, 64",
    "resnet-44": "ResNet-44 with momentum, crop and flip, 64",
}


def kind_of(event: FunctionEvent) -> str:
    """What a kernel does: the update of the optimizer and the flush by who calls it, others by their name."""
    caller: FunctionEvent | None = event
    while caller is not None:
        if caller.name.startswith("Optimizer.step"):
            return "update"
        if caller.name == FLUSH:
            return FLUSH
        caller = caller.cpu_parent
    words = set(event.name.replace("::", "_").split("_"))
    for kind, parts in KINDS.items():
        if words.intersection(parts) or any(
            part in event.name for part in parts if "_" in part
        ):
            return kind
    return "memory"


def kernel_shares(steps: Iterator[Record], count: int) -> tuple[float, Counter[str]]:
    """Wall seconds of the next records of a run, and the share of each kind of kernel in them."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        began = perf_counter()
        for _ in islice(steps, count):
            pass
        seconds = perf_counter() - began
    shares: Counter[str] = Counter()
    for event in profiler.events():
        shares[kind_of(event)] += event.self_cpu_time_total / 1e6 / seconds
    return seconds, shares


def with_flush_named() -> None:
    """Have the profiler know which kernels belong to the flush of a record."""
    flush = Pending.flush

    def named(*arguments: object) -> Steps:
        with torch.profiler.record_function(FLUSH):
            return flush(*arguments)  # type: ignore[arg-type]

    Pending.flush = named  # type: ignore[method-assign, assignment]


def records_of(run: Run) -> Iterator[Record]:
    return (record for record in loop.train(run) if isinstance(record, Steps))


def step_seconds(records: Iterator[Record], count: int) -> float:
    """Processor seconds of a step, the median of the records; each holds ten steps."""
    times = []
    for _ in range(count):
        began = process_time()
        next(records)
        times.append((process_time() - began) / 10)
    return median(times)


def measure(rounds: int) -> Found:
    """Milliseconds of a step in each round, and the share of each kind in the shortest."""
    networks = {}
    for fields in RUNS:
        count = STEPS[str(fields["model"])] // 10
        total = 10 * count * (2 * rounds + 1)
        run = make_run({**fields, "steps": total, "evaluate": "end", "test": False})
        records = records_of(run)
        step_seconds(records, count)  # what the first steps allocate, later ones reuse
        # In turn, so that the load of the machine is the same for both.
        timed, profiled = [], []
        for _ in range(rounds):
            timed.append(1000 * step_seconds(records, count))
            profiled.append(kernel_shares(records, count))
        _, shares = min(profiled, key=lambda measured: measured[0])
        kinds = {kind: shares[kind] for kind in COLUMNS}
        networks[run.model.name] = {"milliseconds": timed, "shares": kinds}
    return {"rounds": rounds, "networks": networks}


def table(found: Found) -> str:
    """A row for each network: milliseconds of a step, and the share of each kind."""
    rows = []
    for name, network in found["networks"].items():
        shares = network["shares"]
        rest = 1 - sum(shares.values())
        parts = [f"{100 * share:.1f} %" for share in (*shares.values(), rest)]
        rows.append((NAMES[name], f"{min(network['milliseconds']):.3g}", *parts))
    headings = ["network, batch", "ms a step", *COLUMNS.values(), "Python and calls"]
    how = f"one thread, the shortest of {found['rounds']} rounds"
    return f"{markdown(headings, rows)}\n\n{measured_on(found, 'step_profile', how)}"


def main() -> None:
    rest = arguments()
    set_threads(1)
    with_flush_named()
    present("step_profile", measure(int(rest[0]) if rest else 5), table)


if __name__ == "__main__":
    main()
