"""One run over several processes, started by ``torchrun``: each works on its share of every batch.

In a process that torchrun did not start, all of this does nothing: it is the only one.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from losslab.errors import InvalidInput


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the processes that torchrun started within the context, which gives this one's device."""
    if not distributed.is_torchelastic_launched():
        yield device
        return
    mine = f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device
    if mine.startswith("cuda"):
        torch.cuda.set_device(mine)
    backend = "nccl" if mine.startswith("cuda") else "gloo"
    # The others wait while the first one evaluates, however long that is; torchrun itself notices one that has died.
    distributed.init_process_group(backend, timeout=timedelta(days=7))
    try:
        yield mine
    finally:
        # What torch wraps around the network holds the threads of the group; freed at exit, it aborts the process.
        gc.collect()
        distributed.destroy_process_group()


def rank() -> int:
    """The number of this process; the first, 0, is the one that writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def processes() -> int:
    """How many processes work on the run."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def share(count: int) -> range:
    """This process's part of so many images in a row; where they are few, the last processes have none."""
    # Both bounds rounded up: parts differ by one image at most, and the end of a part is the beginning of the next.
    first, end = (-(-count * number // processes()) for number in (rank(), rank() + 1))
    return range(first, end)


def replicated(model: nn.Module) -> nn.Module:
    """Wrap a network for several processes: gradients are the mean over them, buffers those of the first."""
    if processes() == 1:
        return model
    device = next(model.parameters()).device
    return DistributedDataParallel(
        model, device_ids=[device] if device.type == "cuda" else None
    )


def accumulating(network: nn.Module) -> AbstractContextManager[None]:
    """Add up a network's gradients in each process within the context, without exchanging them yet."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def total(values: torch.Tensor) -> torch.Tensor:
    """The sum of the processes' values."""
    if processes() > 1:
        distributed.all_reduce(values)
    return values


def largest(number: int, device: torch.device | str) -> int:
    """The largest of the processes' numbers."""
    if processes() == 1:
        return number
    shared = torch.tensor(number, device=device)
    distributed.all_reduce(shared, distributed.ReduceOp.MAX)
    return int(shared)


def check_same(what: str, number: int, device: torch.device | str) -> None:
    """Raise InvalidInput in the processes whose number is less than another's; torchrun then ends them all."""
    if largest(number, device) != number:
        raise InvalidInput(
            f"the processes of torchrun differ in {what}; do all see the same --out folder?"
        )
