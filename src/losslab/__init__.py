"""losslab measures how a neural network trains and what it costs."""

import importlib
from typing import TYPE_CHECKING, Any

# Type checkers and editors read these; at run time `_HOME` leads to the same names.
if TYPE_CHECKING:
    from losslab.accounting.count import count
    from losslab.errors import LosslabError
    from losslab.integrations.torch import lay_out
    from losslab.ranges import BatchRange, CriticalBatch, LrRange, batch_warmup
    from losslab.ranges.find_batch import find_batch
    from losslab.ranges.find_lr import find_lr
    from losslab.ranges.saved import read_range
    from losslab.reports import report
    from losslab.spec import Run, Study
    from losslab.study.engines import choose_engine
    from losslab.study.execute import execute
    from losslab.study.load import load_study
    from losslab.study.planning import plan
    from losslab.study.results import read_evaluations
    from losslab.training.loop import train

__version__ = "0.1.0"

_HOME = {
    "BatchRange": "losslab.ranges",
    "CriticalBatch": "losslab.ranges",
    "LosslabError": "losslab.errors",
    "LrRange": "losslab.ranges",
    "Run": "losslab.spec",
    "Study": "losslab.spec",
    "batch_warmup": "losslab.ranges",
    "choose_engine": "losslab.study.engines",
    "count": "losslab.accounting",
    "execute": "losslab.study.execute",
    "find_batch": "losslab.ranges.find_batch",
    "find_lr": "losslab.ranges.find_lr",
    "lay_out": "losslab.integrations.torch",
    "load_study": "losslab.study.load",
    "plan": "losslab.study.planning",
    "read_evaluations": "losslab.study.results",
    "read_range": "losslab.ranges.saved",
    "report": "losslab.reports",
    "train": "losslab.training.loop",
}
"""Public name -> its module; loaded on first use, so that importing losslab does not import torch."""

__all__ = [
    "BatchRange",
    "CriticalBatch",
    "LosslabError",
    "LrRange",
    "Run",
    "Study",
    "batch_warmup",
    "choose_engine",
    "count",
    "execute",
    "find_batch",
    "find_lr",
    "lay_out",
    "load_study",
    "plan",
    "read_evaluations",
    "read_range",
    "report",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'losslab' has no attribute '{name}'")
    # Not stored in this module: a test or a user who replaces the name in its home finds the new one here, too.
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
