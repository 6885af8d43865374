"""Policies laid out over a run, and runs laid out by their policies."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.choice import Choice, parse_choice
from losslab.errors import InvalidInput
from losslab.policies import BATCH_POLICIES, LR_POLICIES, Horizon, batch_schedule, lr_schedule
from losslab.spec import Run, make_run
from losslab.training.timeline import Timeline

HORIZON = Horizon(80, images=40, epochs=4.0, seen=range(0, 162, 2))
"""80 steps of two images each."""
CYCLES = ["triangular", "triangular2", "exp_range"]


def choice(text: str) -> Choice:
    return Choice(**parse_choice(text))


def lr_values(text: str, horizon: Horizon = HORIZON) -> list[float]:
    schedule = lr_schedule(choice(text), horizon)
    return [schedule(step) for step in range(horizon.total_steps + 1)]


def batch_values(text: str, horizon: Horizon = HORIZON) -> list[int]:
    schedule = batch_schedule(choice(text), horizon)
    return [schedule(step) for step in range(horizon.total_steps + 1)]


def run(**changes: Any) -> Run:
    fields = {
        "data": "fashion-mnist-sample",
        "model": "mlp",
        "optimizer": "sgd",
        "lr": 0.1,
        "batch": 4,
        **changes,
    }
    return make_run(fields)


def test_a_number_is_constant() -> None:
    assert lr_schedule(0.1, HORIZON)(7) == 0.1
    assert batch_schedule(32, HORIZON)(7) == 32


@pytest.mark.parametrize(
    ("text", "places", "expected"),
    [
        ("constant(value=0.5)", (0, 79), (0.5, 0.5)),
        ("linear_ramp(start=1, end=80)", (0, 1, 79), (1, 2, 80)),
        ("exponential_ramp(start=1e-9, end=10)", (0, 79), (1e-9, 10)),
        ("piecewise(values=[1, 0.1], epochs=[3])", (59, 60), (1, 0.1)),
        (
            "piecewise(values=[1, 0.1, 0.01], fractions=[0.25, 0.5])",
            (19, 20, 39, 40),
            (1, 0.1, 0.1, 0.01),
        ),
        ("piecewise(values=[1, 0.1], epochs=[9])", (79,), (1,)),
        ("cosine(high=2)", (0, 40, 80), (2, 1, 0)),
        ("cosine(high=2, low=1, warmup_epochs=0.5)", (0, 4, 40), (0.2, 0.99692, 1.5)),
        ("one_cycle(max_lr=1)", (0, 23, 79), (0.04, 1, 4e-6)),
        ("one_cycle(max_lr=1, three_phase=True)", (0, 23, 46, 79), (0.04, 1, 0.04, 4e-6)),
        ("one_cycle(max_lr=1, linear=True, start_divisor=2)", (0, 23, 79), (0.5, 1, 5e-5)),
        ("polynomial(start=2, power=2)", (0, 40, 80), (2, 0.5, 0)),
        ("warm_restarts(high=2, cycles=2)", (0, 20, 40, 60), (2, 1, 2, 1)),
        ("warm_restarts(high=2, low=1, cycles=2, growth=3)", (0, 10, 20, 50), (2, 1.5, 2, 1.5)),
        ("cosine(high=2, low=1, warmup_steps=10)", (0, 4, 40), (0.2, 0.99692, 1.5)),
        (
            "triangular(base_lr=1, max_lr=3, cycles=2, up_fraction=0.25)",
            (0, 5, 10, 25, 40),
            (1, 2, 3, 2, 1),
        ),
        ("triangular(base_lr=1, max_lr=3, half_cycle_steps=20)", (0, 20, 40), (1, 3, 1)),
        (
            "chain(parts=[0.5, 'linear_ramp(1, 40)'], fractions=[0.5])",
            (0, 39, 40, 79),
            (0.5, 0.5, 1, 40),
        ),
        ("chain(parts=[0.5, 'cosine(2)'], epochs=[2])", (39, 40, 60), (0.5, 2, 1)),
        ("chain(parts=[0.5, 'cosine(2)'], epochs=[9])", (0, 79, 80), (0.5, 0.5, 0.5)),
        ("chain(parts=[0.5, 'cosine(2)'], fractions=[0])", (0, 40, 80), (2, 1, 0)),
        (
            "chain(parts=[1, 'cosine(2, warmup_epochs=1)'], epochs=[2])",
            (40, 41, 59, 60),
            (0.1, 0.19969, 1.07846, 1),
        ),
        ("triangular(base_lr=1, max_lr=3)", (0, 10, 20, 30, 80), (1, 3, 1, 3, 1)),
        ("triangular(base_lr=1, max_lr=3, cycles=1)", (0, 20, 40, 80), (1, 2, 3, 1)),
        ("triangular(base_lr=1, max_lr=3, half_cycle_epochs=2)", (0, 20, 40, 80), (1, 2, 3, 1)),
        ("triangular2(base_lr=1, max_lr=3, cycles=2)", (20, 60, 80), (3, 2, 1)),
        ("exp_range(base_lr=1, max_lr=2, cycles=1, gamma=0.5)", (0, 40), (1, 1 + 0.5**40)),
        ("exp_range(base_lr=0, max_lr=1, cycles=0.5)", (0, 40, 80), (0, 0.5 * 0.1**0.5, 0.1)),
        ("exp_range(base_lr=0, max_lr=1, cycles=0.5, end_fraction=0.01)", (80,), (0.01,)),
    ],
)
def test_lr_policies_are_laid_out_over_the_run(
    text: str, places: tuple[int, ...], expected: tuple[float, ...]
) -> None:
    found = lr_values(text)
    assert [found[place] for place in places] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("text", "places", "expected"),
    [
        ("constant(value=48, multiple=32)", (0,), (64,)),
        ("linear_ramp(start=1, end=80)", (0, 1, 79), (1, 2, 80)),
        ("exponential_ramp(start=64, end=8192)", (0, 79), (64, 8192)),
        ("piecewise(values=[4, 8], epochs=[3])", (29, 30), (4, 8)),
        ("piecewise(values=[16, 40, 8], epochs=[2, 5])", (5, 6, 8, 9), (16, 40, 40, 8)),
        ("piecewise(values=[4, 8], fractions=[0.5])", (39, 40), (4, 8)),
        ("triangular(b_min=16, b_max=64, cycles=1)", (0, 20, 40, 60, 80), (64, 26, 16, 26, 64)),
        (
            "triangular2(b_min=16, b_max=64, cycles=2)",
            (0, 20, 40, 60, 80),
            (64, 16, 64, 26, 64),
        ),
        (
            "exp_range(b_min=16, b_max=64, cycles=2, gamma=1)",
            (0, 20, 40, 60, 80),
            (64, 16, 64, 16, 64),
        ),
        ("triangular(b_min=16, b_max=64, half_cycle_epochs=1)", (0, 20, 40), (64, 16, 64)),
        (
            "triangular(b_min=16, b_max=64, cycles=1, up_fraction=0.25)",
            (0, 20, 80),
            (64, 16, 64),
        ),
        ("polynomial(start=16, end=64)", (0, 40, 80), (16, 40, 64)),
        ("cosine(b_min=16, b_max=64)", (0, 40, 80), (16, 40, 64)),
        ("one_cycle(b_start=32, b_min=16, b_max=64)", (0, 23, 51, 79), (32, 16, 40, 64)),
        (
            "one_cycle(b_start=32, b_min=16, b_max=64, down_fraction=0.5, multiple=8)",
            (0, 39, 79),
            (32, 16, 64),
        ),
        (
            "chain(parts=[16, 'linear_ramp(16, 55)'], fractions=[0.5])",
            (39, 40, 79),
            (16, 16, 55),
        ),
    ],
)
def test_batch_policies_are_laid_out_over_the_run(
    text: str, places: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    found = batch_values(text)
    assert [found[place] for place in places] == list(expected)


@pytest.mark.parametrize("name", CYCLES)
@given(
    b_min=st.integers(1, 500), ratio=st.floats(1.1, 200), cycles=st.floats(0.5, 8), steps=st.integers(2, 300),
    multiple=st.sampled_from([1, 8, 64]),
)  # fmt: skip
def test_cyclical_batch_sizes_are_whole_multiples_within_their_bounds(
    name: str, b_min: int, ratio: float, cycles: float, steps: int, multiple: int
) -> None:
    b_max = b_min * ratio
    text = f"{name}(b_min={b_min}, b_max={b_max}, cycles={cycles}, multiple={multiple})"
    sizes = batch_values(text, Horizon(steps, images=1000))
    assert all(size % multiple == 0 for size in sizes)
    assert all(
        max(multiple, b_min - multiple / 2) <= size <= max(multiple, b_max + multiple / 2)
        for size in sizes
    )


@pytest.mark.parametrize("name", CYCLES)
@given(
    lr_batch=st.integers(1, 512),
    lr_const=st.floats(1e-5, 1),
    ratio=st.floats(1.1, 100),
    step=st.integers(0, 400),
)
def test_a_batch_cycle_has_the_noise_of_the_lr_cycle(
    name: str, lr_batch: int, lr_const: float, ratio: float, step: int
) -> None:
    """lr from lr_const up to ratio times it at one batch size, or batch from that size down to 1/ratio at lr_const."""
    horizon = Horizon(400, images=1000)
    lr = LR_POLICIES[name](horizon, base_lr=lr_const, max_lr=lr_const * ratio)
    batch = BATCH_POLICIES[name](horizon, b_min=lr_batch / ratio, b_max=lr_batch)
    assert lr_const / batch(step) == pytest.approx(lr(step) / lr_batch, rel=1e-9)


@given(b_min=st.integers(8, 100), ratio=st.floats(2, 100), cycles=st.integers(2, 8))
def test_dips_become_shallower_and_the_mean_grows_under_exp_range(
    b_min: int, ratio: float, cycles: int
) -> None:
    half = 50
    schedule = BATCH_POLICIES["exp_range"](
        Horizon(2 * half * cycles, images=1000), b_min=b_min, b_max=b_min * ratio, cycles=cycles
    )
    spans = [
        [schedule(2 * half * index + step) for step in range(2 * half)]
        for index in range(cycles)
    ]
    assert all(min(later) > min(earlier) for earlier, later in pairwise(spans))
    assert all(sum(later) > sum(earlier) for earlier, later in pairwise(spans))
    assert min(spans[0]) >= b_min


@given(
    name=st.sampled_from([*CYCLES, "linear_ramp", "exponential_ramp"]),
    low=st.integers(1, 30), ratio=st.floats(1.1, 30),
    images=st.integers(20, 300), epochs=st.floats(0.2, 6), falling=st.booleans(),
)  # fmt: skip
def test_a_run_in_epochs_sees_what_it_should_whatever_its_batch_policy(
    name: str, low: int, ratio: float, images: int, epochs: float, falling: bool
) -> None:
    ends = (
        ("b_min", "b_max")
        if name in CYCLES
        else ("end", "start")
        if falling
        else ("start", "end")
    )
    policy = f"{name}({ends[0]}={low}, {ends[1]}={low * ratio})"
    timeline = Timeline(run(batch=policy, epochs=epochs), images)
    wanted = max(1, round(epochs * images))
    assert timeline.seen[-2] < wanted <= timeline.seen[-1]
    assert timeline.seen[-1] <= -(-wanted // images) * images
    _check_epochs(timeline, images)


@given(
    name=st.sampled_from(CYCLES), low=st.integers(1, 30), ratio=st.floats(1.1, 30), images=st.integers(1, 200),
    steps=st.integers(1, 150),
)  # fmt: skip
def test_a_run_in_steps_has_so_many_whatever_its_batch_policy(
    name: str, low: int, ratio: float, images: int, steps: int
) -> None:
    timeline = Timeline(
        run(batch=f"{name}(b_min={low}, b_max={low * ratio})", steps=steps), images
    )
    assert timeline.total_steps == len(timeline.batch_sizes) == steps
    _check_epochs(timeline, images)


def _check_epochs(timeline: Timeline, images: int) -> None:
    """Every image once in every whole epoch; only an epoch's last batch may be shorter than scheduled."""
    expected_offset = 0
    for step in timeline.steps():
        assert step.offset == expected_offset
        assert 1 <= step.batch_size <= images - step.offset
        expected_offset = (step.offset + step.batch_size) % images


