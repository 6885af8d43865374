"""A schedule prints, compares and is pickled as the call that built it; without its length it is open."""

import inspect
import pickle
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from losslab import schedules
from losslab.schedules import (
    Schedule,
    chain,
    constant,
    cosine,
    cosine_batch,
    cycle,
    exp_range,
    exponential_ramp,
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

BUILDERS = sorted(
    set(schedules.__all__) - {"Envelope", "Named", "Plateau", "Schedule", "chain", "piecewise"}
)
SCHEDULES: list[Schedule] = [
    constant(0.1),
    linear_ramp(1, 3, 9),
    exponential_ramp(1e-3, 3, 9),
    polynomial(1, 0.1, 9, power=2),
    piecewise([1, 0.1], [3]),
    warmup(cosine(1, 0, 9), 3),
    cosine(1, 0.1, 9, warmup_steps=2),
    cosine_batch(4, 64, 9),
    restarts(1, 0.1, 3, growth=2),
    warm_restarts(1, 0.1, 9, cycles=2),
    one_cycle(0.1, 20, three_phase=True),
    one_cycle_momentum(20),
    one_cycle_batch(32, 4, 64, 20),
    cycle(1, 3, 2, triangular2, down_steps=1.5),
    cycle(1, 3, 2, exp_range(0.9)),
    triangular(1, 3, 9),
    triangular2(1, 3, 9, cycles=2),
    exp_range(1, 3, 9, cycles=2, up_fraction=0.3),
    mirror(cycle(1, 3, 2), noise=64),
    mirror_momentum(cycle(1, 3, 2), 1, 3),
    chain([linear_ramp(0, 1, 5), constant(1)], [5]),
    whole(mirror(cycle(1, 3, 2), noise=64), 8),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize(
    "copied", [lambda schedule: pickle.loads(pickle.dumps(schedule)), deepcopy]
)
def test_a_copy_is_equal_and_has_the_same_values(
    schedule: Schedule, copied: Callable[[Schedule], Schedule]
) -> None:
    copy = copied(schedule)
    assert copy == schedule
    assert hash(copy) == hash(schedule)
    assert [copy(step) for step in range(30)] == [schedule(step) for step in range(30)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_what_is_printed_builds_the_schedule_again(schedule: Schedule) -> None:
    assert eval(repr(schedule), vars(schedules)) == schedule


def test_every_function_that_builds_a_schedule_is_tried_here() -> None:
    tried = {repr(schedule).partition("(")[0] for schedule in SCHEDULES}
    others = {
        "Envelope",
        "Named",
        "Plateau",
        "Schedule",
        "gamma_for",
        "grow_on_plateau",
        "reduce_on_plateau",
    }
    assert tried | {"decay", "halving"} == set(schedules.__all__) - others


def test_a_worker_of_another_process_can_be_given_a_schedule() -> None:
    context = torch.multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.map(exp_range(1, 3, 9), [0, 1]) == [
            exp_range(1, 3, 9)(0),
            exp_range(1, 3, 9)(1),
        ]


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (exp_range(1e-3, 0.1, cycles=3), "exp_range(base_lr=0.001, max_lr=0.1, cycles=3)"),
        (triangular(1e-3, 0.1), "triangular(base_lr=0.001, max_lr=0.1)"),
        (cosine(0.1), "cosine(high=0.1)"),
        (one_cycle(0.1, up_fraction=0.4), "one_cycle(max_lr=0.1, up_fraction=0.4)"),
    ],
)
def test_without_its_length_a_schedule_is_the_policy_that_it_prints(
    schedule: Schedule, text: str
) -> None:
    assert repr(schedule) == text
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    with pytest.raises(
        TypeError,
        match=r"`steps` of .* is open: give it, or let a run or losslab\.lay_out do so",
    ):
        schedule(0)


def test_schedules_of_other_arguments_differ() -> None:
    assert cosine(1, 0, 9) != cosine(1, 0, 10)
    assert cosine(1, 0, 9) != "cosine(high=1, low=0, steps=9)"


def test_an_open_schedule_within_another_says_so_when_it_is_used() -> None:
    with pytest.raises(TypeError, match="is open"):
        warmup(cosine(1), 3)(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cosine(), r"^cosine\(high, .*\): missing a required argument: 'high'$"),
        (lambda: cosine(1, top=2), r"^cosine\(high, .*\): got an unexpected .* 'top'$"),
    ],
    ids=["too few", "another name"],
)
def test_a_wrong_argument_is_told_with_the_function_and_those_that_it_takes(
    call: Callable[[], Schedule], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("build", [getattr(schedules, name) for name in BUILDERS], ids=BUILDERS)
@pytest.mark.parametrize("value", [None, "0.1", [0.1]], ids=repr)
def test_what_is_no_number_is_named_before_anything_is_laid_out(
    build: Callable[..., Any], value: object
) -> None:
    arguments: dict[str, Any] = {}
    numbers = []
    for name, parameter in inspect.signature(build).parameters.items():
        if parameter.annotation in (float, int):
            numbers.append(name)
        elif parameter.default is parameter.empty:
            arguments[name] = constant(1.0)
    for name in numbers:
        with pytest.raises(TypeError, match=rf"`{name}` \(={re.escape(repr(value))}\) must be"):
            build(**{**arguments, **dict.fromkeys(numbers, 3), name: value})


def test_a_range_that_was_not_found_makes_no_cycle() -> None:
    with pytest.raises(TypeError, match=r"`base_lr` \(=None\) must be a number; where a range"):
        exp_range(None, None, cycles=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`values` \(=None\) must be a number"):
        piecewise([0.1, None], [3])  # type: ignore[list-item]


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    assert constant(np.float32(0.5))(0) == constant(torch.tensor(0.5))(0) == 0.5
    assert cosine(np.float64(1), steps=np.int64(2), low=0)(2) == 0  # type: ignore[arg-type]
    assert triangular(1, 3, 8, cycles=None) == triangular(1, 3, 8, cycles=None)
