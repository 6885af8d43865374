"""Time to count VGG19, the building of the model included, against torchinfo and fvcore where they are installed.

Run: python benchmarks/count.py [--keep]. Each contender builds the same VGG19 and counts it, in turn, five times after
one warm-up. Extra packages: pip install torchinfo fvcore.
"""

import logging
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from statistics import median

import torch
from kept import Found, is_there, markdown, measured_on, present

from losslab.accounting import count
from losslab.models.vgg import vgg19
from losslab.text import count as amount

REPEATS = 5


def with_losslab() -> int:
    return count(vgg19, (3, 224, 224)).macs


def with_torchinfo() -> int:
    from torchinfo import summary

    return int(summary(vgg19(), (1, 3, 224, 224), verbose=0).total_mult_adds)


def with_fvcore() -> int:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(vgg19().eval(), torch.zeros(1, 3, 224, 224))
    return int(analysis.unsupported_ops_warnings(False).total())


COUNTERS = {"losslab": with_losslab, "torchinfo": with_torchinfo, "fvcore": with_fvcore}


def seconds(run: Callable[[], int]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure() -> Found:
    """Seconds of each, repeat by repeat, and the multiply-accumulates that it reports."""
    contenders = {name: run for name, run in COUNTERS.items() if is_there(name, name)}
    found: Found = {}
    for name, run in contenders.items():
        found[name] = {"version": version(name), "macs": run(), "seconds": []}
    for _ in range(REPEATS):
        for name, run in contenders.items():
            found[name]["seconds"].append(seconds(run))
    return {"threads": torch.get_num_threads(), "counters": found}


def table(found: Found) -> str:
    """A row for each: its seconds, those over losslab's, and what it reports."""
    ours = median(found["counters"]["losslab"]["seconds"])
    rows = []
    for name, counter in found["counters"].items():
        taken = counter["seconds"]
        rows.append((
            f"{name} {counter['version']}",
            f"{median(taken):.3f} ({min(taken):.3f} to {max(taken):.3f})",
            f"{median(taken) / ours:.1f}",
            f"{counter['macs']:,}",
        ))  # fmt: skip
    headings = [
        "VGG19, built and counted",
        "seconds",
        "times losslab's",
        "MACs that it reports",
    ]
    how = f"{amount(found['threads'], 'thread')}, medians of {len(taken)} repeats"
    return f"{markdown(headings, rows)}\n\n{measured_on(found, 'count', how)}"


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    found = measure()
    present("count", found, table, is_whole=len(found["counters"]) == len(COUNTERS))


if __name__ == "__main__":
    main()
