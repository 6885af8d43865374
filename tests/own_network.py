"""A small network and its data, as a user has them: plain torch."""

from typing import Any

import torch
from samples import tiny_data
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

DATA = tiny_data()


def tensors() -> TensorDataset:
    images = torch.from_numpy(DATA.train_images.copy()).float() / 60 - 2
    return TensorDataset(images, torch.from_numpy(DATA.train_labels.copy()))


def loader(**options: Any) -> DataLoader:
    return DataLoader(tensors(), batch_size=16, shuffle=True, drop_last=True, **options)


def plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(108, 16), nn.ReLU(), nn.Linear(16, 3))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(128, 3),
    )
