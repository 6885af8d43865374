"""Range tests of named things: equal weights at every size, parts halved where memory ends."""

import sys
from typing import Any

import pytest
from samples import tiny_data

from losslab.errors import InvalidInput, OutOfMemory
from losslab.ranges import Trace
from losslab.ranges import run_traces as module
from losslab.ranges.run_traces import train_trace
from losslab.ranges.runs import batch_runs, lr_runs
from losslab.spec import Run, make_run
from losslab.training.loop import train

DATA = tiny_data()
FIELDS = {
    "data": "samples:tiny_data",
    "model": "mlp(hidden=[16])",
    "optimizer": "adam",
    "batch": 16,
    "steps": 60,
}


def trace(run: Run, **options: Any) -> Trace:
    *_, last = train_trace(run, DATA, **options)
    assert isinstance(last, Trace)
    return last


def test_a_run_says_how_many_samples_it_has_been_trained_on() -> None:
    run = make_run({**FIELDS, "lr": 0.01, "steps": 25, "evaluate": "end"})
    *samples, last = train_trace(run, DATA)
    # 207 training images in batches of 16 leave 15 at the end of an epoch.
    assert samples == [160, 319, 399]
    assert isinstance(last, Trace)
    assert sum(last.samples) == 399


def test_a_run_too_large_for_memory_starts_again_in_halves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def limited(run: Any, **arguments: Any) -> Any:
        assert sys.exc_info() == (None, None, None)  # which would hold the failed attempt
        for record in train(run, **arguments):
            yield record
            if (run.max_micro_batch or 64) > 16:
                raise OutOfMemory(0)

    monkeypatch.setattr(module, "train", limited)
    run = make_run({**FIELDS, "lr": 0.01, "batch": 64, "steps": 3})
    assert trace(run).micro_batch == 16


def test_runs_of_one_seed_start_from_the_same_weights_at_every_size() -> None:
    hashes = [
        trace(run).weights_sha256
        for size in (8, 64)
        for run in batch_runs({**FIELDS, "lr": 0.01, "steps": 2}, size=size, seeds=2)
    ]
    assert hashes[:2] == hashes[2:]
    assert hashes[0] != hashes[1]
    with pytest.raises(InvalidInput):
        lr_runs({**FIELDS, "data": "none"}, start=1e-3, end=1.0, seeds=1)
