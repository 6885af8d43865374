"""Every schedule against an independent oracle: torch's schedulers, the published formula, arrays drawn by hand."""

from collections.abc import Callable
from itertools import pairwise
from math import floor, isfinite
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler as of_torch

from losslab.schedules import (
    Envelope,
    Schedule,
    chain,
    constant,
    cosine,
    cosine_batch,
    cycle,
    decay,
    exp_range,
    exponential_ramp,
    gamma_for,
    halving,
    linear_ramp,
    mirror,
    mirror_momentum,
    one_cycle,
    one_cycle_batch,
    one_cycle_momentum,
    piecewise,
    polynomial,
    restarts,
    triangular,
    triangular2,
    warm_restarts,
    warmup,
    whole,
)

positive = st.floats(1e-9, 1e4)
lengths = st.integers(2, 500)
steps_of = st.integers(0, 2000)


def values(schedule: Schedule, steps: int) -> list[float]:
    return [schedule(step) for step in range(steps)]


def torch_values(
    make: Callable[[torch.optim.Optimizer], Any],
    steps: int,
    *,
    lr: float = 1.0,
    option: str = "lr",
) -> list[float]:
    """The learning rates, or the momenta, that a torch scheduler sets."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=0.9)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps - 1):
        found.append(optimizer.param_groups[0][option])
        optimizer.step()
        scheduler.step()
    return [*found, optimizer.param_groups[0][option]]


def cyclic(mode: str, down: int, *, option: str = "lr") -> list[float]:
    """Three cycles and more of torch's CyclicLR."""
    return torch_values(
        lambda o: of_torch.CyclicLR(
            o, 0.01, 0.1, step_size_up=7, step_size_down=down, mode=mode, gamma=0.97
        ),
        3 * (7 + down) + 5,
        option=option,
    )


def once(*, three_phase: bool, strategy: str, option: str = "lr") -> list[float]:
    """torch's OneCycleLR."""
    return torch_values(
        lambda o: of_torch.OneCycleLR(
            o, 0.3, total_steps=70, three_phase=three_phase, anneal_strategy=strategy
        ),
        70,
        option=option,
    )


def one_after_the_other(optimizer: torch.optim.Optimizer) -> of_torch.SequentialLR:
    parts = [
        of_torch.LinearLR(optimizer, start_factor=0.2, total_iters=5),
        of_torch.CosineAnnealingLR(optimizer, 30),
        of_torch.CosineAnnealingWarmRestarts(optimizer, 4),
    ]
    return of_torch.SequentialLR(optimizer, parts, [9, 20])


