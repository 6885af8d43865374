"""Range tests as runs: a ramp is a run whose learning rate rises, a grid is runs, and so are batch sizes."""

from collections.abc import Mapping
from typing import Any

from losslab.schedules import exponential_ramp
from losslab.spec import Run, make_run

Fields = Mapping[str, Any]


def lr_runs(
    fields: Fields, *, start: float, end: float, seeds: int, mode: str = "ramp", candidates: int = 10
) -> list[Run]:
    """The runs of a learning-rate range test.

    Args:
        fields: of a run, without `lr` and `seed`.
        start: lowest learning rate.
        end: highest learning rate.
        seeds: how often the test is repeated, each with weights and order of its own.
        mode: ``ramp`` or ``grid``.
        candidates: learning rates of a grid.
    Raises:
        InvalidInput: when the fields make no run.
    """
    ramp = {"name": "exponential_ramp", "start": start, "end": end}
    candidate = exponential_ramp(start, end, candidates)
    rates = [ramp] if mode == "ramp" else [candidate(place) for place in range(candidates)]
    return [_bare_run({**fields, "lr": lr, "seed": seed}) for seed in range(seeds) for lr in rates]


def batch_runs(fields: Fields, *, size: int, seeds: int) -> list[Run]:
    """The runs of a batch-size range test at one size; equal seeds have equal weights at every size."""
    return [_bare_run({**fields, "batch": size, "seed": seed}) for seed in range(seeds)]


def _bare_run(fields: Fields) -> Run:
    return make_run({"evaluate": "end", "test": False, **fields})
