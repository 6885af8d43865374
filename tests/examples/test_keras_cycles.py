"""The script of ranges and cycles with Keras, run small."""

import pytest
from example_files import load

pytest.importorskip("keras")
pytestmark = pytest.mark.frameworks


def test_every_part_is_done_and_the_model_saw_the_cycles() -> None:
    script = load("keras_cycles")
    scale = script.Scale(images=400, test_steps=30, seeds=1, epochs=2, cycles=1, sizes=(16, 64))
    outcome = script.compare(scale=scale)
    assert outcome.ramp.mode == "ramp"
    assert outcome.grid.mode == "grid"
    assert [point.micro_batch for point in outcome.batch.curve.evidence] == [None, None]
    names = [training.name.split()[:2] for training in outcome.trainings]
    assert names[0] == ["cyclical", "lr"]
    assert names[2] == ["cyclical", "batch"]
    by_lr, _constant, by_batch, *_ = outcome.trainings
    assert len(set(by_lr.history.lr)) > len(by_lr.history.lr) / 2
    assert by_lr.history.lr[0] == min(by_lr.history.lr)
    assert len(set(by_batch.history.batch_size)) > 2
    assert sum(by_batch.history.batch_size) >= 800
    assert all(0 <= training.accuracy <= 1 for training in outcome.trainings)
