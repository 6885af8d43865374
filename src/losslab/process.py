"""This process and this machine: versions, threads, memory and its allocator, what the arithmetic can reach."""

import ctypes
import os
import platform
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import psutil

import losslab
from losslab.data.catalog import CATALOG
from losslab.data.loading import stored_path

if TYPE_CHECKING:
    import torch

X86 = ("x86_64", "AMD64")
CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
CACHED_OPERATIONS = 64
"""How many operations, each for one shape, oneDNN and torch keep prepared, unless the environment says otherwise.

A batch size that varies uses hardly one twice, and what is kept lies between the freed memory of steps and splits it:
four epochs of LeNet-5 with a cyclical batch took 2.0 GB and 27.9 s with the usual 1,024, and take 1.3 GB and 24.2 s;
ResNet-44 trains at the same pace (one thread of an AMD EPYC).
"""
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # glibc, malloc.h
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
CONTAINER = Path("/sys/fs/cgroup")
"""Where Linux tells the limits of a container (cgroup v2)."""
FAST_FLAGS = {
    "bf16": {"avx512_bf16", "amx_bf16"},
    "fp16": {"avx512_fp16", "amx_fp16"},
}
"""Precision -> what Linux calls the instructions that multiply in it; torch uses these of x86."""
SIDE = 1024
"""Of the matrices that are multiplied."""
COPIED_BYTES = 128 * 2**20
"""More than the caches hold."""
SECONDS = 0.7
"""How long each ceiling is measured; what counts is the fastest try, since others may use the machine, too."""


def environment() -> dict[str, Any]:
    """Versions, machine and source, as plain values for run.json; `threads` is this process's."""
    import torch

    return {
        "losslab": losslab.__version__,
        "torch": version("torch"),
        "numpy": version("numpy"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "source_sha256": source_sha256(),
    }


def peak_memory(device: "torch.device | str" = "cpu") -> int:
    """The most memory that this process has held since :func:`reset_peak_memory`, bytes.

    On a GPU what torch has reserved there; elsewhere resident memory, which only Linux counts anew.
    """
    if _is_cuda(device):
        import torch

        return torch.cuda.max_memory_reserved(device)
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def reset_peak_memory(device: "torch.device | str" = "cpu") -> None:
    """Return freed memory to the system and, on Linux and on a GPU, count the peak anew."""
    release_memory()
    if _is_cuda(device):
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        # Proc(5): reset the peak resident set size.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _is_cuda(device: "torch.device | str") -> bool:
    return str(device).startswith("cuda")


def cores() -> int:
    """Cores that this process may use: fewer than the machine's where a batch system or a container shares it out."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory(device: str = "cpu") -> int:
    """Bytes that workers may take: on a GPU what is free there, elsewhere what the system can give."""
    if _is_cuda(device):
        import torch

        return torch.cuda.mem_get_info(device)[0]
    limits = [limit for limit in map(_group_memory, _groups()) if limit is not None]
    return min([int(psutil.virtual_memory().available), *limits])


def _groups() -> list[Path]:
    """The folders of this process's control group and of those around it."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return [CONTAINER]
    inner = [CONTAINER / line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    around = chain.from_iterable(folder.parents for folder in inner)
    return [CONTAINER, *inner, *(each for each in around if each.is_relative_to(CONTAINER))]


def _group_memory(folder: Path) -> int | None:
    """Bytes that a control group has left; None where it has no limit."""
    try:
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        current = int((folder / "memory.current").read_text(encoding="ascii"))
        statistics = (folder / "memory.stat").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None  # without a limit the file holds the word `max`
    # Pages of files that nothing reads any more are given back when they are wanted.
    pages = dict(zip(statistics[::2], statistics[1::2], strict=False))
    return max(0, limit - current + int(pages.get("inactive_file", 0)))


def release_memory() -> None:
    """Return freed memory to the system, where the C library can; losslab's workers keep it otherwise."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@lru_cache(maxsize=1)
def source_sha256() -> str:
    """A hash of losslab's own Python source, so that records name the code that wrote them."""
    digest = sha256()
    root = Path(losslab.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def multiplies_fast(precision: str) -> bool:
    """Whether the processor itself has products in a precision; torch emulates others, which is slower than fp32.

    Example:
        >>> multiplies_fast("fp32")
        True
    """
    if precision == "fp32":
        return True
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False  # unknown elsewhere
    return bool(FAST_FLAGS[precision].intersection(text.split()))


def set_threads(threads: int) -> None:
    """Prepare this process as every engine's workers are, before it imports torch."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    tune_memory()
    import torch

    torch.set_num_threads(threads)


def share_cores(index: int, workers: int) -> None:
    """Prepare this process, before it imports torch, to train as one that has the machine to itself, to the bit.

    The bits of a sum depend on its threads: torch keeps as many as it takes alone. Where Linux can, they stay on this
    worker's share of the cores, since threads that share all cores with those of others wait for each other.

    Args:
        index: of this worker, from 0.
        workers: how many share the cores.
    """
    tune_memory()
    # A thread that waits must not keep a core from the one that it waits for.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    torch.get_num_threads()  # counts the cores once, while it sees all of them
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        # More workers than cores: those that come last go where there is room.
        os.sched_setaffinity(0, cores[index::workers] or cores)


def tune_memory() -> None:
    """Let this process keep freed memory for reuse, and few prepared operations, before it trains.

    Every operation of a step allocates its result anew; faulting the pages of large ones in again takes longer than the
    arithmetic: ResNet-8 trains on 2,048 images at twice the pace with this. Without glibc that changes nothing.
    """
    # Elsewhere torch's own number is another, and this one was not measured.
    if platform.machine() in X86:
        for cache in CACHES:
            os.environ.setdefault(cache, str(CACHED_OPERATIONS))
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def installed(package: str) -> str | None:
    """The version of a package, or None where it is not installed; the package is not imported.

    Example:
        >>> installed("no-such-package") is None
        True
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return None


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

    memory = psutil.virtual_memory()
    return {
        **environment(),
        "memory_bytes": memory.total,
        "available_memory_bytes": memory.available,
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
