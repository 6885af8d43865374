"""Learning rate and batch size laid out together: both end where the training does."""

import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

import losslab
from losslab.integrations.torch import Course
from losslab.schedules import (
    constant,
    cosine,
    cosine_batch,
    cycle,
    exp_range,
    linear_ramp,
    mirror,
)
from losslab.spec import make_run
from losslab.training.timeline import Timeline

SAMPLES = 1000


def batches_of(course: Course, epochs: int) -> list[int]:
    """The sizes that a loop over so many epochs meets."""
    return [len(batch) for _ in range(epochs) for batch in course.batch_sampler]


@pytest.mark.parametrize(
    "lr", ["exp_range(1e-3, 0.1, cycles=3)", "piecewise([0.1, 0.01], epochs=[2])", 0.1]
)
@pytest.mark.parametrize(
    "batch", ["exp_range(8, 64)", "one_cycle(32, 8, 64)", "chain([8, 32], fractions=[0.5])", 24]
)
def test_a_loop_of_ones_own_takes_the_steps_of_losslabs_own_training(
    lr: str | float, batch: str | int
) -> None:
    course = losslab.lay_out(lr=lr, batch=batch, dataset_size=SAMPLES, epochs=4)
    fields = {
        "data": "fashion-mnist-sample",
        "model": "mlp",
        "optimizer": "sgd",
        "lr": lr,
        "batch": batch,
        "epochs": 4,
    }
    steps = list(Timeline(make_run(fields), SAMPLES).steps())
    assert (
        list(course.batch_sizes) == [step.batch_size for step in steps] == batches_of(course, 4)
    )
    assert [course.lr(step) for step in range(course.total_steps)] == [
        step.lr for step in steps
    ]


@pytest.mark.parametrize("drop_last", [False, True])
@settings(max_examples=30)
@given(
    name=st.sampled_from(["triangular", "exp_range"]), samples=st.integers(60, 400), epochs=st.integers(1, 4),
    cycles=st.integers(1, 4), b_min=st.integers(2, 8),
)  # fmt: skip
def test_the_lr_ends_with_its_last_cycle_though_the_batch_size_varies(
    drop_last: bool, name: str, samples: int, epochs: int, cycles: int, b_min: int
) -> None:
    course = losslab.lay_out(
        lr=f"triangular(1, 3, cycles={cycles})",
        batch=f"{name}({b_min}, 50)",
        dataset_size=samples,
        epochs=epochs,
        drop_last=drop_last,
    )
    sizes = batches_of(course, epochs)
    assert len(sizes) == course.total_steps
    assert sizes == list(course.batch_sizes)
    assert course.lr(0) == 1
    assert course.lr(course.total_steps) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("lr", "batch"),
    [
        ("exp_range(1e-3, 0.1, cycles=3)", "cosine(8, 64)"),
        (
            {"name": "exp_range", "base_lr": 1e-3, "max_lr": 0.1, "cycles": 3},
            {"name": "cosine", "b_min": 8, "b_max": 64},
        ),
        (exp_range(1e-3, 0.1, cycles=3), cosine_batch(8, 64)),
    ],
    ids=["texts", "tables", "schedules without their length"],
)
def test_exp_range_means_the_same_however_it_is_given(lr: Any, batch: Any) -> None:
    course = losslab.lay_out(lr=lr, batch=batch, dataset_size=SAMPLES, epochs=3)
    expected = exp_range(1e-3, 0.1, course.total_steps, cycles=3)
    for step in range(course.total_steps):
        assert course.lr(step) == expected(step)
    assert (course.batch_sizes[0], max(course.batch_sizes)) == (8, 64)


def test_schedules_with_a_length_of_their_own_are_taken_as_they_are() -> None:
    lr = cycle(1, 8, 7)
    course = losslab.lay_out(lr=lr, batch=mirror(lr, noise=64), dataset_size=SAMPLES, epochs=2)
    assert course.lr is lr
    assert course.batch_sizes[:8] == tuple(round(64 / lr(step)) for step in range(8))
    assert batches_of(course, 2) == list(course.batch_sizes)


def test_a_training_of_ones_own_follows_both_to_its_end() -> None:
    dataset = TensorDataset(torch.randn(SAMPLES, 4), torch.randn(SAMPLES, 1))
    course = losslab.lay_out(
        lr="triangular(0.01, 0.1)", batch="exp_range(8, 64)", dataset_size=dataset, epochs=2
    )
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scheduler = course.lr_scheduler(optimizer)
    rates = []
    for _ in range(2):
        for inputs, targets in DataLoader(dataset, batch_sampler=course.batch_sampler):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
            scheduler.step()
    assert rates == pytest.approx(
        [course.lr(step) for step in range(course.total_steps)], rel=1e-12
    )
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01, rel=1e-12)


