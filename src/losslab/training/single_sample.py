"""A run that comes to a single sample, on which batch norm cannot train, is refused at its first step."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain

import torch
from torch import nn
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm
from torch.utils.hooks import RemovableHandle

from losslab.errors import InvalidInput
from losslab.spec import Run
from losslab.training import distributed
from losslab.training.timeline import Timeline

TORCH_SAYS = "Expected more than 1 value per channel when training"
TRIED = 100
"""How far from a run's own value one that leaves no single sample is looked for."""


@contextmanager
def refused(run: Run, model: nn.Module, samples: int, first_step: int) -> Iterator[None]:
    """Within the context, raise InvalidInput at the first step of a run that comes to what batch norm cannot train on.

    A single image may have many values a channel, a single vector has one: the first forward pass of each batch norm
    tells. A normalisation that is no module of torch is known only when torch refuses the single sample.

    Args:
        run: what is trained.
        model: its network.
        samples: of the training part.
        first_step: where training begins or goes on.
    """
    sizes = Timeline(run, samples).batch_sizes[first_step:]
    handles: dict[str, RemovableHandle] = {}
    if any(has_single_sample(run, size) for size in set(sizes)):
        first = _first_part(run, sizes[0])

        def check(name: str, norm: _BatchNorm, inputs: tuple[torch.Tensor, ...]) -> None:
            handles.pop(name).remove()
            if _has_one_value_each(norm, inputs[0], first):
                kind = type(norm).__name__
                raise InvalidInput(_reason(run, samples, f"`{name}` ({kind})"))

        for name, norm in model.named_modules():
            # A synchronised one has the samples of all processes.
            if isinstance(norm, _BatchNorm) and not isinstance(norm, SyncBatchNorm):
                handles[name] = norm.register_forward_pre_hook(partial(check, name))
    try:
        yield
    except ValueError as error:
        if TORCH_SAYS not in str(error):
            raise
        raise InvalidInput(_reason(run, samples, "batch norm")) from error
    finally:
        for handle in handles.values():
            handle.remove()


def has_single_sample(run: Run, size: int) -> bool:
    """Whether a step of a size, or a part of it in one of the processes, is a single sample."""
    processes = distributed.processes()
    copies = size * run.repeats
    # Shares differ by one at most, and a process that has no samples works on one.
    for share in {max(1, copies // processes), -(-copies // processes)}:
        part = min(run.max_micro_batch or share, share)
        if part == 1 or share % part == 1:
            return True
    return False


def _first_part(run: Run, size: int) -> int:
    """Samples of this process's first forward pass."""
    share = max(1, len(distributed.share(size * run.repeats)))
    return min(run.max_micro_batch or share, share)


def _has_one_value_each(norm: _BatchNorm, inputs: torch.Tensor, samples: int) -> bool:
    """Whether a batch norm that trains has as many values a channel as there are samples."""
    trains = norm.training or norm.running_mean is None
    return trains and inputs.ndim > 1 and inputs.numel() == samples * inputs.shape[1]


def _reason(run: Run, samples: int, norm: str) -> str:
    parts = (
        ""
        if run.max_micro_batch is None
        else f" with `max_micro_batch` (={run.max_micro_batch})"
    )
    remedies = [f"`{field}` = {value}" for field, value in _remedies(run, samples)]
    return (
        f"`batch` (={run.batch}){parts} leaves a single one of {samples:,} training samples to a step, on which "
        f"{norm} cannot train; give {' or '.join(remedies) or 'a larger `batch`'}"
    )


def _remedies(run: Run, samples: int) -> Iterator[tuple[str, int]]:
    """The fields that can be changed so that no sample is left alone, each with such a value near its own."""
    values = {
        "max_micro_batch": run.max_micro_batch,
        "batch": run.batch,
        "train_images": samples,
    }
    for field, value in values.items():
        if not isinstance(value, int):
            continue
        larger = range(value + 1, min(value + TRIED, samples) + 1)
        smaller = range(value - 1, max(value - TRIED, 1), -1)
        for near in chain(larger, smaller):
            if not _leaves_single_sample(run, samples, field, near):
                yield field, near
                break


def _leaves_single_sample(run: Run, samples: int, field: str, value: int) -> bool:
    """Whether the run comes to a single sample with another value of a field."""
    if field == "train_images":
        samples = value
    else:
        run = run.model_copy(update={field: value})
    return any(has_single_sample(run, size) for size in set(Timeline(run, samples).batch_sizes))
