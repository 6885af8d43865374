"""Metrics against their definitions, written as loops over samples; sums of parts against the whole."""

from collections.abc import Callable
from math import exp
from operator import eq

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from losslab.choice import Choice
from losslab.errors import InvalidInput
from losslab.tasks.metrics import Metric, build_metric, by_name


def metric(name: str, **options: object) -> Metric:
    return build_metric(Choice(name=name, **options))


def value(of: Metric, outputs: torch.Tensor, targets: torch.Tensor) -> float:
    assert of.sums is not None
    return of.value(of.sums(outputs, targets).tolist())


def accuracy(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    named = [max(range(len(row)), key=row.__getitem__) for row in outputs.tolist()]
    return sum(map(eq, named, targets.tolist())) / len(named)


def top_two(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    best = [sorted(range(len(row)), key=row.__getitem__)[-2:] for row in outputs.tolist()]
    return sum(label in row for row, label in zip(best, targets.tolist(), strict=True)) / len(
        best
    )


def f1(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    named = [max(range(len(row)), key=row.__getitem__) for row in outputs.tolist()]
    scores = []
    for label in sorted({*named, *targets.tolist()}):
        pairs = list(zip(named, targets.tolist(), strict=True))
        right = sum(one == other == label for one, other in pairs)
        precision = right / max(named.count(label), 1)
        recall = right / max(targets.tolist().count(label), 1)
        scores.append(2 * precision * recall / (precision + recall) if right else 0.0)
    return sum(scores) / len(scores)


@pytest.mark.parametrize(
    ("name", "options", "loop"),
    [("accuracy", {}, accuracy), ("top_k", {"k": 2}, top_two), ("f1", {}, f1)],
    ids=["accuracy", "top 2", "f1"],
)
@given(seed=st.integers(0, 10**6), samples=st.integers(1, 20))
def test_metrics_of_classes(
    name: str, options: dict, loop: Callable[..., float], seed: int, samples: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    outputs = torch.randn(samples, 4, generator=random)
    targets = torch.randint(4, (samples,), generator=random)
    assert value(metric(name, **options), outputs, targets) == pytest.approx(
        loop(outputs, targets)
    )


@given(seed=st.integers(0, 10**6), samples=st.integers(2, 20), columns=st.integers(1, 3))
def test_metrics_of_numbers(seed: int, samples: int, columns: int) -> None:
    random = torch.Generator().manual_seed(seed)
    outputs, targets = torch.randn(2, samples, columns, generator=random, dtype=torch.float64)
    errors = (outputs - targets).abs()
    assert value(metric("mae"), outputs, targets) == pytest.approx(
        float(errors.sum()) / (samples * columns)
    )
    explained = 1 - errors.square().sum(0) / (targets - targets.mean(0)).square().sum(0)
    assert value(metric("r2"), outputs, targets) == pytest.approx(
        float(explained.mean()), rel=1e-6
    )


@pytest.mark.parametrize("name", ["accuracy", "f1", "mae", "r2", "label_accuracy"])
@given(seed=st.integers(0, 10**6), cut=st.integers(1, 9))
def test_sums_of_two_parts_are_those_of_the_whole(name: str, seed: int, cut: int) -> None:
    random = torch.Generator().manual_seed(seed)
    outputs, targets = (
        torch.randn(10, 3, generator=random),
        torch.randn(10, 3, generator=random),
    )
    if name in ("accuracy", "f1"):
        targets = torch.randint(3, (10,), generator=random)
    sums = metric(name).sums
    assert sums is not None
    parts = sums(outputs[:cut], targets[:cut]) + sums(outputs[cut:], targets[cut:])
    torch.testing.assert_close(parts, sums(outputs, targets), rtol=1e-6, atol=1e-6)


def test_a_constant_target_is_explained_by_its_value_alone() -> None:
    assert value(metric("r2"), torch.ones(3), torch.ones(3)) == 1
    assert value(metric("r2"), torch.zeros(3), torch.ones(3)) == 0


def test_a_column_against_a_row_of_targets_is_no_matrix_of_errors() -> None:
    assert value(metric("mae"), torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 4.0])) == 1


def test_a_target_that_is_ignored_counts_in_no_accuracy() -> None:
    outputs = torch.tensor([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0]])
    assert value(metric("accuracy"), outputs, torch.tensor([0, 1, -100])) == 0.5


def test_perplexity_is_a_function_of_the_loss() -> None:
    assert metric("perplexity").sums is None
    assert metric("perplexity").value(2.0) == exp(2.0)
    assert metric("perplexity").value(1e4) == float("inf")


def test_a_metric_of_ones_own_says_its_direction() -> None:
    own = metric("samples:largest_error", direction="lower")
    assert (own.name, own.highest) == ("largest_error", False)
    assert value(own, torch.tensor([1.0, 5.0]), torch.tensor([1.0, 2.0])) == 3
    with pytest.raises(InvalidInput, match="`direction`"):
        metric("samples:largest_error")


def test_two_metrics_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two of one name"):
        by_name([metric("mae"), metric("mae")])


def test_f1_of_one_label_a_sample_needs_no_axis_for_it() -> None:
    outputs, labels = torch.tensor([1.0, -1.0, 2.0, -2.0]), torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert value(metric("f1"), outputs, labels) == pytest.approx(2 / 3)
    assert value(metric("f1"), outputs[:, None], labels[:, None]) == pytest.approx(2 / 3)


def test_what_is_ignored_counts_in_no_f1() -> None:
    outputs = torch.eye(3)[[0, 1, 2, 0, 1]]
    assert value(metric("f1"), outputs, torch.tensor([0, 1, 2, -100, -100])) == 1


def test_of_probabilities_the_likeliest_class_is_the_target() -> None:
    outputs = torch.eye(3)
    for name in ("accuracy", "top_k"):
        options = {"k": 1} if name == "top_k" else {}
        right = value(metric(name, **options), outputs, outputs * 0.6 + 0.1)
        wrong = value(metric(name, **options), outputs, outputs.roll(1, 0) * 0.6 + 0.1)
        assert (right, wrong) == (1, 0)


def test_targets_that_do_not_vary_leave_nothing_to_explain() -> None:
    targets = torch.full((1000,), 0.1)
    assert value(metric("r2"), targets + 1, targets) == 0
    assert value(metric("r2"), targets, targets) == 1


@pytest.mark.parametrize("name", ["accuracy", "top_k", "f1"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_class_156_counts_in_every_integer_type(name: str, dtype: torch.dtype) -> None:
    """In uint8, -100 is 156."""
    outputs = nn.functional.one_hot(torch.tensor([156, 156, 3]), 200).float()
    targets = torch.tensor([156, 156, 156], dtype=dtype)
    expected = {"accuracy": 2 / 3, "top_k": 2 / 3, "f1": (2 * 2 / 5) / 2}[name]
    options = {"k": 1} if name == "top_k" else {}
    assert value(metric(name, **options), outputs, targets) == pytest.approx(expected)


@pytest.mark.parametrize("positions", [3, 5], ids=["as many as classes", "more"])
def test_f1_of_several_classes_a_sample_is_that_of_all_positions(positions: int) -> None:
    random = torch.Generator().manual_seed(0)
    outputs = torch.randn(4, 3, positions, generator=random)
    targets = torch.randint(3, (4, positions), generator=random)
    flat = outputs.transpose(1, 2).reshape(-1, 3), targets.flatten()
    assert value(metric("f1"), outputs, targets) == pytest.approx(f1(*flat))
    targets[0] = -100
    flat = flat[0][positions:], flat[1][positions:]
    assert value(metric("f1"), outputs, targets) == pytest.approx(f1(*flat))


@pytest.mark.parametrize("name", ["accuracy", "top_k", "f1"])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_a_single_class_is_not_always_right(name: str, shape: tuple[int, ...]) -> None:
    targets = torch.zeros(4, dtype=torch.int64)
    if name != "f1":
        targets = torch.randn(shape)
    elif shape == (4,):
        targets = targets[:, None].expand(4, 2)
    with pytest.raises(ValueError, match="of a single class, or of none"):
        value(metric(name), torch.randn(shape), targets)
