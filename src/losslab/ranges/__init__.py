"""What is read from range tests, without torch; `find_lr` and `find_batch`, which train, are imported by themselves."""

from losslab.ranges.algorithm import ALGORITHM, AlgorithmStep
from losslab.ranges.batch import BatchRange, Evidence, find_batch_range
from losslab.ranges.branch import BranchCurve, CriticalBatch, batch_warmup
from losslab.ranges.lr import LrRange, find_lr_range
from losslab.ranges.lr_rules import RULES
from losslab.ranges.race import Race
from losslab.ranges.trace import GradientSquares, Setting, Trace, trace_of

__all__ = [
    "ALGORITHM",
    "RULES",
    "AlgorithmStep",
    "BatchRange",
    "BranchCurve",
    "CriticalBatch",
    "Evidence",
    "GradientSquares",
    "LrRange",
    "Race",
    "Setting",
    "Trace",
    "batch_warmup",
    "find_batch_range",
    "find_lr_range",
    "trace_of",
]
