"""The critical batch size and the gradient noise scale of LeNet-5 and a small transformer, at two moments of training.

The tasks are those of suggestion_lengths.py. Usage: python benchmarks/critical_batch.py OUT.json
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from suggestion_lengths import BATCH, TASKS, Task
from torch.utils.data import DataLoader, TensorDataset

from losslab.optimizers import choose
from losslab.ranges.find_batch import find_batch

SIZES = [16, 32, 64, 128, 256, 512]
OPTIMIZERS = {"sgd(momentum=0.9)": 0.01, "adam": 1e-3}
"""Method -> its learning rate at the smallest size."""
MOMENTS = (0, 300)
"""Steps of training before the branches."""
STEPS, SEEDS = 192, 2


def train(model: torch.nn.Module, optimizer: Any, task: Task, steps: int) -> None:
    """Plain steps on the task's batches, in their order."""
    for batch in task.batches[:steps]:
        optimizer.zero_grad()
        loss = task.loss(model, batch)
        (loss[0] if isinstance(loss, tuple) else loss).backward()
        optimizer.step()


def measure(task: Task, method: str, lr: float, moment: int) -> dict[str, Any]:
    """What branches from one moment find."""
    torch.manual_seed(0)
    model = task.model()
    weights = [{"params": list(model.parameters())}]
    optimizer = choose(method).build(weights, lr=lr)
    train(model, optimizer, task, moment)
    columns = [torch.cat(column) for column in zip(*task.batches, strict=True)]
    data = DataLoader(TensorDataset(*columns), batch_size=BATCH, shuffle=True, drop_last=True)
    found = find_batch(
        model,
        data,
        optimizer,
        sizes=SIZES,
        loss_fn=task.loss,
        steps=STEPS,
        seeds=SEEDS,
        mode="branch",
    )
    return found.to_dict()


def main(out: str) -> None:
    """Measure both tasks and keep what was found."""
    torch.set_num_threads(1)
    rows: dict[str, Any] = {}
    for name in ("LeNet-5", "transformer"):
        task = TASKS[name]()
        rows[name] = {}
        for method, lr in OPTIMIZERS.items():
            rows[name][method] = {
                moment: measure(task, method, lr, moment) for moment in MOMENTS
            }
            Path(out).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