TORCH: dict[str, tuple[Schedule, list[float]]] = {
    "triangular": (
        cycle(0.01, 0.1, 7, triangular()),
        torch_values(lambda o: of_torch.CyclicLR(o, 0.01, 0.1, step_size_up=7), 50),
    ),
    "triangular2": (
        cycle(0.01, 0.1, 7, triangular2(7)),
        torch_values(
            lambda o: of_torch.CyclicLR(o, 0.01, 0.1, step_size_up=7, mode="triangular2"), 50
        ),
    ),
    "exp_range": (
        cycle(0.01, 0.1, 7, exp_range(0.97)),
        torch_values(
            lambda o: of_torch.CyclicLR(
                o, 0.01, 0.1, step_size_up=7, mode="exp_range", gamma=0.97
            ),
            50,
        ),
    ),
    "one_cycle": (
        one_cycle(0.1, 50),
        torch_values(lambda o: of_torch.OneCycleLR(o, 0.1, total_steps=50), 50),
    ),
    "one_cycle with its own shape": (
        one_cycle(0.3, 40, up_fraction=0.6, start_divisor=10, end_divisor=100),
        torch_values(
            lambda o: of_torch.OneCycleLR(
                o, 0.3, total_steps=40, pct_start=0.6, div_factor=10, final_div_factor=100
            ),
            40,
        ),
    ),
    "triangular, halves that differ": (
        cycle(0.01, 0.1, 7, triangular, down_steps=4),
        cyclic("triangular", 4),
    ),
    "triangular2, halves that differ": (
        cycle(0.01, 0.1, 7, triangular2, down_steps=4),
        cyclic("triangular2", 4),
    ),
    "exp_range, halves that differ": (
        cycle(0.01, 0.1, 7, decay(0.97), down_steps=12),
        cyclic("exp_range", 12),
    ),
    "triangular over a run": (triangular(0.01, 0.1, 42, cycles=3), cyclic("triangular", 7)),
    "triangular2 over a run": (
        triangular2(0.01, 0.1, 66, cycles=6, up_fraction=7 / 11),
        cyclic("triangular2", 4),
    ),
    "exp_range over a run": (
        exp_range(0.01, 0.1, 42, cycles=3, gamma=0.97),
        cyclic("exp_range", 7),
    ),
    "exp_range by its half cycle": (
        exp_range(0.01, 0.1, 50, half_cycle_steps=7, end_fraction=0.97**50),
        cyclic("exp_range", 7),
    ),
    "momentum against triangular": (
        mirror_momentum(cycle(0.01, 0.1, 7), 0.01, 0.1),
        cyclic("triangular", 7, option="momentum"),
    ),
    "momentum against exp_range": (
        mirror_momentum(cycle(0.01, 0.1, 7, decay(0.97), down_steps=12), 0.01, 0.1),
        cyclic("exp_range", 12, option="momentum"),
    ),
    "one_cycle, three phases": (
        one_cycle(0.3, 70, three_phase=True),
        once(three_phase=True, strategy="cos"),
    ),
    "one_cycle, linear": (
        one_cycle(0.3, 70, linear=True),
        once(three_phase=False, strategy="linear"),
    ),
    "one_cycle, linear, three phases": (
        one_cycle(0.3, 70, linear=True, three_phase=True),
        once(three_phase=True, strategy="linear"),
    ),
    "momentum of one_cycle": (
        one_cycle_momentum(70),
        once(three_phase=False, strategy="cos", option="momentum"),
    ),
    "momentum of one_cycle, linear": (
        one_cycle_momentum(70, linear=True),
        once(three_phase=False, strategy="linear", option="momentum"),
    ),
    "momentum of one_cycle, three phases": (
        one_cycle_momentum(70, three_phase=True),
        once(three_phase=True, strategy="cos", option="momentum"),
    ),
    "warm restarts": (
        restarts(1.0, 0.1, 7),
        torch_values(lambda o: of_torch.CosineAnnealingWarmRestarts(o, 7, eta_min=0.1), 30),
    ),
    "warm restarts that become longer": (
        restarts(1.0, 0.1, 5, growth=3),
        torch_values(
            lambda o: of_torch.CosineAnnealingWarmRestarts(o, 5, 3, eta_min=0.1),
            5 + 15 + 45 + 20,
        ),
    ),
    "warm restarts over a run": (
        warm_restarts(1.0, 0.1, 35, cycles=3, growth=2),
        torch_values(lambda o: of_torch.CosineAnnealingWarmRestarts(o, 5, 2, eta_min=0.1), 35),
    ),
    "polynomial": (
        polynomial(1.0, 0.0, 30, power=1.7),
        torch_values(lambda o: of_torch.PolynomialLR(o, 30, power=1.7), 90),
    ),
    "chain": (
        chain([linear_ramp(0.2, 1.0, 6), cosine(1.0, 0.0, 30), restarts(1.0, 0.0, 4)], [9, 20]),
        torch_values(one_after_the_other, 40),
    ),
    "cosine": (
        cosine(1.0, 0.1, 30),
        torch_values(lambda o: of_torch.CosineAnnealingLR(o, 30, eta_min=0.1), 31),
    ),
    "linear ramp": (
        linear_ramp(0.2, 1.0, 21),
        torch_values(
            lambda o: of_torch.LinearLR(o, start_factor=0.2, end_factor=1.0, total_iters=20), 30
        ),
    ),
    "exponential ramp": (
        exponential_ramp(1.0, 0.9**20, 21),
        torch_values(lambda o: of_torch.ExponentialLR(o, 0.9), 21),
    ),
    "piecewise": (
        piecewise([1.0, 0.1, 0.01], [5, 12]),
        torch_values(lambda o: of_torch.MultiStepLR(o, [5, 12], gamma=0.1), 20),
    ),
    "piecewise, two boundaries at once": (
        piecewise([1.0, 0.1, 0.01], [5, 5]),
        torch_values(lambda o: of_torch.MultiStepLR(o, [5, 5], gamma=0.1), 20),
    ),
    "warm-up": (
        warmup(constant(1.0), 8),
        torch_values(lambda o: of_torch.LinearLR(o, start_factor=1 / 8, total_iters=7), 20),
    ),
    "warm-up, then cosine": (
        cosine(1.0, 0.0, 30, warmup_steps=5),
        [
            up * down
            for up, down in zip(
                torch_values(
                    lambda o: of_torch.LinearLR(o, start_factor=1 / 5, total_iters=4), 30
                ),
                torch_values(lambda o: of_torch.CosineAnnealingLR(o, 30), 30),
                strict=True,
            )
        ],
    ),
}


