"""A study of a user's own: data, losses and metrics that tests name by import path, and a death at a known step."""

import os
import signal
from pathlib import Path
from typing import Any

import samples
import torch
from torch import nn

from losslab.data import TaskData
from losslab.study import worker

STUDY = """
name = "own"
title = "Data of my own"

[[stages]]
name = "table"
[stages.base]
data = "own_task:rows"
model = "samples:table_network"
loss = "own_task:absolute_error"
metrics = ["own_task:within", "mae"]
batch = 64
epochs = 2
lr = 0.003
[[stages.grid]]
optimizer = ["samples:Lion", "torch.optim/RAdam(betas=[0.9, 0.99])"]

[[stages]]
name = "tokens"
[stages.base]
data = "own_task:tokens"
model = "samples:reader"
loss = "own_task:token_loss"
metrics = ["own_task:hits", "perplexity"]
batch = 32
max_micro_batch = 12
epochs = 3
lr = 0.003
optimizer = "samples:Lion"
"""
CALLS = {"table": 40, "tokens": 20}
"""Task -> the call of its loss in training from which on its process dies, where a file `kill-TASK` says so."""
calls = dict.fromkeys(CALLS, 0)


def rows() -> TaskData:
    save_often()
    return samples.table(2000)


def tokens() -> TaskData:
    save_often()
    return samples.tokens()


def save_often() -> None:
    """Have a run that is killed go on from the middle and not from its beginning."""
    worker.CHECKPOINT_SECONDS = -1.0


def absolute_error(
    model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    die_if_wanted("table", model)
    outputs, targets = model(batch[0])[:, 0], batch[1]
    return (outputs - targets).abs().mean(), outputs, targets


def within(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Fraction of predictions within 1 of the truth."""
    return ((outputs - targets).abs() < 1).float().mean()


within.direction = "higher"  # type: ignore[attr-defined]


def token_loss(
    model: nn.Module, batch: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    die_if_wanted("tokens", model)
    logits, targets = model(**batch)[:, :-1], batch["input_ids"][:, 1:]
    counted = batch["attention_mask"][:, 1:] == 1
    loss = nn.functional.cross_entropy(logits[counted], targets[counted])
    return loss, logits[counted], targets[counted]


token_loss.weight = lambda batch: batch["attention_mask"][:, 1:].sum()  # type: ignore[attr-defined]


def hits(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Fraction of tokens predicted."""
    return (outputs.argmax(-1) == targets).float().mean()


hits.direction = "higher"  # type: ignore[attr-defined]


def die_if_wanted(task: str, model: nn.Module) -> None:
    """Die by SIGKILL, once; with the word `study` in the file, the process that began this one dies, too."""
    calls[task] += model.training
    order = Path(f"kill-{task}")
    # What the machine is measured by, before the study's runs, leaves no checkpoint.
    has_begun = any(Path().glob("*/runs/*/checkpoints/step-*"))
    if calls[task] < CALLS[task] or not order.exists() or not has_begun:
        return
    victims: list[Any] = [os.getpid()]
    if order.read_text() == "study":
        victims.insert(0, os.getppid())
    order.unlink()
    for process in victims:
        os.kill(process, signal.SIGKILL)
