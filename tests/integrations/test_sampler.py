"""The batch sampler among several replicas, in other people's hands, and put back where it was."""

import pickle
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from replicas import EVEN, SAMPLES, SCHEDULE, train, train_one_of_two
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    RandomSampler,
    TensorDataset,
)

import losslab
from losslab.integrations.torch import PolicyBatchSampler
from losslab.schedules import piecewise, whole

DATASET = TensorDataset(torch.arange(SAMPLES))


def epochs_of(sampler: PolicyBatchSampler, epochs: int) -> list[list[list[int]]]:
    return [list(sampler) for _ in range(epochs)]


def test_it_is_what_torch_takes_for_a_batch_sampler() -> None:
    sampler = PolicyBatchSampler(DATASET, SCHEDULE)
    assert isinstance(sampler, BatchSampler)
    assert DataLoader(DATASET, batch_sampler=sampler).batch_sampler is sampler
    assert sampler.dataset_size == SAMPLES


@given(
    samples=st.integers(1, 80), sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    replicas=st.integers(1, 5), drop_last=st.booleans(), seed=st.integers(0, 3),
)  # fmt: skip
def test_replicas_take_equally_many_steps_and_share_each_batch_evenly(
    samples: int, sizes: list[int], replicas: int, drop_last: bool, seed: int
) -> None:
    sizes = [min(size, samples) for size in sizes] if drop_last else sizes
    schedule = piecewise(sizes, list(range(3, 3 * len(sizes), 3)))
    alone = PolicyBatchSampler(samples, schedule, drop_last, seed=seed)
    ranks = [
        PolicyBatchSampler(samples, schedule, drop_last, seed=seed, rank=r, replicas=replicas)
        for r in range(replicas)
    ]
    for _ in range(3):
        assert len({len(sampler) for sampler in (alone, *ranks)}) == 1
        batches = list(alone)
        for batch, *shares in zip(batches, *map(list, ranks), strict=True):
            lengths = [len(share) for share in shares]
            assert max(lengths) - min(lengths) <= 1
            assert min(lengths) >= 1
            together = [index for share in shares for index in share]
            assert set(together) == set(batch)
            assert len(together) == max(len(batch), replicas)


def test_shares_of_multiples_are_equal_so_that_a_mean_of_means_is_the_mean() -> None:
    sizes = whole(SCHEDULE, 4)
    ranks = [PolicyBatchSampler(96, sizes, rank=rank, replicas=2) for rank in range(2)]
    for first, second in zip(*map(list, ranks), strict=True):
        assert len(first) == len(second)


def test_a_distributed_sampler_hands_over_its_data_its_seed_and_its_replicas() -> None:
    distributed = DistributedSampler(DATASET, num_replicas=3, rank=2, shuffle=True, seed=5)
    expected = PolicyBatchSampler(DATASET, SCHEDULE, seed=5, rank=2, replicas=3)
    assert epochs_of(PolicyBatchSampler(distributed, SCHEDULE), 3) == epochs_of(expected, 3)


def test_a_framework_builds_a_like_one_from_the_attributes_of_batch_samplers() -> None:
    """Lightning's Trainer calls the class so for a sampler that it did not see being built."""
    sampler = PolicyBatchSampler(DATASET, SCHEDULE, drop_last=True)
    sharded = DistributedSampler(DATASET, num_replicas=2, rank=1)
    rebuilt = type(sampler)(sharded, batch_size=sampler.batch_size, drop_last=sampler.drop_last)
    expected = PolicyBatchSampler(DATASET, SCHEDULE, drop_last=True, rank=1, replicas=2)
    assert epochs_of(rebuilt, 3) == epochs_of(expected, 3)


def test_without_a_rank_the_shares_of_all_come_in_turn() -> None:
    ranks = [PolicyBatchSampler(SAMPLES, SCHEDULE, rank=rank, replicas=2) for rank in range(2)]
    in_turn = PolicyBatchSampler(SAMPLES, SCHEDULE, replicas=2)
    assert in_turn.batch_size is None
    for _ in range(3):
        length = len(in_turn)
        shares = list(in_turn)
        assert length == len(shares) == 2 * len(ranks[0])
        assert [shares[0::2], shares[1::2]] == [list(rank) for rank in ranks]


def test_accelerate_deals_the_shares_out_to_their_ranks() -> None:
    shard = pytest.importorskip("accelerate.data_loader").BatchSamplerShard
    in_turn = [PolicyBatchSampler(SAMPLES, SCHEDULE, replicas=2) for _ in range(2)]
    dealt = [
        shard(sampler, num_processes=2, process_index=rank, even_batches=False)
        for rank, sampler in enumerate(in_turn)
    ]
    ranks = [PolicyBatchSampler(SAMPLES, SCHEDULE, rank=rank, replicas=2) for rank in range(2)]
    for _ in range(3):
        assert [list(shares) for shares in dealt] == [list(rank) for rank in ranks]