@pytest.mark.parametrize(("schedule", "expected"), TORCH.values(), ids=TORCH)
def test_it_equals_torchs_own(schedule: Schedule, expected: list[float]) -> None:
    assert values(schedule, len(expected)) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def smiths_reference(
    iteration: int, base: float, top: float, s: float, scale: Callable[[float, int], float]
) -> float:
    """CLR's reference code, with the cycle and the iteration to scale by."""
    c = floor(1 + iteration / (2 * s))
    x = abs(iteration / s - 2 * c + 1)
    return base + (top - base) * max(0.0, 1 - x) * scale(c, iteration)


SCALES: dict[str, tuple[Callable[[float], Envelope], Callable[[float, int], float]]] = {
    "triangular": (lambda s: triangular(), lambda c, it: 1.0),
    "triangular2": (triangular2, lambda c, it: 1 / 2 ** (c - 1)),
    "exp_range": (lambda s: exp_range(0.99), lambda c, it: 0.99**it),
}


@pytest.mark.parametrize(("envelope", "scale"), SCALES.values(), ids=SCALES)
@given(base=st.floats(1e-6, 0.1), ratio=st.floats(1.1, 1e4), s=st.floats(1, 300), step=steps_of)
def test_cycles_equal_smiths_formula(
    envelope: Callable[[float], Envelope],
    scale: Callable[[float, int], float],
    base: float,
    ratio: float,
    s: float,
    step: int,
) -> None:
    expected = smiths_reference(step, base, base * ratio, s, scale)
    assert cycle(base, base * ratio, s, envelope(s))(step) == pytest.approx(expected, rel=1e-9)


DRAWN: dict[str, tuple[Schedule, list[float]]] = {
    "constant": (constant(0.5), [0.5, 0.5, 0.5]),
    "linear ramp, held at its end": (linear_ramp(0, 3, 4), [0, 1, 2, 3, 3, 3]),
    "linear ramp down": (linear_ramp(3, 1, 3), [3, 2, 1, 1]),
    "ten learning rates of a range test": (
        exponential_ramp(1e-9, 1e1, 11),
        [10.0**e for e in range(-9, 2)],
    ),
    "exponential ramp down": (exponential_ramp(8, 1, 4), [8, 4, 2, 1, 1]),
    "piecewise": (piecewise([4, 2, 1], [2, 3]), [4, 4, 2, 1, 1]),
    "warm-up": (warmup(constant(4), 4), [1, 2, 3, 4, 4]),
    "two triangles": (cycle(0, 2, 2), [0, 1, 2, 1, 0, 1, 2, 1, 0]),
    "half a step too long": (cycle(0, 3, 1.5), [0, 2, 2, 0, 2, 2, 0]),
    "triangular2": (
        cycle(0, 4, 2, triangular2(2)),
        [0, 2, 4, 2, 0, 1, 2, 1, 0, 0.5, 1, 0.5, 0],
    ),
    "exp_range": (cycle(0, 1, 2, exp_range(0.5)), [0, 0.25, 0.25, 0.0625, 0, 0.5**6, 0.5**6]),
    "a function of whole cycles in place of its envelope": (
        cycle(0, 4, 1, triangular2, down_steps=2),
        [0, 4, 2, 0, 2, 1, 0, 1, 0.5],
    ),
    "polynomial": (polynomial(5, 1, 2, power=2), [5, 2, 1, 1]),
    "cosine of a batch size": (cosine_batch(16, 48, 2), [16, 32, 48, 48]),
    "one cycle of a batch size": (
        one_cycle_batch(60, 10, 90, 10, down_fraction=0.4, linear=True),
        [
            60,
            60 - 50 / 3,
            60 - 100 / 3,
            10,
            10 + 80 / 6,
            10 + 160 / 6,
            50,
            10 + 320 / 6,
            10 + 400 / 6,
            90,
            90,
        ],
    ),
    "chain": (chain([constant(7), linear_ramp(1, 3, 3)], [2]), [7, 7, 1, 2, 3, 3]),
    "chain, a part that is never taken": (
        chain([constant(7), constant(8), constant(9)], [1, 1]),
        [7, 9, 9],
    ),
    "mirror of a triangle": (mirror(cycle(1, 4, 3), 120), [120, 60, 40, 30, 40, 60, 120]),
    "whole multiples": (whole(linear_ramp(1, 100, 4), 32), [32, 32, 64, 96]),
}


