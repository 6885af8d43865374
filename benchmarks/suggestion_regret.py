"""How good the suggested learning rates are: what they lose against the best of a grid, and how they vary over seeds.

LeNet-5 on Fashion-MNIST, five optimizers. Regret is the validation loss after training at the median suggestion, read
off the grid by interpolation over log lr, less the lowest of the grid; the spread of the suggestions of the seeds is in
decades. fastai's valley and steep and Lightning's steepest are written out here from their definitions and read the
same ramps, smoothed as they do it.
Usage: python benchmarks/suggestion_regret.py [grid points] [images] [seeds] [--keep]

How a suggestion depends on the length of the test is measured by suggestion_lengths.py beside it:
python benchmarks/suggestion_regret.py lengths OUT.json [task ...]
"""

from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
import suggestion_lengths
import torch
from kept import Found, arguments, markdown, measured_on, present

from losslab import data
from losslab.errors import Diverged
from losslab.ranges import RULES, Trace, find_lr_range
from losslab.ranges.run_traces import train_trace
from losslab.ranges.runs import lr_runs
from losslab.records import Evaluation
from losslab.spec import make_run
from losslab.training.loop import train

OPTIMIZERS = ("sgd(momentum=0.9)", "adam", "rmsprop", "adagrad", "adadelta")
FIELDS = {"data": "fashion-mnist", "model": "lenet5", "batch": 64}
EPOCHS, STEPS = 2, 500


def average(losses: Sequence[float], beta: float = 0.98) -> np.ndarray:
    """The bias-corrected average over the past alone."""
    total, averages = 0.0, []
    for step, loss in enumerate(losses, 1):
        total = beta * total + (1 - beta) * loss
        averages.append(total / (1 - beta**step))
    return np.array(averages)


def fastai_valley(trace: Trace) -> float:
    """Two thirds into the longest subsequence of falling averages."""
    losses = average(trace.loss)
    longest, before = np.ones(len(losses), int), np.full(len(losses), -1)
    for i in range(1, len(losses)):
        larger = np.flatnonzero(losses[:i] > losses[i])
        if len(larger):
            before[i] = larger[np.argmax(longest[larger])]
            longest[i] = longest[before[i]] + 1
    end = place = int(np.argmax(longest))
    while before[place] >= 0:
        place = int(before[place])
    return trace.lr[min(end, place + int((end - place) * 2 / 3))]


def fastai_steep(trace: Trace) -> float:
    """Where the average falls most for each unit of log lr, before its minimum."""
    losses = average(trace.loss)
    steps = max(2, int(np.argmin(losses)))
    return trace.lr[int(np.argmin(np.gradient(losses[:steps], np.log(trace.lr[:steps]))))]


def lightning(trace: Trace) -> float:
    """Where the average falls most from step to step, the first ten and the last left out."""
    return trace.lr[10 + int(np.argmin(np.gradient(average(trace.loss)[10:-1])))]


PEERS: dict[str, Callable[[Trace], float]] = {
    "fastai valley": fastai_valley,
    "fastai steep": fastai_steep,
    "lightning": lightning,
}
TITLES = {
    "valley": "`valley`",
    "minimum": "`minimum`",
    "half_fall": "`half_fall`",
    "steepest": "`steepest`",
    "minimum_over_ten": "`minimum_over_ten`",
    "fastai steep": "fastai's steep, same ramps",
    "lightning": "Lightning's, same ramps",
    "fastai valley": "fastai's valley, same ramps",
}
"""Rule -> what the table calls it."""


def validation_loss(optimizer: str, lr: float, images: int) -> float:
    """After two epochs; that of guessing, log 10, at most."""
    held_out = {"name": "fashion-mnist", "train_images": images}
    fields = {**FIELDS, "data": held_out, "optimizer": optimizer, "lr": lr, "epochs": EPOCHS}
    run = make_run({**fields, "evaluate": "end", "test": False})
    try:
        records = list(train(run, dataset=data.load("fashion-mnist")))
    except Diverged:
        return float(np.log(10))
    losses = [record.validation_loss for record in records if isinstance(record, Evaluation)]
    return min(losses[-1] or 0.0, float(np.log(10)))


def suggestions(traces: Sequence[Trace]) -> dict[str, list[float]]:
    """What every rule suggests for each seed."""
    ours = {
        rule: [seed.suggestion for seed in find_lr_range(traces, rule=rule).seeds if seed]
        for rule in RULES
    }
    finite = [trace for trace in traces if np.isfinite(trace.loss).all()]
    return ours | {name: [rule(trace) for trace in finite] for name, rule in PEERS.items()}


def measure(points: int, images: int, seeds: int) -> Found:
    """The losses of the grid and what every rule suggests, of each optimizer."""
    rates = np.logspace(-5, 1, points).tolist()
    grids = {name: [validation_loss(name, lr, images) for lr in rates] for name in OPTIMIZERS}
    suggested = {}
    for name in OPTIMIZERS:
        runs = lr_runs(
            {**FIELDS, "optimizer": name, "steps": STEPS}, start=1e-9, end=10.0, seeds=seeds
        )
        dataset = data.load("fashion-mnist")
        suggested[name] = suggestions([list(train_trace(run, dataset))[-1] for run in runs])
    return {
        "images": images,
        "seeds": seeds,
        "rates": rates,
        "grids": grids,
        "suggested": suggested,
    }


def table(found: Found) -> str:
    """A row for each rule: median and worst regret over the optimizers, median and worst spread."""
    rows = []
    for rule, title in TITLES.items():
        regrets, spreads = [], []
        for optimizer, losses in found["grids"].items():
            lrs = np.log10(found["suggested"][optimizer][rule])
            at = np.interp(np.median(lrs), np.log10(found["rates"]), losses)
            regrets.append(float(at) - min(losses))
            spreads.append(float(np.ptp(lrs)))
        regret = (f"{median(regrets):.3f}", f"{max(regrets):.3f}")
        rows.append((title, *regret, f"{median(spreads):.2f}", f"{max(spreads):.2f}"))
    headings = [
        "rule",
        "regret, median",
        "worst",
        "spread of seeds in decades, median",
        "worst",
    ]
    how = f"{found['images']:,} images, {found['seeds']} seeds of a ramp, one of the grid, {len(found['rates'])} rates"
    return f"{markdown(headings, rows)}\n\n{measured_on(found, 'suggestion_regret', how)}"


def main(points: int = 25, images: int = 20_000, seeds: int = 5) -> None:
    torch.set_num_threads(1)
    present("suggestion_regret", measure(points, images, seeds), table)


if __name__ == "__main__":
    rest = arguments()
    if rest[:1] == ["lengths"]:
        suggestion_lengths.main(*rest[1:])
    else:
        main(*map(int, rest))
