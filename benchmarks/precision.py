"""Images a second that a network trains in fp32 and in 16 bits, one thread, in turn.

    python benchmarks/precision.py [--model resnet-44] [--batch 64] [--repeats 30] [--device cpu] [--keep]

Processor seconds, which other work on the machine hardly stretches; on a GPU wall seconds. Each precision has a process
of its own, as a run has. They take turns, so that a change of the machine's pace meets both. Where the pace changes
from one turn to the next it takes many repeats; the quartiles tell.
"""

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from statistics import median, quantiles

from kept import Found, arguments, markdown, measured_on, present

from losslab import data
from losslab.errors import InvalidInput
from losslab.machine.process import set_threads
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


def measure(model: str, batch: int, repeats: int, device: str) -> Found:
    """Seconds of a step in every turn of each precision that the device has."""
    seconds: dict[str, list[float]] = {}
    turns = {}
    for precision in ("fp32", "bf16"):
        process = ProcessPoolExecutor(1, get_context("spawn"), set_threads, (1,))
        fields = (model, batch, precision, device)
        # The first steps allocate what later ones reuse.
        try:
            process.submit(turn, *fields).result()
        except InvalidInput as error:
            print(error)
            continue
        turns[precision] = (process, fields)
    for _ in range(repeats):
        for precision, (process, fields) in turns.items():
            seconds.setdefault(precision, []).append(process.submit(turn, *fields).result())
    return {"model": model, "batch": batch, "device": device, "seconds_a_step": seconds}


def table(found: Found) -> str:
    """Images a second of each precision, and those over fp32's: the medians, and the middle half of the turns."""
    slow = found["seconds_a_step"]["fp32"]
    rows = []
    for precision, fast in found["seconds_a_step"].items():
        ratios = [old / new for old, new in zip(slow, fast, strict=True)]
        rate = f"{found['batch'] / median(fast):.1f}"
        half = ""
        if precision != "fp32" and len(ratios) > 1:
            low, _middle, high = quantiles(ratios, n=4)
            half = f"{low:.2f} to {high:.2f}"
        rows.append((precision, rate, f"{median(slow) / median(fast):.2f}", half))
    headings = ["precision", "images/s", "times fp32", "middle half, turn by turn"]
    how = f"{found['model']}, batch {found['batch']}, one thread, medians of {len(slow)} turns"
    return f"{markdown(headings, rows)}\n\n{measured_on(found, 'precision', how)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet-44")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--device", default="cpu")
    rest = arguments()
    chosen = parser.parse_args(rest)
    present("precision", measure(**vars(chosen)), table)


if __name__ == "__main__":
    main()
