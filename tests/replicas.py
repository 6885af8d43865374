"""Training by a sampler whose batch size varies, alone and as one of two processes, which import this file."""

from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

from losslab.integrations.torch import PolicyBatchSampler
from losslab.schedules import cycle, exp_range, mirror, whole

SAMPLES = 103
SCHEDULE = mirror(cycle(1, 8, 7, exp_range(0.98)), noise=24)
"""Batch sizes between 24 and 3 that never divide an epoch."""
EVEN = whole(SCHEDULE, 2)


def train_one_of_two(rank: int, store: str, results: Any) -> None:
    torch.distributed.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
    sizes = train(
        model, PolicyBatchSampler(SAMPLES, EVEN, drop_last=True, rank=rank, replicas=2)
    )
    results.put((rank, sizes, model.module.weight.item()))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def train(model: torch.nn.Module, sampler: PolicyBatchSampler) -> list[int]:
    """Two epochs of SGD; returns the sizes of the batches that the model saw."""
    values = torch.linspace(-1, 1, SAMPLES)[:, None]
    loader = DataLoader(TensorDataset(values), batch_sampler=sampler)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sizes = []
    for _ in range(2):
        for (batch,) in loader:
            optimizer.zero_grad()
            ((model(batch) - batch.sin()) ** 2).mean().backward()
            optimizer.step()
            sizes.append(len(batch))
    return sizes