def test_replicas_share_what_is_laid_out() -> None:
    options: dict[str, Any] = {
        "lr": 0.1,
        "batch": "exp_range(8, 64)",
        "dataset_size": SAMPLES,
        "epochs": 2,
    }
    alone = losslab.lay_out(**options)
    ranks = [losslab.lay_out(**options, rank=rank, replicas=2) for rank in range(2)]
    sizes = [batches_of(course, 2) for course in ranks]
    assert [sum(shares) for shares in zip(*sizes, strict=True)] == list(alone.batch_sizes)


def test_what_is_laid_out_can_be_pickled() -> None:
    course = losslab.lay_out(
        lr=cosine(0.1), batch=linear_ramp(4, 64), dataset_size=SAMPLES, epochs=2
    )
    copy = pickle.loads(pickle.dumps(course))
    assert (copy.lr, copy.batch_sizes) == (course.lr, course.batch_sizes)
    assert list(copy.batch_sampler) == list(course.batch_sampler)


def test_sizes_that_change_at_an_epoch_change_there_without_short_batches_too() -> None:
    course = losslab.lay_out(
        lr="piecewise([1, 2], epochs=[2])",
        batch="piecewise([30, 60], epochs=[2])",
        dataset_size=100,
        epochs=4,
        drop_last=True,
    )
    assert course.batch_sizes == (30, 30, 30, 30, 30, 30, 60, 60)
    assert [course.lr(step) for step in range(8)] == [1] * 6 + [2] * 2


@pytest.mark.parametrize(
    ("batch", "samples", "epochs"),
    [("linear_ramp(16, 256)", 200, 2), ("cosine(64, 1024)", 1000, 5)],
)
def test_sizes_that_fit_over_more_steps_are_laid_out_over_these(
    batch: str, samples: int, epochs: int
) -> None:
    course = losslab.lay_out(
        lr=0.1, batch=batch, dataset_size=samples, epochs=epochs, drop_last=True
    )
    assert max(course.batch_sizes) <= samples
    assert batches_of(course, epochs) == list(course.batch_sizes)


def test_a_constant_schedule_is_a_number() -> None:
    run = make_run(
        {
            "data": "fashion-mnist-sample",
            "model": "mlp",
            "optimizer": "sgd",
            "lr": constant(0.1),
            "batch": 64,
            "epochs": 1,
        }
    )
    assert str(run.lr) == "constant(value=0.1)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": "cosine()"}, r"`lr` \(='cosine\(\)'\): cosine needs `high`"),
        ({"lr": -1}, r"`lr` \(=-1\): must be a number greater than 0"),
        ({"lr": None}, r"`lr` \(=None\): must be a number, or a policy"),
        ({"batch": 1.5}, r"`batch` \(=1.5\): must be a whole number of images"),
        ({"batch": "exp_range(64, 8)"}, r"`b_max` \(=8\) must exceed `b_min` \(=64\)"),
        ({"epochs": 0}, r"`epochs` \(=0\) and `dataset_size` \(=1000\) must be positive"),
        (
            {"batch": constant(2000), "drop_last": True},
            r"`batch_size` \(=2000\) at step 0 exceeds `dataset_size` \(=1000\)",
        ),
        (
            {"batch": "piecewise([2000, 60], epochs=[1])", "drop_last": True},
            r"exceeds `dataset_size` \(=1000\)",
        ),
        (
            {"batch": 2000},
            r"`batch` \(=2000\) exceeds `dataset_size` \(=1000\); give at most 1000",
        ),
    ],
)
def test_what_cannot_be_laid_out_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losslab.lay_out(
            **{"lr": 0.1, "batch": 8, "dataset_size": SAMPLES, "epochs": 1, **changes}
        )


def test_what_is_laid_out_prints_no_address() -> None:
    course = losslab.lay_out(lr=0.1, batch=linear_ramp(400, 600), dataset_size=1000, epochs=1)
    assert "PolicyBatchSampler(1000, " in repr(course)
    assert "linear_ramp(start=400, end=600" in repr(course)
    assert " at 0x" not in repr(course)


def test_a_loader_is_not_taken_for_its_dataset() -> None:
    loader = DataLoader(TensorDataset(torch.zeros(100, 1)), 10)
    with pytest.raises(TypeError, match=r"give its dataset: loader\.dataset"):
        losslab.lay_out(lr=0.1, batch=8, dataset_size=loader, epochs=1)
