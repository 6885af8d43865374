"""What the finders of other frameworks suggest, how far that varies, what they leave changed and how long they take.

All test LeNet-5 under Adam on the Fashion-MNIST images that come with losslab, batch 64, from 1e-7 to 10,
a seed draws the weights and orders the data. What is left changed is compared before and after: weights and
buffers, the optimizer's state and learning rate, the random state of torch, numpy and Python, gradients. Regret is the
validation loss after four epochs at the suggestion, read off a grid of four rates a decade by interpolation, less the
lowest of the grid. Finders that are not installed are left out, and the table says so. Writes
benchmarks/framework_finders.json.

Usage: python benchmarks/framework_finders.py [seeds]
"""

import contextlib
import copy
import importlib.metadata
import io
import json
import logging
import random
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import losslab
from losslab import data
from losslab.models.lenet import lenet5

START, END, STEPS, BATCH, EPOCHS = 1e-7, 10.0, 100, 64, 4
OUT = Path(__file__).with_suffix(".json")
Finder = Callable[[nn.Module, torch.optim.Optimizer, DataLoader[Any], DataLoader[Any]], Any]


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return lenet5()


def loaders(seed: int) -> tuple[DataLoader[Any], DataLoader[Any]]:
    dataset = data.load("fashion-mnist-sample")
    pairs = [
        (dataset.train_images, dataset.train_labels),
        (dataset.test_images, dataset.test_labels),
    ]
    train, test = (
        TensorDataset(
            torch.from_numpy(images.copy()).float() / 128 - 1,
            torch.from_numpy(labels.copy()).long(),
        )
        for images, labels in pairs
    )
    torch.manual_seed(seed)
    return DataLoader(train, BATCH, shuffle=True), DataLoader(test, BATCH)


def by_losslab(
    model: nn.Module, optimizer: Any, train: Any, _test: Any, *, seeds: int, steps: int
) -> Any:
    found = losslab.find_lr(
        model, train, optimizer, start=START, end=END, steps=steps, seeds=seeds
    )
    return found.suggestion


def by_lightning(model: nn.Module, optimizer: Any, train: Any, _test: Any) -> Any:
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.tuner import Tuner

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = model
            self.lr = 1e-3

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:  # noqa: ARG002
            return F.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return optimizer

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        finder = Tuner(trainer).lr_find(
            Module(), train, min_lr=START, max_lr=END, num_training=STEPS, update_attr=False
        )
    return finder.suggestion()


def by_fastai(model: nn.Module, _optimizer: Any, train: Any, test: Any, *, rule: str) -> Any:
    from fastai.callback import schedule
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper

    with tempfile.TemporaryDirectory() as folder:
        learner = Learner(
            DataLoaders(train, test),
            model,
            loss_func=nn.CrossEntropyLoss(),
            opt_func=partial(OptimWrapper, opt=torch.optim.Adam),
            path=folder,
        )
        with learner.no_bar():
            found = learner.lr_find(
                start_lr=START,
                end_lr=END,
                num_it=STEPS,
                show_plot=False,
                suggest_funcs=(getattr(schedule, rule),),
            )
    return found[0]


def by_lr_finder(model: nn.Module, optimizer: Any, train: Any, _test: Any) -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from torch_lr_finder import LRFinder

    optimizer.param_groups[0]["lr"] = START
    finder = LRFinder(model, optimizer, nn.CrossEntropyLoss(), device="cpu")
    finder.range_test(train, start_lr=START, end_lr=END, num_iter=STEPS)
    figure, axes = pyplot.subplots()
    suggestion = finder.plot(ax=axes, suggest_lr=True)[1]
    pyplot.close(figure)
    finder.reset()
    optimizer.param_groups[0]["lr"] = 1e-3
    return suggestion


FINDERS: dict[str, tuple[str, Finder]] = {
    "losslab, 100 steps, one seed": ("losslab", partial(by_losslab, seeds=1, steps=STEPS)),
    "losslab, 300 steps, three seeds": ("losslab", partial(by_losslab, seeds=3, steps=300)),
    "Lightning's Tuner": ("lightning", by_lightning),
    "fastai, valley": ("fastai", partial(by_fastai, rule="valley")),
    "fastai, steep": ("fastai", partial(by_fastai, rule="steep")),
    "pytorch-lr-finder": ("torch-lr-finder", by_lr_finder),
}


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {
        "weights": copy.deepcopy(model.state_dict()),
        "optimizer": copy.deepcopy(optimizer.state_dict()),
        "random state": (
            torch.get_rng_state().tolist(),
            np.random.get_state()[1].tolist(),
            random.getstate(),
        ),
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "mode": [module.training for module in model.modules()],
        "attributes of modules": [sorted(vars(module)) for module in model.modules()],
    }


def is_same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(is_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(is_same, a, b))
    return bool(a == b)


def measured(finder: Finder, seed: int) -> dict[str, Any]:
    train, test = loaders(seed)
    model = network(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    torch.manual_seed(seed)
    before = state_of(model, optimizer)
    began = process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        suggestion = finder(model, optimizer, train, test)
    seconds = process_time() - began
    after = state_of(model, optimizer)
    changed = [name for name in before if not is_same(before[name], after[name])]
    return {
        "lr": None if suggestion is None else float(suggestion),
        "seconds": seconds,
        "changed": changed,
    }


def grid(seed: int = 0) -> tuple[list[float], list[float]]:
    """Validation loss after training at each rate."""
    rates = (10 ** np.linspace(-5, 0, 21)).tolist()
    losses = []
    for lr in rates:
        train, test = loaders(seed)
        model = network(seed)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        for _ in range(EPOCHS):
            for images, labels in train:
                optimizer.zero_grad()
                F.cross_entropy(model(images), labels).backward()
                optimizer.step()
        with torch.no_grad():
            total = sum(
                F.cross_entropy(model(x), y, reduction="sum").nan_to_num(1e9, posinf=1e9)
                for x, y in test
            )
        losses.append(float(total) / len(test.dataset))  # type: ignore[arg-type]
    return rates, losses


def regret(lr: float, rates: list[float], losses: list[float]) -> float:
    at = np.interp(np.log10(lr), np.log10(rates), np.log10(losses))
    return float(10**at - min(losses))


def main(seeds: int = 5) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rates, losses = grid()
    rows = {}
    for name, (package, finder) in FINDERS.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            version = losslab.__version__ if package == "losslab" else ""
        if not version:
            print(f"{package} is not installed and left out")
            continue
        trials = [measured(finder, seed) for seed in range(seeds)]
        found = [trial["lr"] for trial in trials if trial["lr"]]
        row = {
            "version": version,
            "lr": median(found) if found else None,
            "found": len(found),
            "spread_decades": float(np.log10(max(found) / min(found))) if found else None,
            "regret": median(regret(lr, rates, losses) for lr in found) if found else None,
            "worst_regret": max(regret(lr, rates, losses) for lr in found) if found else None,
            "changed": sorted({entry for trial in trials for entry in trial["changed"]}),
            "seconds": median(trial["seconds"] for trial in trials),
        }
        rows[name] = row
        print(name, json.dumps(row))
    results = {
        "seeds": seeds,
        "torch": torch.__version__,
        "best_lr": rates[int(np.argmin(losses))],
        "best_loss": min(losses),
        "grid": {"lr": rates, "loss": losses},
        "finders": rows,
    }
    OUT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
