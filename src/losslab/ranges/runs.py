"""Range tests of named things: the runs that make them, without torch."""

from collections.abc import Mapping
from typing import Any

from losslab.schedules import exponential_ramp
from losslab.spec import Run, make_run

Fields = Mapping[str, Any]


def lr_runs(
    fields: Fields,
    *,
    start: float,
    end: float,
    seeds: int,
    mode: str = "ramp",
    candidates: int = 10,
) -> list[Run]:
    """The runs of a learning-rate range test: ramps, or for each seed a grid of constant rates.

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
    rates: list[Any] = [{"name": "exponential_ramp", "start": start, "end": end}]
    if mode == "grid":
        rate = exponential_ramp(start, end, candidates)
        rates = [rate(index) for index in range(candidates)]
    runs = []
    for seed in range(seeds):
        runs += [_bare_run({**fields, "lr": lr, "seed": seed}) for lr in rates]
    return runs


def batch_runs(fields: Fields, *, size: int, seeds: int) -> list[Run]:
    """The runs of a batch-size range test at one size; equal seeds have equal weights at every size."""
    return [_bare_run({**fields, "batch": size, "seed": seed}) for seed in range(seeds)]


def _bare_run(fields: Fields) -> Run:
    """A run of which only the training is of interest; what a stage says of evaluation wins."""
    return make_run({"evaluate": "end", "test": False, **fields})
