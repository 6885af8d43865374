"""Schedules and batch samplers drawn at random: row 15."""

from collections.abc import Callable
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.integrations.torch import PolicyBatchSampler
from losslab.schedules import (
    cosine,
    cycle,
    exp_range,
    exponential_ramp,
    gamma_for,
    linear_ramp,
    triangular,
    triangular2,
    whole,
)

Trials = Callable[[int, int], int]
sizes = st.floats(1, 64)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Callable[[int], float], float, float]:
    """A schedule and the bounds that it may never leave."""
    low, high = sorted((draw(sizes), draw(sizes)))
    high = max(high, low + 0.01)
    steps = draw(st.integers(2, 500))
    kind = draw(st.sampled_from(["cycle", "linear", "exponential", "cosine"]))
    if kind == "cycle":
        half = draw(st.floats(1, 300))
        envelope = draw(
            st.sampled_from([triangular(), triangular2(half), exp_range(gamma_for(0.1, steps))])
        )
        return cycle(low, high, half, envelope), low, high
    if kind == "cosine":
        return cosine(high, low, steps), low, high
    ramp = linear_ramp if kind == "linear" else exponential_ramp
    return ramp(*draw(st.permutations((low, high))), steps), low, high


def check_schedule(drawn: tuple[Callable[[int], float], float, float], step: int) -> None:
    schedule, low, high = drawn
    value = schedule(step)
    assert isfinite(value)
    assert low * (1 - 1e-9) <= value <= high * (1 + 1e-9)
    assert schedule(step) == value


def check_sampler(
    drawn: tuple[Callable[[int], float], float, float],
    images: int,
    seed: int,
    stop: int,
    shuffle: bool,
) -> None:
    def made() -> PolicyBatchSampler:
        return PolicyBatchSampler(images, drawn[0], seed=seed, shuffle=shuffle)

    whole_epochs, sampler = made(), made()
    epochs = [list(whole_epochs) for _ in range(2)]
    step = 0
    for epoch in epochs:
        assert sorted(index for batch in epoch for index in batch) == list(range(images))
        for batch in epoch[:-1]:
            assert len(batch) == whole(drawn[0])(step)
            step += 1
        assert len(epoch[-1]) <= whole(drawn[0])(step)
        step += 1
    stop = min(stop, step - 1)
    resumed = made()
    resumed.load_state_dict(sampler.state_dict(stop))
    batches = [batch for epoch in epochs for batch in epoch]
    rest = [batch for _ in range(2) for batch in resumed]
    assert rest[: step - stop] == batches[stop:]


@pytest.mark.row(15)
@pytest.mark.timeout(1200)
def test_any_schedule_is_finite_and_within_its_bounds(
    trials: Trials, measured: Callable[[str], None]
) -> None:
    cases = trials(100, 5000)
    settings(max_examples=cases)(
        given(drawn=schedules(), step=st.integers(0, 10**6))(check_schedule)
    )()
    measured(f"{cases:,} schedules")


@pytest.mark.row(15)
@pytest.mark.timeout(1200)
def test_any_sampler_shows_each_sample_once_an_epoch_and_resumes(
    trials: Trials, measured: Callable[[str], None]
) -> None:
    cases = trials(50, 5000)
    drawn = given(
        drawn=schedules(), images=st.integers(1, 200), seed=st.integers(0, 9), stop=st.integers(0, 20),
        shuffle=st.booleans(),
    )  # fmt: skip
    settings(max_examples=cases)(drawn(check_sampler))()
    measured(f"{cases:,} samplers")