@pytest.mark.parametrize(("schedule", "expected"), DRAWN.values(), ids=DRAWN)
def test_it_equals_what_is_drawn_by_hand(schedule: Schedule, expected: list[float]) -> None:
    assert values(schedule, len(expected)) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@given(
    start=positive,
    end=positive,
    steps=lengths,
    ramp=st.sampled_from([linear_ramp, exponential_ramp]),
)
def test_ramps_are_monotone_between_their_ends(
    start: float, end: float, steps: int, ramp: Callable[[float, float, int], Schedule]
) -> None:
    found = values(ramp(start, end, steps), steps + 3)
    direction = 1 if end >= start else -1
    slack = 1e-12 * max(start, end)
    assert all(direction * (after - before) >= -slack for before, after in pairwise(found))
    assert found[0] == pytest.approx(start, rel=1e-12)
    assert found[-4:] == pytest.approx([end] * 4, rel=1e-12)


@given(high=positive, part=st.floats(0, 1), steps=lengths)
def test_cosine_falls_from_high_to_low_and_stays(high: float, part: float, steps: int) -> None:
    found = values(cosine(high, high * part, steps), steps + 3)
    assert all(after <= before + 1e-12 * high for before, after in pairwise(found))
    assert (found[0], found[-1]) == pytest.approx(
        (high, high * part), rel=1e-12, abs=1e-15 * high
    )


@given(max_lr=positive, steps=st.integers(10, 500), up_fraction=st.floats(0.2, 0.8))
def test_one_cycle_rises_once_and_falls_once(
    max_lr: float, steps: int, up_fraction: float
) -> None:
    found = values(one_cycle(max_lr, steps, up_fraction=up_fraction), steps + 2)
    top = found.index(max(found))
    rise, fall = found[: top + 1], found[top:]
    assert rise == sorted(rise)
    assert fall == sorted(fall, reverse=True)
    assert (found[0], found[-1]) == pytest.approx((max_lr / 25, max_lr / 25e4), rel=1e-9)
    assert max(found) <= max_lr * (1 + 1e-12)


@st.composite
def cycles(draw: st.DrawFn) -> tuple[Schedule, float, float, int]:
    """A cycle with any envelope, its ends and its half length, which is whole."""
    low, half = draw(positive), draw(st.integers(1, 100))
    high = low * draw(st.floats(1.01, 1e4))
    envelope = draw(
        st.sampled_from(
            [triangular(), triangular2(half), exp_range(0.999), exp_range(0.5), exp_range(1)]
        )
    )
    return cycle(low, high, half, envelope), low, high, half


@given(drawn=cycles(), step=steps_of)
def test_cycles_stay_within_their_bounds(
    drawn: tuple[Schedule, float, float, int], step: int
) -> None:
    schedule, low, high, _ = drawn
    assert isfinite(schedule(step))
    assert low <= schedule(step) <= high * (1 + 1e-12)


@given(drawn=cycles(), cycle_index=st.integers(0, 40))
def test_cycles_end_at_their_lower_bound(
    drawn: tuple[Schedule, float, float, int], cycle_index: int
) -> None:
    schedule, low, _, half = drawn
    assert schedule(2 * half * cycle_index) == low


