"""losslab measures how a neural network trains and what it costs."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from losslab.accounting import count
    from losslab.errors import LosslabError

__version__ = "0.1.0"

_HOME = {
    "LosslabError": "losslab.errors",
    "count": "losslab.accounting",
}
"""Public name -> its module; loaded on first use, so that importing losslab does not import torch."""

__all__ = ["LosslabError", "count"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'losslab' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
