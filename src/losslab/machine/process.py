"""This process: versions, processor, cores, threads, and which arithmetic is fast."""

import os
import platform
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import losslab
from losslab.machine.memory import control_groups, tune_memory

FAST_FLAGS = {
    "bf16": {"avx512_bf16", "amx_bf16"},
    "fp16": {"avx512_fp16", "amx_fp16"},
}
"""Precision -> what Linux calls the instructions that multiply in it; torch uses these of x86."""


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


def cores() -> int:
    """Cores that this process may use: fewer than the machine's where a batch system or a container shares it out."""
    visible = (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )
    return min([visible, *filter(None, map(_group_cores, control_groups()))])


def _group_cores(folder: Path) -> int | None:
    """How many whole cores' time a control group may take, at least one; None where it has no limit."""
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None  # without a limit the file holds the word `max`


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
