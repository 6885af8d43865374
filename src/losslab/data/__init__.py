"""Data sets: fetched from one of several sources, checked byte for byte, stored once, memory-mapped; or your own.

Names load on first use, so that importing this package costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from losslab.data.catalog import CATALOG, is_dataset

# Type checkers and editors read these; at run time `_HOME` leads to the same names.
if TYPE_CHECKING:
    from losslab.data.dataset import Dataset, summary
    from losslab.data.loading import fetch, load, load_images
    from losslab.data.picture import write_samples
    from losslab.data.splitting import split
    from losslab.data.task_data import TaskData

_HOME = {
    "Dataset": "losslab.data.dataset",
    "TaskData": "losslab.data.task_data",
    "fetch": "losslab.data.loading",
    "load": "losslab.data.loading",
    "load_images": "losslab.data.loading",
    "split": "losslab.data.splitting",
    "summary": "losslab.data.dataset",
    "write_samples": "losslab.data.picture",
}

__all__ = [
    "CATALOG",
    "Dataset",
    "TaskData",
    "fetch",
    "is_dataset",
    "load",
    "load_images",
    "split",
    "summary",
    "write_samples",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'losslab.data' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)
