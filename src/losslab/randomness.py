"""Every random number is a function of (seed, purpose, index); there is no hidden state.

Stopping and resuming, the number of workers and the order of runs therefore change nothing.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import numpy as np
import torch


def derive_seed(seed: int, purpose: str, index: int) -> int:
    """Derive a 63-bit seed for one use of randomness.

    Args:
        seed: the run's seed.
        purpose: what the numbers are for, such as ``"weights"``, ``"order"``, ``"step"``.
        index: which of them: an epoch, a step.
    Example:
        >>> derive_seed(0, "order", 1) == derive_seed(0, "order", 1) != derive_seed(0, "order", 2)
        True
    """
    # Not Python's hash(), which differs from process to process for texts.
    digest = blake2b(f"{seed}/{purpose}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """Seed a CPU generator for one use.

    Example:
        >>> torch.randperm(5, generator=generator(0, "order", 3)).shape
        torch.Size([5])
    """
    return torch.Generator().manual_seed(derive_seed(seed, purpose, index))


def epoch_order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """The order in which an epoch goes through ``count`` training images: a permutation of their positions.

    Example:
        >>> sorted(epoch_order(4, seed=0, epoch=7).tolist())
        [0, 1, 2, 3]
    """
    return torch.randperm(count, generator=generator(seed, "order", epoch))


@contextmanager
def seeded_wholly(
    seed: int, purpose: str, index: int = 0, device: torch.device | None = None
) -> Iterator[None]:
    """As :func:`seeded`, and so the global states of numpy and Python: for code of a user's."""
    value = derive_seed(seed, purpose, index)
    of_numpy, of_python = np.random.get_state(), random.getstate()
    np.random.seed(value % 2**32)
    random.seed(value)
    try:
        with seeded(seed, purpose, index, device):
            yield
    finally:
        np.random.set_state(of_numpy)
        random.setstate(of_python)


@contextmanager
def seeded(
    seed: int, purpose: str, index: int = 0, device: torch.device | None = None
) -> Iterator[None]:
    """Set torch's own random state within the context for one use; outside it stays as it was.

    For code that draws from the global state and takes no generator: layers' initial weights, dropout.
    """
    kind = "cpu" if device is None else device.type
    has_states = kind in ("cuda", "xpu")
    value = derive_seed(seed, purpose, index)
    with torch.random.fork_rng(
        devices=[device] if has_states else [], device_type=kind if has_states else "cuda"
    ):
        torch.default_generator.manual_seed(value)
        if has_states:
            module = getattr(torch, kind)
            # It seeds the current device, which need not be this one.
            with module.device(device):
                module.manual_seed(value)
        elif kind == "mps":  # torch cannot fork its state; each use sets it anew
            torch.mps.manual_seed(value)
        yield
