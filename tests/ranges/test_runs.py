"""Range tests of named things: equal weights at every size, parts halved where memory ends."""

import sys
from typing import Any

import pytest
from samples import tiny_data

from losslab.errors import InvalidInput, OutOfMemory
from losslab.ranges import Trace
from losslab.ranges import run_traces as module
from losslab.ranges.branch_runs import branch_run
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


def test_the_noise_is_that_of_the_gradient_of_the_loss_that_trains() -> None:
    fields = {**FIELDS, "lr": 1e-9, "steps": 2, "evaluate": "end"}
    runs = [
        make_run({**fields, "loss": f"cross_entropy(label_smoothing={part})"})
        for part in (0.0, 0.5)
    ]
    squares = [trace(run, noise_batch=16).gradient_squares for run in runs]
    assert squares[0] != squares[1]
    assert trace(make_run(fields), noise_batch=16).gradient_squares == squares[0]


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


def test_branches_keep_the_rates_that_groups_have_beside_the_runs() -> None:
    fields = {
        "data": "samples:tiny_data",
        "model": "mlp(hidden=[8])",
        "optimizer": "sgd",
        "lr": 0.1,
        "batch": 23,
        "steps": 4,
    }
    seen: list[list[float]] = []

    def spy(_model: Any, _data: Any, optimizer: Any, **options: Any) -> None:
        seen.append([options["lr"], *(group["lr"] for group in optimizer.param_groups)])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("losslab.ranges.branch_runs.find_batch", spy)
        for after in (0, 2):
            run = make_run({**fields, "parameter_groups": "optimizer_samples:layerwise"})
            branch_run(run, tiny_data(), after=after, sizes=[23, 46], steps=2, seeds=1)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) > 1
    own = make_run({**fields, "parameter_groups": "optimizer_samples:own_rates"})
    with pytest.raises(InvalidInput, match="a group has a rate of its own"):
        branch_run(own, tiny_data(), after=0, sizes=[23, 46], steps=2, seeds=1)