@pytest.mark.parametrize("name", CYCLES)
@settings(max_examples=30)
@given(epochs=st.floats(2, 10), cycles=st.integers(1, 5), ratio=st.floats(2, 8))
def test_a_cyclical_batch_size_ends_with_a_cycle_to_a_few_steps(
    name: str, epochs: float, cycles: int, ratio: float
) -> None:
    policy = choice(f"{name}(b_min=4, b_max={4 * ratio}, cycles={cycles})")
    timeline = Timeline(run(batch=str(policy), epochs=epochs), 1000)

    def is_laid_out_over(total_steps: int) -> bool:
        size = batch_schedule(policy, Horizon(total_steps, images=1000))
        return all(
            step.batch_size == min(size(step.index), 1000 - step.offset)
            for step in timeline.steps()
        )

    assert any(is_laid_out_over(timeline.total_steps + more) for more in range(4))


def test_an_lr_changes_at_its_epoch_though_the_batch_size_varies() -> None:
    lr = "piecewise(values=[1, 0.1], epochs=[6])"
    timeline = Timeline(run(lr=lr, batch="exponential_ramp(start=4, end=400)", epochs=10), 1000)
    first = next(step for step in timeline.steps() if step.lr == 0.1)
    assert (first.epoch, first.offset) == (6, 0)


