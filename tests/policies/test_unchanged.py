"""Identities and timelines of runs that exist: the same run must stay the same, whatever policies are added."""

from collections.abc import Callable
from hashlib import sha256
from math import cos, floor, pi
from typing import Any

import pytest

from losslab.spec import make_run
from losslab.training.timeline import Timeline

IMAGES = 1000

RUNS: dict[str, tuple[dict[str, Any], str, str]] = {
    "numbers": (
        {"epochs": 3},
        "cddfb7c0752e",
        "d14e7a7c969c",
    ),
    "exp_range of both": (
        {
            "lr": "exp_range(base_lr=1e-3, max_lr=0.1)",
            "batch": "exp_range(b_min=8, b_max=64, cycles=2)",
            "epochs": 4,
        },
        "e45accff3278",
        "209534f3806d",
    ),
    "a table": (
        {
            "lr": {"name": "exp_range", "base_lr": 0.001, "max_lr": 0.1, "cycles": 3},
            "epochs": 4,
        },
        "27ade0f329f1",
        "f54bf8131687",
    ),
    "exp_range with its gamma": (
        {"batch": "exp_range(b_min=8, b_max=200, gamma=0.99)", "epochs": 4.5},
        "6263ee0f6bc0",
        "4094395d6ed2",
    ),
    "triangular": (
        {"batch": "triangular(b_min=7, b_max=300)", "epochs": 6},
        "4d74da4fd66c",
        "44b0278ef09a",
    ),
    "triangular by epochs, in multiples": (
        {
            "batch": "triangular(b_min=16, b_max=256, half_cycle_epochs=1, multiple=8)",
            "epochs": 6,
        },
        "c8790dd3c2d3",
        "2f451b757ccf",
    ),
    "triangular2 in steps": (
        {
            "lr": "triangular2(base_lr=0.01, max_lr=0.2)",
            "batch": "triangular2(b_min=16, b_max=64, cycles=3)",
            "steps": 150,
        },
        "55df9f34520d",
        "8544a3661430",
    ),
    "ramps": (
        {
            "lr": "linear_ramp(start=0.1, end=0.2)",
            "batch": "linear_ramp(start=4, end=400)",
            "epochs": 3,
        },
        "7bd52d915399",
        "48e275ae28bb",
    ),
    "exponential ramps": (
        {
            "lr": "exponential_ramp(start=1e-9, end=10)",
            "batch": "exponential_ramp(start=4, end=400)",
            "steps": 90,
        },
        "20dd9f40d994",
        "d1c6cdcab735",
    ),
    "piecewise": (
        {
            "lr": "piecewise(values=[0.1, 0.01], fractions=[0.5])",
            "batch": "piecewise(values=[30, 7, 400], epochs=[2, 3])",
            "epochs": 5,
        },
        "9e2a8f118585",
        "fa364589f580",
    ),
    "cosine and a constant": (
        {
            "lr": "cosine(high=0.3, warmup_epochs=1)",
            "batch": "constant(value=48, multiple=32)",
            "epochs": 3,
        },
        "4b1c2f4cee87",
        "617d35d90ce2",
    ),
    "one_cycle": (
        {"lr": "one_cycle(max_lr=0.7)", "batch": 10, "epochs": 3},
        "bcd3e50a8823",
        "a13dfb1bcabb",
    ),
}
"""Case -> the run's policies and length, its identity, a digest of its batch sizes."""


def timeline_of(fields: dict[str, Any]) -> Timeline:
    base = {
        "data": "fashion-mnist-sample",
        "model": "mlp",
        "optimizer": "sgd",
        "lr": 0.1,
        "batch": 50,
    }
    return Timeline(make_run({**base, **fields}), IMAGES)


def digest(sizes: tuple[int, ...]) -> str:
    return sha256(" ".join(map(str, sizes)).encode()).hexdigest()[:12]


@pytest.mark.parametrize(("fields", "identity", "sizes"), RUNS.values(), ids=RUNS)
def test_identity_and_batch_sizes_are_those_of_the_first_version(
    fields: dict[str, Any], identity: str, sizes: str
) -> None:
    timeline = timeline_of(fields)
    assert timeline.run.id == identity
    assert digest(timeline.batch_sizes) == sizes


def one_cycle(t: int, total: int, max_lr: float, up_fraction: float) -> float:
    peak, last = up_fraction * total - 1, total - 1
    start = max_lr / 25.0
    end = start / 1e4
    if t <= peak:
        return max_lr + (start - max_lr) * (1 + cos(pi * t / peak)) / 2
    return end + (max_lr - end) * (1 + cos(pi * (t - peak) / (last - peak))) / 2


def triangle(t: int, half: float) -> float:
    place = t / half
    return max(0.0, 1 - abs(place - 2 * floor(1 + place / 2) + 1))


LR: dict[str, Callable[[int, int], float]] = {
    "linear_ramp(start=0.1, end=3)": lambda t, n: 0.1 + (3 - 0.1) * (t / (n - 1)),
    "exponential_ramp(start=1e-9, end=10)": lambda t, n: (
        1e-9 ** (1 - t / (n - 1)) * 10 ** (t / (n - 1))
    ),
    "cosine(high=0.3)": lambda t, n: 0.0 + (0.3 - 0.0) * (1 + cos(pi * t / n)) / 2,
    "cosine(high=0.3, low=0.1, warmup_epochs=1)": lambda t, n: (
        (0.1 + (0.3 - 0.1) * (1 + cos(pi * t / n)) / 2) * min(1.0, (t + 1) / 20)
    ),
    "one_cycle(max_lr=0.7)": lambda t, n: one_cycle(t, n, 0.7, 0.3),
    "one_cycle(max_lr=0.7, up_fraction=0.45)": lambda t, n: one_cycle(t, n, 0.7, 0.45),
    "triangular(base_lr=1e-3, max_lr=0.1)": lambda t, n: (
        1e-3 + (0.1 - 1e-3) * triangle(t, n / 8) * 1.0
    ),
    "triangular(base_lr=1e-3, max_lr=0.1, half_cycle_epochs=0.7)": lambda t, n: (
        1e-3 + (0.1 - 1e-3) * triangle(t, 0.7 * n / 7) * 1.0
    ),
    "triangular2(base_lr=1e-3, max_lr=0.1, cycles=3)": lambda t, n: (
        1e-3 + (0.1 - 1e-3) * triangle(t, n / 6) * 0.5 ** floor(t / (2 * (n / 6)))
    ),
    "exp_range(base_lr=1e-3, max_lr=0.1, cycles=3)": lambda t, n: (
        1e-3 + (0.1 - 1e-3) * triangle(t, n / 6) * (0.1 ** (1 / n)) ** t
    ),
    "exp_range(base_lr=1e-3, max_lr=0.1, gamma=0.999)": lambda t, n: (
        1e-3 + (0.1 - 1e-3) * triangle(t, n / 8) * 0.999**t
    ),
}
"""Policy -> its value at step t of n, in the operations and the order of the first version."""


@pytest.mark.parametrize("policy", LR)
def test_learning_rates_are_bit_for_bit_those_of_the_first_version(policy: str) -> None:
    timeline = timeline_of({"lr": policy, "epochs": 7})
    expected = [LR[policy](step, timeline.total_steps) for step in range(timeline.total_steps)]
    assert [step.lr for step in timeline.steps()] == expected
