"""Ranges read from curves: pure functions and frozen values, without torch."""

from losslab.ranges.batch import BatchRange, find_batch_range
from losslab.ranges.batch_algorithm import ALGORITHM, AlgorithmStep
from losslab.ranges.lr import LrRange, find_lr_range
from losslab.ranges.lr_rules import RULES
from losslab.ranges.trace import GradientSquares, Trace, trace_of

__all__ = [
    "ALGORITHM",
    "RULES",
    "AlgorithmStep",
    "BatchRange",
    "GradientSquares",
    "LrRange",
    "Trace",
    "find_batch_range",
    "find_lr_range",
    "trace_of",
]