def test_a_batch_size_changes_at_its_epochs() -> None:
    batch = "piecewise(values=[30, 7, 400], epochs=[2, 3])"
    steps = list(Timeline(run(batch=batch, epochs=5), 100).steps())
    assert [(s.epoch, s.batch_size) for s in steps if s.offset == 0] == [
        (0, 30),
        (1, 30),
        (2, 7),
        (3, 100),
        (4, 100),
    ]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "lr",
            "triangle(base_lr=1)",
            "unknown lr policy 'triangle'; did you mean 'triangular'",
        ),
        ("lr", "triangular(base_lr=1, max=3)", "unknown option of lr policy triangular 'max'"),
        (
            "lr",
            "triangular(base_lr=1)",
            "triangular needs `max_lr`: triangular(base_lr=..., max_lr=...)",
        ),
        (
            "lr",
            "triangular(base_lr=3, max_lr=1)",
            "`high` (=1) must exceed `low` (=3); swap them?",
        ),
        ("lr", "triangular(base_lr=1, max_lr=3, cycles=0)", "`cycles` (=0) must be positive"),
        ("lr", "triangular(base_lr=1, max_lr=3, cycles=1, half_cycle_epochs=1)", "not both"),
        ("lr", "triangular(base_lr='1', max_lr=3)", "`base_lr` (='1') must be a number"),
        ("lr", "exp_range(base_lr=1, max_lr=3, gamma=2)", "`gamma` (=2) must lie in (0, 1]"),
        (
            "lr",
            "exp_range(base_lr=1, max_lr=3, end_fraction=-1)",
            "`end_fraction` (=-1) must lie in (0, 1]",
        ),
        ("lr", "constant(value=-1)", "its values go down to -1; they must be at least 0"),
        ("lr", "constant(value=1e999)", "finite"),
        ("lr", "linear_ramp(start=1, end=-1)", "its values go down to -1"),
        (
            "lr",
            "piecewise(values=0.1, epochs=[1])",
            "`values` (=0.1) must be a list of numbers",
        ),
        ("lr", "piecewise(values=[0.1, True], epochs=[1])", "must be a list of numbers"),
        (
            "lr",
            "piecewise(values=[0.1, 0.2])",
            "give `epochs` (=[]) or `fractions` (=[]), and not both",
        ),
        ("lr", "piecewise(values=[0.1], epochs=[1])", "must be one more"),
        ("batch", "triangular(b_min=64, b_max=16)", "`b_max` (=16) must exceed `b_min` (=64)"),
        ("batch", "triangular(b_min=0, b_max=16)", "must be positive"),
        ("batch", "triangular(b_min=0.5, b_max=16)", "they must be at least 1"),
        (
            "batch",
            "triangular(b_min=4, b_max=16, multiple=1.5)",
            "`multiple` (=1.5) must be a whole number",
        ),
        (
            "batch",
            "triangular(base_lr=4, max_lr=16)",
            "unknown option of batch policy triangular 'base_lr'",
        ),
        (
            "batch",
            "piecewise(values=[0, 4], epochs=[1])",
            "`values` (=[0, 4]) must be positive",
        ),
        ("batch", "piecewise(values=[], epochs=[1])", "`values` (=[]) must be positive"),
        (
            "batch",
            "cosine(high=4)",
            "unknown option of batch policy cosine 'high' (choices: b_max, b_min)",
        ),
    ],
)
def test_a_wrong_policy_is_refused_with_its_reason(
    field: str, value: str, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(epochs=1, **{field: value})
    assert message in str(caught.value)
    assert f"`{field}" in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"lr": "one_cycle(max_lr=1)", "steps": 2},
            "lr policy one_cycle(max_lr=1) over 2 steps: `steps` (=2)",
        ),
        (
            {"lr": "exponential_ramp(start=1, end=2)", "steps": 1},
            "`steps` (=1) must be at least 2",
        ),
        (
            {"batch": "triangular(b_min=2, b_max=8, half_cycle_epochs=1)", "steps": 9},
            "give `cycles` in place of it",
        ),
    ],
)
def test_a_policy_that_does_not_fit_the_length_is_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        list(Timeline(run(**fields), 100).steps())
    assert message in str(caught.value)


def test_a_policy_survives_being_written_and_read() -> None:
    spec = run(
        lr="exp_range(base_lr=1e-3, max_lr=0.1, cycles=2)",
        batch="triangular(b_min=4, b_max=16)",
        epochs=3,
    )
    again = Run.model_validate_json(spec.model_dump_json())
    assert (again, again.id) == (spec, spec.id)
    assert list(Timeline(again, 100).steps()) == list(Timeline(spec, 100).steps())
