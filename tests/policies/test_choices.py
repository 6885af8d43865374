"""What a user writes of a policy: by name or by order, in TOML, on the command line or as an open schedule."""

from typing import Any

import pytest

from losslab import schedules
from losslab.choice import Choice
from losslab.errors import InvalidInput
from losslab.spec import Run, make_run
from losslab.training.timeline import Timeline


def run(**changes: Any) -> Run:
    fields = {
        "data": "fashion-mnist-sample",
        "model": "mlp",
        "optimizer": "sgd",
        "lr": 0.1,
        "batch": 4,
        "epochs": 1,
    }
    return make_run({**fields, **changes})


SAME: dict[str, tuple[str, list[object]]] = {
    "cosine": (
        "cosine(high=0.001)",
        [
            "cosine(0.001)",
            "cosine( 1e-3 )",
            {"name": "cosine", "high": 0.001},
            schedules.cosine(1e-3),
        ],
    ),
    "exp_range": (
        "exp_range(base_lr=0.001, max_lr=0.1, cycles=3)",
        [
            "exp_range(0.001, 0.1, cycles=3)",
            "exp_range(1e-3, max_lr=0.1, cycles=3)",
            {"name": "exp_range", "base_lr": 0.001, "max_lr": 0.1, "cycles": 3},
            schedules.exp_range(1e-3, 0.1, cycles=3),
        ],
    ),
    "piecewise": (
        "piecewise(values=[0.1, 0.01], epochs=[1])",
        ["piecewise([0.1, 0.01], epochs=[1])"],
    ),
    "constant": ("constant(value=0.1)", ["constant(0.1)"]),
}


