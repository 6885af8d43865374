"""Train on a Hugging Face dataset that lies on disk: its folder is the data of a run.

``HF_DATASET=FOLDER losslab train --data hf_dataset:rows --model mlp --optimizer adam --lr 1e-3 --epochs 5`` from this
folder, or ``data = "hf_dataset:rows"`` of a study. FOLDER is what ``datasets.Dataset.save_to_disk`` wrote; it needs
``pip install datasets``. Rows are read from disk as batches need them, by ``data_workers`` processes where a run has
them; they never lie in memory together.
"""

import os
from collections.abc import Sequence
from typing import Any

import torch
from datasets import load_from_disk
from torch.utils.data import DataLoader

from losslab.data import TaskData


def pairs(rows: Sequence[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of (inputs, targets) from rows that have an image and a label."""
    images = torch.stack([row["image"] for row in rows])
    labels = torch.stack([row["label"] for row in rows])
    return images.float() / 255, labels


def rows() -> TaskData:
    """The dataset of the folder HF_DATASET, its features by class names."""
    dataset = load_from_disk(os.environ["HF_DATASET"])
    classes = tuple(dataset.features["label"].names)
    return TaskData(
        train=DataLoader(dataset.with_format("torch"), collate_fn=pairs), classes=classes
    )
