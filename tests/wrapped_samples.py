"""Range tests of modules that torch wraps for several processes; two processes import this file."""

import os
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

import losslab
from losslab.integrations.torch import PolicyBatchSampler

SAMPLES = 128


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))


def loader(rank: int | None = None, replicas: int = 1) -> DataLoader[Any]:
    """Batches of 16, in one order; each process has its share of every batch."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(SAMPLES, 8, generator=generator)
    dataset = TensorDataset(inputs, inputs[:, :3].argmax(1))
    sampler = PolicyBatchSampler(dataset, 16, shuffle=False, rank=rank, replicas=replicas)
    return DataLoader(dataset, batch_sampler=sampler)


def full(value: torch.Tensor) -> torch.Tensor:
    """The whole of a weight of which each process has a part."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def find_as_one_of_two(rank: int, port: int, kind: str, results: Any) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    model = network()
    if kind == "fsdp2":
        mesh = torch.distributed.init_device_mesh("cpu", (2,))
        wrapped: nn.Module = fully_shard(model, mesh=mesh)
    else:
        wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(wrapped.parameters(), lr=1e-3)
    data = loader(rank, 2)
    before = [full(value).detach().clone() for value in wrapped.parameters()]
    options: dict[str, Any] = {"steps": 60, "seeds": 1, "start": 1e-5, "end": 1.0}
    plain = losslab.find_lr(wrapped, data, optimizer, **options)
    accumulated = losslab.find_lr(
        wrapped, data, optimizer, accumulate=2, clip_norm=0.5, **options
    )
    after = [full(value) for value in wrapped.parameters()]
    same = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    is_empty = not optimizer.state and data.batch_sampler.state_dict()["next"]["epoch"] == 0
    results.put((rank, plain.curve.loss, accumulated.curve.loss, same, is_empty))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
