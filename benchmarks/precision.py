"""Images a second that a network trains in fp32 and in 16 bits, one thread, in turn.

    python benchmarks/precision.py [--model resnet-44] [--batch 64] [--repeats 5] [--device cpu]

Processor seconds, which other work on the machine hardly stretches; on a GPU wall seconds. Each precision has a process
of its own, as a run has. They take turns, so that a change of the machine's pace meets both. Where the pace changes
from one turn to the next it takes many repeats; the quartiles tell. docs/gpu.md has results, precision.json those of
one run.
"""

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from statistics import median, quantiles

import torch

from losslab import data
from losslab.errors import InvalidInput
from losslab.machine.process import processor, set_threads
from losslab.records import Steps
from losslab.spec import make_run
from losslab.training.loop import train
from losslab.training.state import new_state

STEPS = 4


@cache
def seconds_of_steps(model: str, batch: int, precision: str, device: str) -> Iterator[float]:
    """Train for ever, and yield the seconds of a step at each of some."""
    spec = {"data": "cifar10", "model": model, "optimizer": "sgd(momentum=0.9)", "lr": 1e-3}
    fields = {"batch": batch, "precision": precision, "steps": 10**6, "evaluate": "end"}
    run = make_run({**spec, **fields, "augment": ["pad_crop(padding=4)", "flip"]})
    dataset = data.load("cifar10")
    state = new_state(run, dataset, device)
    before = 0.0
    for record in train(run, dataset=dataset, state=state, device=device, flush_steps=STEPS):
        if isinstance(record, Steps):
            in_all = state.train_processor_seconds or state.train_seconds
            yield (in_all - before) / STEPS
            before = in_all


def turn(model: str, batch: int, precision: str, device: str) -> float:
    """Seconds of a step in this process's next turn."""
    return next(seconds_of_steps(model, batch, precision, device))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet-44")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    turns = {}
    for precision in ("fp32", "bf16"):
        process = ProcessPoolExecutor(1, get_context("spawn"), set_threads, (1,))
        fields = (arguments.model, arguments.batch, precision, arguments.device)
        # The first steps allocate what later ones reuse.
        try:
            process.submit(turn, *fields).result()
        except InvalidInput as error:
            print(error)
            continue
        turns[precision] = (process, fields)
    for _ in range(arguments.repeats):
        for precision, (process, fields) in turns.items():
            seconds.setdefault(precision, []).append(process.submit(turn, *fields).result())
    rates = {name: arguments.batch / median(values) for name, values in seconds.items()}
    facts = {
        "model": arguments.model,
        "batch": arguments.batch,
        "device": arguments.device,
        "processor": processor(),
        "torch": torch.__version__,
        "seconds_a_step": seconds,
        "images_a_second": rates,
    }
    if arguments.json:
        print(json.dumps(facts, indent=1))
        return
    for precision, rate in rates.items():
        line = f"{precision}: {rate:.1f} images/s, {rate / rates['fp32']:.2f} times fp32"
        pairs = [
            slow / fast for slow, fast in zip(seconds["fp32"], seconds[precision], strict=True)
        ]
        if precision != "fp32" and len(pairs) > 1:
            low, middle, high = quantiles(pairs, n=4)
            line += f"; turn by turn {middle:.2f} ({low:.2f} to {high:.2f} in half of {len(pairs)} turns)"
        print(line)


if __name__ == "__main__":
    main()