@pytest.mark.parametrize("epochs", [[0, 1, 2, 3], [2, 3], [1, 1, 0, 5]])
@pytest.mark.parametrize("drop_last", [False, True])
def test_an_epoch_that_is_set_is_the_one_that_comes(
    epochs: Sequence[int], drop_last: bool
) -> None:
    expected = epochs_of(PolicyBatchSampler(SAMPLES, SCHEDULE, drop_last), 6)
    sampler = PolicyBatchSampler(SAMPLES, SCHEDULE, drop_last)
    for epoch in epochs:
        sampler.sampler.set_epoch(epoch)  # as Lightning does
        assert len(sampler) == len(expected[epoch])
        assert list(sampler) == expected[epoch]


def test_setting_the_epoch_of_a_state_put_back_goes_on_within_it() -> None:
    epochs = epochs_of(PolicyBatchSampler(SAMPLES, SCHEDULE), 3)
    used = len(PolicyBatchSampler(SAMPLES, SCHEDULE)) + 3
    sampler = PolicyBatchSampler(SAMPLES, SCHEDULE)
    sampler.load_state_dict({"step": used})
    sampler.set_epoch(1)
    found = list(sampler)
    assert found == epochs[1][3:]


@given(steps=st.integers(0, 60), more=st.integers(0, 60))
def test_its_own_state_puts_it_back_where_it_was_amid_an_epoch_too(
    steps: int, more: int
) -> None:
    sampler, twin = (PolicyBatchSampler(SAMPLES, SCHEDULE) for _ in range(2))
    draw(sampler, steps)
    draw(twin, steps)
    state = pickle.loads(pickle.dumps(sampler.state_dict()))
    draw(sampler, more)
    sampler.load_state_dict(state)
    assert len(sampler) == len(twin)
    assert epochs_of(sampler, 2) == epochs_of(twin, 2)


def draw(sampler: PolicyBatchSampler, batches: int) -> None:
    """Use so many batches, the last epoch perhaps in part."""
    while batches > 0:
        for _ in sampler:
            batches -= 1
            if batches == 0:
                break


@pytest.mark.parametrize("rank", [None, 1])
def test_a_pickled_sampler_goes_on_like_the_first(rank: int | None) -> None:
    sampler = PolicyBatchSampler(DATASET, whole(SCHEDULE, 2), seed=3, rank=rank, replicas=2)
    next(iter(sampler))
    copy = pickle.loads(pickle.dumps(sampler))
    assert copy.sampler is copy
    assert epochs_of(copy, 2) == epochs_of(sampler, 2)


def test_a_range_test_leaves_it_where_it_was() -> None:
    model = torch.nn.Linear(20, 5)

    def loader() -> DataLoader[tuple[torch.Tensor, ...]]:
        dataset = TensorDataset(torch.randn(64, 20), torch.arange(64) % 5)
        return DataLoader(
            dataset, batch_sampler=PolicyBatchSampler(dataset, lambda step: 4 + step)
        )

    tested, untouched = loader(), loader()
    losslab.find_lr(model, tested, "adam", steps=30, seeds=1)
    for first, second in zip_longest(tested, untouched):
        assert torch.equal(first[1], second[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 2, "replicas": 2}, r"`rank` \(=2\) must be from 0 to `replicas` - 1 \(=1\)"),
        ({"rank": -1}, r"`rank` \(=-1\)"),
        ({"replicas": 0}, r"`replicas` \(=0\) must be at least 1"),
    ],
)
def test_impossible_replicas_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PolicyBatchSampler(10, 2, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sampler", "batch_size", "message"),
    [
        (
            RandomSampler(DATASET),
            8,
            r"`sampler` \(=RandomSampler\) has an order of its own; give the dataset",
        ),
        (iter([1, 2]), 8, r"`sampler` \(=list_iterator\) has no length"),
        (
            DATASET,
            "exp_range(8, 64)",
            r"`batch_size` \(='exp_range\(8, 64\)'\) must be .* losslab.lay_out takes policies",
        ),
    ],
)
def test_what_is_no_dataset_and_no_size_is_refused(
    sampler: Any, batch_size: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        PolicyBatchSampler(sampler, batch_size)


def test_a_negative_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`epoch` \(=-1\) must not be negative"):
        PolicyBatchSampler(10, 2).set_epoch(-1)


@pytest.mark.cluster
def test_two_processes_train_as_one_does_where_their_shares_are_equal(tmp_path: Path) -> None:
    context = torch.multiprocessing.get_context("spawn")
    results = context.Queue()
    arguments = [(rank, str(tmp_path / "store"), results) for rank in range(2)]
    workers = [context.Process(target=train_one_of_two, args=own) for own in arguments]
    for worker in workers:
        worker.start()
    first, second = sorted(results.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join(timeout=60)
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1)
    sizes = train(model, PolicyBatchSampler(SAMPLES, EVEN, drop_last=True))
    assert [own + other for own, other in zip(first[1], second[1], strict=True)] == sizes
    assert first[2] == second[2] == pytest.approx(model.weight.item(), rel=1e-5)
