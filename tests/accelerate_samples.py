"""A training with Accelerate, alone and as one of two processes, which import this file."""

import os
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from losslab.integrations.accelerate import find_lr, lay_out

SAMPLES = 204


def parts(
    accelerator: Accelerator, workers: int = 0
) -> tuple[nn.Module, torch.optim.Optimizer, DataLoader[Any]]:
    """A model, an optimizer and a loader, prepared."""
    torch.manual_seed(0)
    inputs = torch.randn(SAMPLES, 8)
    dataset = TensorDataset(inputs, inputs[:, :3].argmax(1))
    model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.1), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = DataLoader(dataset, batch_size=16, shuffle=True, num_workers=workers)
    prepared: tuple[Any, Any, Any] = accelerator.prepare(model, optimizer, loader)
    return prepared


def train(accelerator: Accelerator, workers: int, epochs: int) -> dict[str, Any]:
    """Train by policies; the sizes and rates of the steps, and what came out."""
    model, optimizer, loader = parts(accelerator, workers)
    curve = []
    # Workers that a process of gloo forks take seconds to end, which a test of ranges would pay each epoch.
    if not workers:
        curve = find_lr(accelerator, model, loader, optimizer, steps=20, seeds=1).curve.loss
    own, course = lay_out(
        accelerator,
        loader,
        lr="exp_range(1e-3, 1e-1)",
        batch="exp_range(8, 32, multiple=2)",
        epochs=epochs,
        seed=3,
    )
    scheduler = course.lr_scheduler(optimizer)
    sizes, rates = [], []
    for _ in range(epochs):
        for inputs, targets in own:
            sizes.append(len(inputs))
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.zero_grad()
            accelerator.backward(nn.functional.cross_entropy(model(inputs), targets))
            optimizer.step()
            scheduler.step()
    weight = accelerator.unwrap_model(model)[0].weight.detach().tolist()
    return {
        "sizes": sizes,
        "rates": rates,
        "scheduled": course.batch_sizes,
        "weight": weight,
        "curve": curve,
    }


def train_one_of_two(rank: int, port: int, workers: int, epochs: int, results: Any) -> None:
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
    }
    results.put((rank, train(Accelerator(cpu=True), workers, epochs)))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
