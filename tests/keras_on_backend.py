"""A script: finder, cycle and dataset on the backend of Keras that the environment names; any failure is an error."""

import sys

import keras
import numpy as np
from keras_samples import arrays, network, state

from losslab.integrations.keras import (
    BatchFinder,
    CyclicalBatchSize,
    CyclicalLearningRate,
    LearningRateFinder,
    StepHistory,
)
from losslab.schedules import exp_range


def check(backend: str) -> None:
    """Go through all that there is, once."""
    assert keras.backend.backend() == backend
    model, data = network(), arrays()
    model.fit(*data, epochs=1, verbose=0)
    before = state(model)
    found = LearningRateFinder(model, data, steps=40, seeds=1, start=1e-5)
    assert found.mode == "ramp"
    BatchFinder(model, data, sizes=[8, 32], steps=10, seeds=1, lr=1e-2)
    assert state(model) == before
    for workers in (0, 2):
        batches = CyclicalBatchSize(*data, batch="triangular(8, 40)", epochs=2, workers=workers)
        cycle, history = CyclicalLearningRate(exp_range(1e-4, 1e-2)), StepHistory(batches)
        model.fit(batches, epochs=2, shuffle=False, callbacks=[cycle, history], verbose=0)
        assert history.batch_size == list(batches.batch_sizes)
        assert history.lr == [float(np.float32(lr)) for lr in cycle.lr]
    assert state(model) != before


if __name__ == "__main__":
    check(sys.argv[1])
