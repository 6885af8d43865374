"""The memory of this process: the most that it held, what it may take, and what its allocator keeps."""

import ctypes
import os
import platform
import resource
import sys
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

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
CONTAINER = Path("/sys/fs/cgroup")
"""Where Linux tells the limits of a container (cgroup v2)."""


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


def available_memory(device: str = "cpu") -> int:
    """Bytes that workers may take: on a GPU what is free there, elsewhere what the system can give."""
    if _is_cuda(device):
        import torch

        return torch.cuda.mem_get_info(device)[0]
    limits = [limit for limit in map(_group_memory, control_groups()) if limit is not None]
    return min([int(psutil.virtual_memory().available), *limits])


def control_groups() -> list[Path]:
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