@pytest.mark.parametrize(("text", "others"), SAME.values(), ids=SAME)
def test_one_policy_has_one_identity_however_it_is_written(
    text: str, others: list[object]
) -> None:
    expected = run(lr=text)
    assert str(expected.lr) == text
    for other in others:
        assert (run(lr=other), run(lr=other).id) == (expected, expected.id)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("exp_range(b_min=8, b_max=64, multiple=8)", "exp_range(8, 64, multiple=8)"),
        ("one_cycle(b_start=16, b_min=8, b_max=64)", "one_cycle(16, 8, 64)"),
        ("one_cycle(b_start=16, b_min=8, b_max=64)", schedules.one_cycle_batch(16, 8, 64)),
        ("cosine(b_min=8, b_max=64)", schedules.cosine_batch(8, 64)),
    ],
)
def test_so_does_a_batch_size(text: str, other: object) -> None:
    assert run(batch=text).id == run(batch=other).id


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("lr", "cosine()", "cosine needs `high`: cosine(high=...)"),
        ("lr", "cosine", "cosine needs `high`: cosine(high=...)"),
        (
            "lr",
            "exp_range",
            "exp_range needs `base_lr` and `max_lr`: exp_range(base_lr=..., max_lr=...)",
        ),
        ("lr", "exp_range(0.001)", "exp_range needs `max_lr`"),
        (
            "lr",
            "exp_range(0.001, 0.1, 3)",
            "3 options without a name, of 2 in exp_range(base_lr, max_lr); name the oth",
        ),
        (
            "lr",
            "exp_range(0.001, base_lr=0.1)",
            "`base_lr` of exp_range is given twice: without its name (=0.001) and",
        ),
        ("lr", "cosin(0.1)", "unknown lr policy 'cosin'; did you mean 'cosine'"),
        ("lr", "0,001", "is no number; write it with a point (=0.001)"),
        ("lr", "1,5e-3", "write it with a point (=1.5e-3)"),
        ("batch", "1,024", "is no number; write it with a point (=1.024) and no other marks"),
        ("lr", "cosine(high=0.1, horizon=3)", "unknown option of lr policy cosine 'horizon'"),
        (
            "lr",
            "cosine(high=0.1, steps=3)",
            "unknown option of lr policy cosine 'steps'; did you mean 'warmup_steps'",
        ),
        (
            "lr",
            "cosine(0.1, warmup_epochs=1, warmup_steps=3)",
            "give `warmup_epochs` (=1) or `warmup_steps` (=3)",
        ),
        ("lr", "one_cycle(0.1, linear=1)", "`linear` (=1) must be true or false"),
        ("lr", "warm_restarts(0.1, cycles=2.5)", "`cycles` (=2.5) must be a whole number"),
        (
            "lr",
            "triangular(0.1, 1, half_cycle_epochs=-1)",
            "a length in epochs (=-1) must be positive",
        ),
        ("lr", None, "must be a number, or a policy such as 'cosine(0.1)'"),
        ("lr", [0.1], "must be a number, or a policy such as 'cosine(0.1)'"),
        (
            "lr",
            schedules.cosine(0.1, 0, 100),
            "has a length of its own; leave out `steps`, which the run gives",
        ),
        (
            "lr",
            schedules.piecewise([0.1, 0.01], [30]),
            "counts in steps of its own; write it as a text, such as 'piecewise",
        ),
        ("batch", "piecewise(64, epochs=[1])", "`values` (=64) must be a list of numbers"),
        ("batch", "piecewise(['a'], epochs=[1])", "`values` (=['a']) must be a list of"),
        (
            "lr",
            "chain(['cosine(0.1)', 'cosin(0.1)'], fractions=[0.5])",
            "unknown lr policy 'cosin'",
        ),
        (
            "lr",
            "chain(['cosine(0.1)'], fractions=[0.5])",
            "`parts` (=1 of them) must be one more than",
        ),
        (
            "lr",
            "chain([1, 2, 3], fractions=[0.5, 0.2])",
            "one more than the ordered `epochs` or `fractions`",
        ),
        ("lr", "chain([0.1, 0.2])", "give `epochs` (=[]) or `fractions` (=[]), and not both"),
        (
            "lr",
            "chain('cosine(0.1)', fractions=[0.5])",
            "must be a list of numbers and policies",
        ),
        (
            "batch",
            "chain([8, 16], epochs=[1])",
            "of a chain of batch sizes depend on them; give `fractions`",
        ),
        ("batch", "chain([8, 'constant(0.2)'], fractions=[0.5])", "its values go down to 0.2"),
        (
            "lr",
            "piecewise([0.1, -0.5], epochs=[15])",
            "`values` (=[0.1, -0.5]) must be at least 0",
        ),
        (
            "lr",
            "chain([0.1, -0.5], epochs=[15])",
            "`parts` holds -0.5; a number must be at least 0",
        ),
        ("lr", "one_cycle(0.1, start_divisor=0)", "`start_divisor` (=0) must be"),
        ("lr", "one_cycle(0.1, end_divisor=0)", "`end_divisor` (=0) must be"),
        ("lr", "warm_restarts(0.1, cycles=4, growth=1e200)", "beyond what numbers hold"),
        ("lr", 10**400, "must be a number, or a policy"),
        ("lr", "cosine(high=0.1, high=0.2)", "is not of the form"),
        ("optimizer", "sgd(momentum=0.9)(nesterov=True)", "is not of the form"),
        ("optimizer", "adam(eps=1e-8, eps=1)", "is not of the form"),
        (
            "model",
            "net:Net(width=a)",
            "the value of `width` (=a) is no literal; text stands in quotes: 'a'",
        ),
        ("lr", "cosine(low=0, high=1e-3 * 2)", "(=0.001 * 2) is no literal; give a number"),
        ("lr", "cosine(high)", "the value of option 1 (=high) is no literal; text stands in"),
        ("model", "mlp(100)", "is not of the form"),
        (
            "batch",
            "piecewise([50, 100], epochs=[5], multiple=32)",
            "must be multiples of `multiple` (=32) where `epochs` says when",
        ),
    ],
)
def test_what_cannot_be_meant_is_one_line_that_says_what_to_write(
    field: str, value: object, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(**{field: value})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("batch", "images", "last"),
    [
        ("one_cycle(b_start=64, b_min=32, b_max=512, down_fraction=0.1)", 4500, 512),
        ("one_cycle(b_start=64, b_min=32, b_max=512, down_fraction=0.1)", 2000, 512),
        ("chain(['linear_ramp(start=16, end=64)', 128], fractions=[0.05])", 4500, 128),
        (
            "chain(['linear_ramp(start=32, end=64, multiple=8)', 128], fractions=[0.5])",
            2000,
            128,
        ),
    ],
)
def test_a_policy_of_several_phases_is_laid_out_over_a_length_that_holds_them(
    batch: str, images: int, last: int
) -> None:
    sizes = Timeline(run(batch=batch), images).batch_sizes
    assert sum(sizes) == images
    assert max(sizes) <= last
    if "multiple" in batch:
        assert {size % 8 for size in sizes[:-1]} == {0}


@pytest.mark.parametrize(
    "lr",
    [
        "cosine(0.1, warmup_epochs=0.5)",
        "cosine(0.1, warmup_epochs=0)",
        "cosine(0.1, warmup_steps=3)",
        "triangular(0.1, 1, half_cycle_epochs=0.5)",
        "triangular(0.1, 1, half_cycle_steps=7)",
        "exp_range(0, 1, cycles=0.5, up_fraction=0.2)",
        "one_cycle(0.1, three_phase=True, linear=True)",
        "polynomial(0.1, 0.01, power=2)",
    ],
)
def test_lengths_may_be_in_steps_or_in_epochs_and_need_not_be_whole(lr: str) -> None:
    steps = list(Timeline(run(lr=lr), 200).steps())
    assert len(steps) == 50
    assert 0 <= min(step.lr for step in steps) < max(step.lr for step in steps) <= 1


def test_a_policy_keeps_the_name_that_the_user_gave() -> None:
    assert run(lr="chain([0.1, 'cosine(0.1)'], fractions=[0.5])").lr == Choice(
        name="chain", parts=[0.1, "cosine(0.1)"], fractions=[0.5]
    )
