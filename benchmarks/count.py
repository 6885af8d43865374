"""Time to count VGG19, the building of the model included, against torchinfo and fvcore where they are installed.

Run: python benchmarks/count.py. Each contender builds the same VGG19 and counts it, in turn, five times after one
warm-up; medians, spread and ratios are printed. Extra packages: pip install torchinfo fvcore.
"""

import importlib.util
import logging
import statistics
import time
import warnings
from collections.abc import Callable

import torch

from losslab.accounting import count
from losslab.models.vgg import vgg19

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


def seconds(run: Callable[[], int]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    contenders = {"losslab": with_losslab}
    for name, run in (("torchinfo", with_torchinfo), ("fvcore", with_fvcore)):
        if importlib.util.find_spec(name):
            contenders[name] = run
        else:
            print(f"{name} is not installed; skipped (pip install {name})")
    macs = {name: run() for name, run in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(REPEATS):
        for name, run in contenders.items():
            times[name].append(seconds(run))
    ours = statistics.median(times["losslab"])
    print(
        f"VGG19, build and count, median of {REPEATS}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for name, each in times.items():
        middle = statistics.median(each)
        spread = f"{min(each):.3f} to {max(each):.3f} s"
        print(
            f"{name:10} {middle:7.3f} s ({spread})  {middle / ours:6.1f} x losslab  {macs[name]:,} reported MACs"
        )


if __name__ == "__main__":
    main()
