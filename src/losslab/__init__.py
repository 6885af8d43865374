"""losslab measures how a neural network trains and what it costs."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from losslab.errors import LosslabError
    from losslab.range_test import find_batch, find_lr
    from losslab.ranges import BatchRange, LrRange

__version__ = "0.1.0"

_HOME = {
    "BatchRange": "losslab.ranges",
    "LosslabError": "losslab.errors",
    "LrRange": "losslab.ranges",
    "find_batch": "losslab.range_test",
    "find_lr": "losslab.range_test",
}
"""Public name -> its module; loaded on first use, so that importing losslab does not import torch."""

__all__ = ["BatchRange", "LosslabError", "LrRange", "find_batch", "find_lr"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'losslab' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