@given(drawn=cycles())
def test_peaks_never_rise(drawn: tuple[Schedule, float, float, int]) -> None:
    schedule, _, _, half = drawn
    peaks = [schedule(half * (2 * index + 1)) for index in range(10)]
    assert peaks == sorted(peaks, reverse=True)


@given(end_fraction=st.floats(1e-6, 1), steps=st.integers(1, 100_000))
def test_gamma_brings_the_envelope_down_by_the_end(end_fraction: float, steps: int) -> None:
    assert exp_range(gamma_for(end_fraction, steps))(steps) == pytest.approx(
        end_fraction, rel=1e-9
    )


@given(
    drawn=cycles(), constant_lr=positive, constant_batch=st.integers(1, 10_000), step=steps_of
)
def test_a_mirror_has_the_noise_of_its_schedule(
    drawn: tuple[Schedule, float, float, int],
    constant_lr: float,
    constant_batch: int,
    step: int,
) -> None:
    """The noise scale is proportional to lr/B: a varying lr at one batch size, one lr at the mirrored batch size."""
    lr = drawn[0]
    batch = mirror(lr, noise=constant_lr * constant_batch)
    assert constant_lr / batch(step) == pytest.approx(lr(step) / constant_batch, rel=1e-12)


@given(lr=st.floats(1e-6, 1), half_life=st.floats(1, 1000), step=st.integers(0, 1000))
def test_the_mirror_of_exponential_decay_is_exponential_growth(
    lr: float, half_life: float, step: int
) -> None:
    batch = mirror(lambda t: lr * 0.5 ** (t / half_life), noise=64 * lr)
    assert batch(step) == pytest.approx(64 * 2 ** (step / half_life), rel=1e-9)


@given(value=st.floats(0.01, 1e5), multiple=st.integers(1, 512))
def test_whole_gives_the_nearest_multiple_but_never_none(value: float, multiple: int) -> None:
    size = whole(constant(value), multiple)(0)
    assert isinstance(size, int)
    assert size % multiple == 0
    assert size > 0
    assert abs(size - value) <= multiple / 2 or size == multiple


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: linear_ramp(1, 2, 1), r"`steps` \(=1\) must be at least 2"),
        (lambda: exponential_ramp(0, 2, 5), r"`start` \(=0\) must be positive"),
        (lambda: exponential_ramp(1, float("nan"), 5), r"`end` \(=nan\) must be positive"),
        (
            lambda: exponential_ramp(1, float("inf"), 5),
            r"`end` \(=inf\) must be positive and finite",
        ),
        (lambda: piecewise([1, 2], []), r"`values` \(=\[1, 2\]\) must be one more"),
        (lambda: piecewise([1, 2, 3], [4, 2]), r"ordered boundaries \[4, 2\]"),
        (lambda: warmup(constant(1), 0), r"`steps` \(=0\) must be positive"),
        (lambda: cosine(1, 0, 0), r"`steps` \(=0\) must be positive"),
        (lambda: one_cycle(1, 2), r"`steps` \(=2\) with `up_fraction` \(=0.3\) must leave"),
        (lambda: one_cycle(1, 100, up_fraction=1), r"`up_fraction` \(=1\)"),
        (
            lambda: cycle(0.1, 0.01, 5),
            r"`high` \(=0.01\) must exceed `low` \(=0.1\); swap them",
        ),
        (lambda: cycle(0.1, 0.1, 5), r"must exceed"),
        (lambda: cycle(0.1, 1, 0), r"`half_cycle_steps` \(=0\) must be positive"),
        (lambda: triangular2(0), r"`half_cycle_steps` \(=0\) must be positive"),
        (lambda: exp_range(1.1), r"`gamma` \(=1.1\) must lie in \(0, 1\]"),
        (lambda: exp_range(0), r"`gamma` \(=0\)"),
        (lambda: decay(0), r"`gamma` \(=0\)"),
        (lambda: halving(-1), r"`half_cycle_steps` \(=-1\) must be positive"),
        (lambda: cycle(0.1, 1, 5, down_steps=0), r"`down_steps` \(=0\) must be positive"),
        (
            lambda: triangular(1, 2, 10, up_fraction=1),
            r"`up_fraction` \(=1\) must lie between 0 and 1",
        ),
        (lambda: triangular(1, 2, 10, cycles=0), r"`cycles` \(=0\) must be positive"),
        (
            lambda: exp_range(1, 2, 10, cycles=1, half_cycle_steps=5),
            r"give `cycles` \(=1\) or half .* not both",
        ),
        (lambda: polynomial(1, 0, 10, power=0), r"`power` \(=0\) must be positive"),
        (lambda: restarts(1, 0, 5, growth=0.5), r"`growth` \(=0.5\) must be at least 1"),
        (lambda: warm_restarts(1, 0, 5, cycles=0), r"`cycles` \(=0\) must be positive"),
        (
            lambda: one_cycle(1, 10, up_fraction=0.6, three_phase=True),
            r"must leave steps for three phases",
        ),
        (lambda: cosine_batch(8, 4, 10), r"`b_max` \(=4\) must exceed `b_min` \(=8\)"),
        (lambda: one_cycle_batch(8, 8, 16, 10), r"`b_start` \(=8\) must exceed `b_min` \(=8\)"),
        (lambda: one_cycle_batch(9, 8, 7, 10), r"`b_max` \(=7\) must exceed"),
        (lambda: chain([constant(1)], [3]), r"`schedules` \(=1 of them\) must be one more"),
        (
            lambda: mirror_momentum(constant(1), 2, 1),
            r"`max_lr` \(=1\) must exceed `base_lr` \(=2\)",
        ),
        (lambda: gamma_for(0, 5), r"`end_fraction` \(=0\) must lie in \(0, 1\]"),
        (lambda: gamma_for(0.5, 0), r"`steps` \(=0\) must be positive"),
        (lambda: mirror(constant(1), 0), r"`noise` \(=0\) must be positive"),
        (
            lambda: mirror(cosine(1, 0, 5), 1)(5),
            r"the learning rate \(=0.0\) at step 5 has no mirror",
        ),
        (lambda: whole(constant(1), 0), r"`multiple` \(=0\) must be positive"),
    ],
)
def test_impossible_values_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_exp_range_without_its_gamma_is_no_envelope() -> None:
    with pytest.raises(TypeError, match=r"`envelope` \(=exp_range\) has no gamma: give decay"):
        cycle(0.1, 1, 5, exp_range)


