"""How good the suggested learning rate is for fine-tuning: what it loses against the best of a grid.

A small decoder learns to count by steps of any size modulo 31; it is then fine-tuned on sequences whose step doubles
each time, and, for comparison, trained on those from scratch. The suggestion is that of `find_lr` on the weights at
hand. Regret is the validation loss after training at a constant rate, interpolated over log lr, less the lowest of a
grid of three rates a decade; medians over seeds. Forgetting is the rise of the loss of the first task, at the
suggestion and at the best rate. Writes benchmarks/fine_tuning.json.

Usage: python benchmarks/fine_tuning.py [seeds] [grid rates a decade]
"""

import copy
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import losslab

TOKENS, LENGTH, WIDTH = 31, 10, 32
PRETRAINING_STEPS, STEPS, BATCH = 1000, 120, 32
LOWEST, HIGHEST = -6.0, -1.0
OUT = Path(__file__).with_suffix(".json")


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(TOKENS, WIDTH)
        self.positions = nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, TOKENS)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        length = ids.shape[1]
        hidden = self.tokens(ids) + self.positions(torch.arange(length))
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        logits: torch.Tensor = self.head(self.layers(hidden, mask=mask, is_causal=True))
        return logits


def counting(samples: int, seed: int, *, doubling: bool) -> torch.Tensor:
    """Sequences whose step stays, or doubles after each token."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(TOKENS, (samples, 1), generator=generator)
    step = torch.randint(1, TOKENS, (samples, 1), generator=generator)
    ids = [first]
    for _ in range(LENGTH - 1):
        ids.append((ids[-1] + step) % TOKENS)
        if doubling:
            step = 2 * step % TOKENS
    return torch.cat(ids, 1)


def loss_of(model: nn.Module, batch: Any) -> torch.Tensor:
    """The first two tokens can be known by none."""
    ids = batch[0]
    logits = model(ids[:, :-1])[:, 1:]
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 2:].flatten())


def train(model: nn.Module, ids: torch.Tensor, lr: float, steps: int, seed: int) -> None:
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for _ in range(steps):
        rows = torch.randint(len(ids), (BATCH,))
        optimizer.zero_grad()
        loss_of(model, (ids[rows],)).backward()
        optimizer.step()


@torch.no_grad()
def validated(model: nn.Module, ids: torch.Tensor) -> float:
    loss = float(loss_of(model, (ids,)))
    return loss if np.isfinite(loss) else 100.0


def trial(seed: int, a_decade: int, *, fine_tuned: bool) -> dict[str, Any]:
    """Suggestions, and the losses over the grid."""
    second = counting(1024, seed, doubling=True)
    first_test, second_test = (
        counting(512, 1000 + seed, doubling=doubling) for doubling in (False, True)
    )
    torch.manual_seed(seed)
    model = Decoder()
    if fine_tuned:
        train(model, counting(8192, 2000 + seed, doubling=False), 3e-3, PRETRAINING_STEPS, seed)
    loader = DataLoader(TensorDataset(second), batch_size=BATCH, shuffle=True)
    found = losslab.find_lr(
        model, loader, "adamw", loss_fn=loss_of, start=1e-7, end=1.0, steps=200, seeds=3
    )
    suggestions = {
        "suggestion": found.suggestion,
        "lr_max / 10": found.lr_max / 10 if found.lr_max else None,
        "lr_min": found.lr_min,
    }
    points = round((HIGHEST - LOWEST) * a_decade) + 1
    grid = np.linspace(LOWEST, HIGHEST, points)
    before = validated(model, first_test)
    losses, kept = [], []
    for exponent in grid:
        copied = copy.deepcopy(model)
        train(copied, second, 10**exponent, STEPS, seed)
        losses.append(validated(copied, second_test))
        kept.append(validated(copied, first_test) - before)
    return {
        "suggestions": suggestions,
        "lr": (10**grid).tolist(),
        "loss": losses,
        "forgetting": kept,
        "loss_before": validated(model, second_test),
    }


def summary(trials: list[dict[str, Any]]) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    for rule in trials[0]["suggestions"]:
        regrets, rates, forgetting = [], [], []
        for one in trials:
            rate = one["suggestions"][rule]
            if rate is None:
                continue
            at = np.interp(np.log10(rate), np.log10(one["lr"]), one["loss"])
            regrets.append(float(at) - min(one["loss"]))
            rates.append(rate)
            forgetting.append(
                float(np.interp(np.log10(rate), np.log10(one["lr"]), one["forgetting"]))
            )
        rules[rule] = {
            "found": len(rates),
            "lr": median(rates) if rates else None,
            "regret": median(regrets) if rates else None,
            "worst": max(regrets) if rates else None,
            "forgetting": median(forgetting) if rates else None,
        }
    best = [int(np.argmin(one["loss"])) for one in trials]
    return {
        "best_lr": median(one["lr"][i] for one, i in zip(trials, best, strict=True)),
        "best_loss": median(min(one["loss"]) for one in trials),
        "loss_before": median(one["loss_before"] for one in trials),
        "forgetting_at_best": median(
            one["forgetting"][i] for one, i in zip(trials, best, strict=True)
        ),
        "rules": rules,
    }


def main(seeds: int = 3, a_decade: int = 3) -> None:
    torch.set_num_threads(1)
    results = {}
    for name, fine_tuned in (("fine-tuned", True), ("from scratch", False)):
        trials = [trial(seed, a_decade, fine_tuned=fine_tuned) for seed in range(seeds)]
        results[name] = summary(trials) | {"trials": trials}
        print(
            name,
            json.dumps({k: v for k, v in results[name].items() if k != "trials"}, indent=1),
        )
    head = {"seeds": seeds, "steps": STEPS, "torch": torch.__version__}
    OUT.write_text(json.dumps(head | results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
