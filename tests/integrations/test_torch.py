"""The batch sampler, the scheduler and both together in a plain torch loop."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from itertools import accumulate, islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from losslab.integrations.torch import PolicyBatchSampler, lr_scheduler
from losslab.randomness import epoch_order
from losslab.schedules import (
    Schedule,
    constant,
    cycle,
    exp_range,
    linear_ramp,
    mirror,
    piecewise,
    whole,
)
from losslab.spec import make_run
from losslab.training.timeline import Timeline

IMAGES = 103
SCHEDULE = mirror(cycle(1, 8, 7, exp_range(0.98)), noise=24)
"""Batch sizes between 24 and 3 that never divide an epoch."""


class Numbers(torch.utils.data.Dataset[int]):
    """The samples are their own indices."""

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> int:
        return index


def scheduled(
    schedule: Schedule, images: int, epochs: int, *, drop_last: bool
) -> list[list[int]]:
    """The sizes in each epoch, written out from the rule."""
    step, found = 0, []
    for _ in range(epochs):
        found.append([])
        while sum(found[-1]) < images:
            size, left = whole(schedule)(step), images - sum(found[-1])
            if size > left and drop_last:
                break
            found[-1].append(min(size, left))
            step += 1
    return found


def epochs_of(loader: DataLoader[int], epochs: int) -> Iterator[list[list[int]]]:
    for _ in range(epochs):
        yield [batch.tolist() for batch in loader]


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
@pytest.mark.parametrize("drop_last", [False, True])
def test_a_data_loader_gives_the_scheduled_sizes(
    workers: int, drop_last: bool, persistent: bool
) -> None:
    sampler = PolicyBatchSampler(IMAGES, SCHEDULE, seed=3, drop_last=drop_last)
    loader = DataLoader(
        Numbers(), batch_sampler=sampler, num_workers=workers, persistent_workers=persistent
    )
    expected = scheduled(SCHEDULE, IMAGES, 3, drop_last=drop_last)
    for epoch, batches in enumerate(epochs_of(loader, 3)):
        assert [len(batch) for batch in batches] == expected[epoch]
        used = [index for batch in batches for index in batch]
        assert used == epoch_order(IMAGES, 3, epoch).tolist()[: len(used)]
        assert drop_last or len(used) == IMAGES


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("consumed", [0, 5, 30])
def test_it_goes_on_after_the_batches_that_were_consumed(
    workers: int, drop_last: bool, consumed: int
) -> None:
    def loader() -> tuple[PolicyBatchSampler, DataLoader[int]]:
        sampler = PolicyBatchSampler(IMAGES, SCHEDULE, drop_last=drop_last)
        return sampler, DataLoader(Numbers(), batch_sampler=sampler, num_workers=workers)

    def stream(batches: DataLoader[int], epochs: int) -> list[list[int]]:
        return [batch for epoch in epochs_of(batches, epochs) for batch in epoch]

    _, whole_run = loader()
    everything = stream(whole_run, 4)
    interrupted, batches = loader()
    used = 0
    while used < consumed:  # the loop stops amid an epoch, with workers that have fetched ahead
        used += len(list(islice(iter(batches), consumed - used)))
    state = interrupted.state_dict(consumed)
    resumed, rest = loader()
    resumed.load_state_dict(state)
    found = stream(rest, 2)
    # To the end of the second epoch from the one that was left.
    assert len(found) > len(everything) // 4
    assert found == everything[consumed : consumed + len(found)]


@given(
    images=st.integers(1, 60), sizes=st.lists(st.integers(1, 70), min_size=1, max_size=5),
    drop_last=st.booleans(), epochs=st.integers(1, 4), data=st.data(),
)  # fmt: skip
def test_sizes_epochs_lengths_and_resumption_agree(
    images: int, sizes: list[int], drop_last: bool, epochs: int, data: st.DataObject
) -> None:
    sizes = [min(size, images) for size in sizes] if drop_last else sizes
    schedule = piecewise(sizes, list(range(3, 3 * len(sizes), 3)))
    sampler = PolicyBatchSampler(images, schedule, drop_last=drop_last)
    expected = scheduled(schedule, images, epochs, drop_last=drop_last)
    stream: list[list[int]] = []
    for epoch in range(epochs):
        length = len(sampler)
        batches = []
        for batch in sampler:
            assert len(sampler) == length
            batches.append(batch)
        assert [len(batch) for batch in batches] == expected[epoch]
        assert length == len(batches)
        assert len({index for batch in batches for index in batch}) == sum(expected[epoch])
        stream += batches
    consumed = data.draw(st.integers(0, len(stream) - 1))
    ends = list(accumulate(map(len, expected)))
    end = next(end for end in ends if end > consumed)
    resumed = PolicyBatchSampler(images, schedule, drop_last=drop_last)
    resumed.load_state_dict({"step": consumed})
    length = len(resumed)
    rest = list(resumed)
    assert (rest, length) == (stream[consumed:end], end - consumed)


def test_sizes_and_order_are_those_of_losslabs_own_training() -> None:
    policy = "exp_range(b_min=3, b_max=24, cycles=2)"
    spec = make_run(
        {
            "data": "fashion-mnist-sample",
            "model": "mlp",
            "optimizer": "sgd",
            "lr": 1,
            "batch": policy,
            "epochs": 3,
        }
    )
    steps = list(Timeline(spec, IMAGES).steps())
    sampler = PolicyBatchSampler(
        IMAGES, lambda step: steps[min(step, len(steps) - 1)].batch_size, seed=spec.seed
    )
    batches = [batch for _ in range(3) for batch in sampler]
    orders = [epoch_order(IMAGES, spec.seed, epoch).tolist() for epoch in range(3)]
    assert batches == [orders[s.epoch][s.offset : s.offset + s.batch_size] for s in steps]


def test_an_epoch_left_early_is_not_repeated() -> None:
    sampler = PolicyBatchSampler(10, 3, shuffle=True)
    first = next(iter(sampler))
    assert first == epoch_order(10, 0, 0).tolist()[:3]
    assert len(sampler) == 4
    assert next(iter(sampler)) == epoch_order(10, 0, 1).tolist()[:3]


def test_without_shuffling_the_order_is_that_of_the_data_set() -> None:
    assert list(PolicyBatchSampler(5, 2, shuffle=False)) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: PolicyBatchSampler(0, 2), r"`dataset_size` \(=0\) must be at least 1"),
        (lambda: PolicyBatchSampler(5, 0), r"`batch_size` \(=0\) must be at least 1"),
        (
            lambda: list(PolicyBatchSampler(5, constant(8), drop_last=True)),
            r"`batch_size` \(=8\) at step 0 exceeds `dataset_size` \(=5\)",
        ),
        (
            lambda: PolicyBatchSampler(5, 2).load_state_dict({"step": -1}),
            r"`step` \(=-1\) must not be negative",
        ),
        (
            lambda: lr_scheduler(torch.optim.SGD([torch.zeros(1)], lr=0.0), constant(1)),
            r"`lr` \(=0.0\) of the first parameter group must be positive",
        ),
        (
            lambda: lr_scheduler(torch.optim.SGD([torch.zeros(1)], lr=0.0), [constant(1)]),
            r"`lr` \(=0.0\) of every parameter group must be positive",
        ),
        (
            lambda: lr_scheduler(optimizer(), [constant(1)]),
            r"`schedule` \(=1 of them\) must be one, or one for each of 2",
        ),
    ],
)
def test_impossible_values_are_refused(use: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        use()  # type: ignore[operator]


def optimizer() -> torch.optim.Optimizer:
    weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    return torch.optim.SGD(
        [{"params": [weights[0]], "lr": 0.2}, {"params": [weights[1]], "lr": 0.02}]
    )


def test_the_lr_follows_the_schedule_and_groups_keep_their_ratio() -> None:
    schedule = cycle(0.01, 0.1, 4)
    sgd = optimizer()
    scheduler = lr_scheduler(sgd, schedule)
    for step in range(20):
        first, second = (group["lr"] for group in sgd.param_groups)
        assert first == pytest.approx(schedule(step), rel=1e-12)
        assert second == pytest.approx(schedule(step) / 10, rel=1e-12)
        sgd.step()
        scheduler.step()


def test_each_group_can_have_a_schedule_of_its_own() -> None:
    schedules = [cycle(0.01, 0.1, 4), linear_ramp(0.5, 0.1, 15)]
    sgd = optimizer()
    scheduler = lr_scheduler(sgd, schedules)
    for step in range(20):
        found = [group["lr"] for group in sgd.param_groups]
        assert found == pytest.approx([schedule(step) for schedule in schedules], rel=1e-12)
        sgd.step()
        scheduler.step()


def test_the_state_of_a_scheduler_holds_plain_values_and_the_scheduler_can_be_pickled() -> None:
    scheduler = lr_scheduler(optimizer(), cycle(0.01, 0.1, 4))
    file = BytesIO()
    torch.save(scheduler.state_dict(), file)
    file.seek(0)
    assert torch.load(file, weights_only=True) == scheduler.state_dict()
    assert pickle.loads(pickle.dumps(scheduler)).get_last_lr() == scheduler.get_last_lr()


def test_the_lr_goes_on_from_a_saved_state() -> None:
    schedule = linear_ramp(0.1, 1.0, 10)
    before = optimizer()
    scheduler = lr_scheduler(before, schedule)
    for _ in range(4):
        before.step()
        scheduler.step()
    after = optimizer()
    after.load_state_dict(before.state_dict())
    resumed = lr_scheduler(after, schedule)
    resumed.load_state_dict(scheduler.state_dict())
    after.step()
    resumed.step()
    assert after.param_groups[0]["lr"] == pytest.approx(schedule(5), rel=1e-12)


def test_the_package_does_not_import_torch() -> None:
    code = (
        "import sys, losslab.integrations, losslab.schedules; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