def test_the_name_of_an_envelope_is_none() -> None:
    with pytest.raises(
        TypeError, match=r"`envelope` \(='triangular2'\) must be a function of the step"
    ):
        cycle(0.1, 1, 5, "triangular2")  # type: ignore[arg-type]


@given(
    first=st.floats(1, 50), growth=st.sampled_from([1.0, 1.25, 2.0, 3.0]), step=steps_of, high=positive,
    part=st.floats(0, 1),
)  # fmt: skip
def test_restarts_stay_between_their_ends_and_begin_each_cycle_at_the_top(
    first: float, growth: float, step: int, high: float, part: float
) -> None:
    schedule = restarts(high, high * part, round(first), growth=growth)
    assert high * part * (1 - 1e-12) <= schedule(step) <= high * (1 + 1e-12)
    assert [schedule(0), schedule(round(first))] == pytest.approx([high, high], rel=1e-12)


@given(cycles=st.integers(1, 6), growth=st.sampled_from([1, 2, 3]), unit=st.integers(2, 9))
def test_the_last_warm_restart_ends_with_the_run(cycles: int, growth: int, unit: int) -> None:
    lengths = [unit * growth**index for index in range(cycles)]
    schedule = warm_restarts(1.0, 0.0, sum(lengths), cycles=cycles, growth=growth)
    begins = [sum(lengths[:index]) for index in range(cycles)]
    assert [step for step in range(sum(lengths)) if schedule(step) == 1.0] == begins


@given(steps=st.integers(10, 400), cycles=st.integers(2, 12))
def test_a_restart_that_falls_on_a_step_begins_there(steps: int, cycles: int) -> None:
    schedule = warm_restarts(1.0, 0.0, steps, cycles=cycles)
    begins = [steps * cycle // cycles for cycle in range(cycles) if not steps * cycle % cycles]
    assert [schedule(step) for step in begins] == [1.0] * len(begins)
