"""A small LightningModule, its data, and a training of two processes, which import this file."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SAMPLES = 203


def dataset() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, 8, generator=generator)
    return TensorDataset(inputs, inputs[:, :3].argmax(1))


class Module(LightningModule):
    def __init__(self, lr: float = 1e-3) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.save_hyperparameters()
        self.network = nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.1), nn.ReLU(), nn.Linear(16, 3)
        )
        self.sizes: list[int] = []
        self.rates: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        inputs, targets = batch
        self.sizes.append(len(inputs))
        loss = nn.functional.cross_entropy(self.network(inputs), targets)
        self.log("loss", loss, on_step=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        groups = [
            {"params": self.network[0].parameters()},
            {"params": self.network[4].parameters(), "lr": 0.1 * self.hparams["lr"]},
        ]
        return torch.optim.Adam(groups, lr=self.hparams["lr"])


class Data(LightningDataModule):
    def __init__(self, workers: int = 0) -> None:
        super().__init__()
        self.workers = workers

    def setup(self, stage: str) -> None:
        self.dataset = dataset()

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.dataset, batch_size=16, shuffle=True, num_workers=self.workers)


class Rates(Callback):
    """The rates that each step was taken with."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self.rates.append([group["lr"] for group in optimizer.param_groups])


def trainer(**options: Any) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(
        **{
            "accelerator": "cpu",
            "max_epochs": 3,
            "enable_model_summary": False,
            **quiet,
            **options,
        }
    )


def train_one_of_two(rank: int, port: int, workers: int, results: Any) -> None:
    """Train under DDP as one of two processes; tell the sizes and samples that this one saw."""
    import os

    from losslab.integrations.lightning import BatchPolicy, LrPolicy

    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "NODE_RANK": str(rank),
        "LOCAL_RANK": "0",
    }
    module, rates = Module(), Rates()
    batches = BatchPolicy("exp_range(8, 32, multiple=2)", seed=3)
    with_ddp = trainer(
        devices=1,
        num_nodes=2,
        strategy="ddp",
        callbacks=[LrPolicy("exp_range(1e-3, 1e-1)"), batches, rates],
    )
    with_ddp.fit(module, datamodule=Data(workers))
    weights = module.network[0].weight.detach().clone()
    results.put((rank, module.sizes, batches.batch_sizes, rates.rates, weights.tolist()))
