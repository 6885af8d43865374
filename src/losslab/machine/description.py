"""This machine: what is installed and stored on it, and what its arithmetic can reach."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import psutil

from losslab.data.catalog import CATALOG
from losslab.data.loading import stored_path
from losslab.machine.memory import available_memory
from losslab.machine.process import environment, installed

OPTIONAL = (
    "accelerate",
    "keras",
    "lightning",
    "mlflow-skinny",
    "optuna",
    "pandas",
    "ray",
    "tensorboard",
    "timm",
    "torchvision",
    "transformers",
    "wandb",
)
"""Packages that losslab uses where they are installed."""
SIDE = 1024
"""Of the matrices that are multiplied."""
COPIED_BYTES = 128 * 2**20
"""More than the caches hold."""
SECONDS = 0.7
"""How long each ceiling is measured; what counts is the fastest try, since others may use the machine, too."""


def ceilings() -> dict[str, float]:
    """Measure float32 GFLOP/s of a product of matrices, by one thread and by all of torch's, and GB/s of a copy.

    A multiply-accumulate is two FLOPs; a copy counts the bytes read and those written.
    """
    import torch

    threads = torch.get_num_threads()
    left, right, product = (torch.ones(SIDE, SIDE) for _ in range(3))
    source, target = (torch.ones(COPIED_BYTES // 4) for _ in range(2))
    multiply = 2 * SIDE**3 / 1e9
    try:
        torch.set_num_threads(1)
        by_one = multiply / _fastest(lambda: torch.mm(left, right, out=product))
    finally:
        torch.set_num_threads(threads)
    return {
        "gemm_gflops_1_thread": by_one,
        "gemm_gflops": multiply / _fastest(lambda: torch.mm(left, right, out=product)),
        "copy_gb_per_second": 2 * COPIED_BYTES / 1e9 / _fastest(lambda: target.copy_(source)),
    }


def _fastest(work: Callable[[], object]) -> float:
    """Time the fastest try within a moment, in seconds."""
    seconds: list[float] = []
    began = perf_counter()
    while not seconds or perf_counter() - began < SECONDS:
        clock = perf_counter()
        work()
        seconds.append(perf_counter() - clock)
    return min(seconds)


def describe() -> dict[str, Any]:
    """Versions, optional packages, data in the cache, cores, threads, memory, GPUs and ceilings, as plain values."""
    import torch

    return {
        **environment(),
        "memory_bytes": psutil.virtual_memory().total,
        "available_memory_bytes": available_memory(),
        "gpus": [
            torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
        ],
        "optional": {name: installed(name) for name in OPTIONAL},
        "data": stored_data(),
        "ceilings": ceilings(),
    }


def stored_data() -> list[dict[str, Any]]:
    """Name, size and path of each data set that is stored here."""
    paths = {name: stored_path(entry) for name, entry in CATALOG.items()}
    return [
        {"name": name, "bytes": path.stat().st_size, "path": str(path)}
        for name, path in paths.items()
        if path.exists()
    ]
