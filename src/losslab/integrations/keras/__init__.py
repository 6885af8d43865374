"""Ranges, cycles and varying batch sizes for a Keras 3 model; needs the extra ``keras``."""

from losslab.integrations.keras.callbacks import CyclicalLearningRate, StepHistory
from losslab.integrations.keras.dataset import CyclicalBatchSize
from losslab.integrations.keras.finders import BatchFinder, LearningRateFinder

__all__ = [
    "BatchFinder",
    "CyclicalBatchSize",
    "CyclicalLearningRate",
    "LearningRateFinder",
    "StepHistory",
]
