"""The critical batch size is the one that algebra gives, and a branch leaves all as it was."""

from collections.abc import Iterator
from math import inf
from typing import Any

import numpy as np
import pytest
import torch
from own_network import loader, network
from torch import nn

import losslab
from losslab.optimizers import at_iterate
from losslab.optimizers.rmsprop_nesterov import RMSPropNesterov
from losslab.ranges import CriticalBatch, batch_warmup
from losslab.ranges.branch import critical_batch, scaled_rates
from losslab.ranges.losses import cross_entropy
from losslab.ranges.subject import subject_of
from losslab.spec import make_run

SIZES = [4, 8, 16, 32, 64, 128, 256]
WIDTH = 100


class Points:
    """Batches of four points drawn anew from a normal distribution about zero, of a known variance."""

    def __init__(self, deviation: float) -> None:
        self.deviation = deviation

    def __len__(self) -> int:
        return 512

    def __iter__(self) -> Iterator[torch.Tensor]:
        for _ in range(512):
            yield self.deviation * torch.randn(4, WIDTH)


class Bowl(nn.Module):
    """The loss of a point is half its squared distance, so that the noise of a gradient is the point's own."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((WIDTH,), start))

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return ((self.weight - points) ** 2).sum(1).mean() / 2


def expected_loss(size: int, *, lr: float, steps: int, start: float, deviation: float) -> float:
    """The mean of the loss after SGD on the bowl, from the recursion of the mean and the variance of a weight."""
    mean, variance = start, 0.0
    for _ in range(steps):
        mean = (1 - lr) * mean
        variance = (1 - lr) ** 2 * variance + lr**2 * deviation**2 / size
    return WIDTH * (mean**2 + variance + deviation**2) / 2


@pytest.mark.parametrize(
    ("scaling", "lr", "start", "deviation", "steps"),
    [
        ("linear", 0.05, 0.5, 2.0, 256),
        ("linear", 0.1, 1.0, 1.0, 128),
        ("sqrt", 0.02, 1.0, 1.0, 256),
        ("sqrt", 0.04, 2.0, 0.5, 256),
    ],
)
def test_on_a_noisy_bowl_the_critical_size_is_that_of_algebra_within_one_size(
    scaling: str, lr: float, start: float, deviation: float, steps: int
) -> None:
    power = {"linear": 1.0, "sqrt": 0.5}[scaling]
    expected = []
    for size in SIZES:
        rate, count = lr * (size / 4) ** power, steps * 4 // size
        expected.append(
            expected_loss(size, lr=rate, steps=count, start=start, deviation=deviation)
        )
    above = [loss > 1.01 * expected[0] for loss in expected]
    known = above.index(True) - 1
    assert 0 < known < len(SIZES) - 1
    model = Bowl(start)
    found = losslab.find_batch(
        model,
        Points(deviation),
        torch.optim.SGD(model.parameters(), lr=lr),
        sizes=SIZES,
        steps=steps,
        seeds=2,
        loss_fn=lambda model, batch: model(batch),
        mode="branch",
        scaling=scaling,
    )
    assert found.critical_size is not None
    assert abs(SIZES.index(found.critical_size) - known) <= 1
    assert found.curve.loss[0] == pytest.approx(expected[0], rel=0.03)
    assert found.curve.samples == [4 * steps] * len(SIZES)
    # Of a bowl the noise scale is the variance of a point over the squared distance from the centre.
    assert found.noise_scale == pytest.approx(deviation**2 / start**2, rel=0.2)


def read(losses: list[list[float]], tolerance: float = 0.01) -> CriticalBatch:
    sizes = SIZES[: len(losses)]
    return critical_batch(
        losses,
        sizes=sizes,
        lrs=scaled_rates(0.1, sizes, "linear"),
        samples=[1000] * len(sizes),
        tolerance=tolerance,
        scaling="linear",
        noise_scale=None,
    )


def test_the_critical_size_is_the_last_before_the_first_that_is_above() -> None:
    found = read(
        [[1.0, 2.0, 1.0], [1.0, 2.0, 1.02], [1.0, 2.01, 1.0], [1.2, 2.0, 1.5], [1.0] * 3]
    )
    assert (found.critical_size, found.band, found.reason) == (16, (4, 64), "")
    assert found.curve.lr == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])
    assert read([[1.0], [1.0]]).reason.startswith("the largest size is within the tolerance")
    assert read([[1.0], [1.5]]).reason.startswith("the second size is above")


def test_sizes_that_diverge_are_above_and_the_smallest_must_not() -> None:
    found = read([[1.0, 1.0], [1.0, 1.0], [inf, inf]])
    assert (found.critical_size, found.band) == (8, (8, 8))
    assert found.curve.loss == [1.0, 1.0, None]
    found = read([[inf], [1.0]])
    assert (found.found, found.critical_size, found.band) == (False, None, None)
    assert found.reason.startswith("no critical size found, because training diverges")


def test_a_branch_in_the_middle_of_training_leaves_all_to_the_bit_and_uses_the_state() -> None:
    ends, momenta = [], []
    for is_tested in (False, True):
        model, data = network(), loader()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        torch.manual_seed(1)
        train(model, optimizer, data)

        def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
            momenta.append(float(next(iter(optimizer.state.values()))["step"]))  # noqa: B023
            return nn.functional.cross_entropy(model(batch[0]), batch[1])

        if is_tested:
            losslab.find_batch(
                model,
                data,
                optimizer,
                sizes=[16, 32],
                steps=4,
                seeds=2,
                loss_fn=loss_fn,
                mode="branch",
            )
        train(model, optimizer, data)
        states = [*model.state_dict().values(), torch.rand(3)]
        for state in optimizer.state.values():
            states += [state["step"], state["exp_avg"], state["exp_avg_sq"]]
        ends.append(states)
    assert all(map(torch.equal, *ends))
    # Every branch begins at the step at which the user's optimizer is.
    assert min(momenta) == len(loader())
    assert max(momenta) == len(loader()) + 4


def train(model: nn.Module, optimizer: torch.optim.Optimizer, data: Any) -> None:
    model.train()
    for images, labels in data:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("optimizer", "rule", "rate"), [("sgd(momentum=0.9)", "linear", 0.4), ("adam", "sqrt", 0.2)]
)
def test_the_rate_grows_by_the_rule_of_the_optimizer(
    optimizer: str, rule: str, rate: float
) -> None:
    found = losslab.find_batch(
        network(), loader(), optimizer, sizes=[16, 64], lr=0.1, steps=4, seeds=1, mode="branch"
    )
    assert found.scaling == rule
    assert found.curve.lr == pytest.approx([0.1, rate])
    assert found.setting
    assert found.setting.lrs == found.curve.lr
    assert found.to_dict()["curve"]["batch_size"] == [16, 64]


def test_the_noise_scale_of_a_network_in_evaluation_mode_is_that_of_training() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    options = {"sizes": [16, 32], "lr": 0.01, "steps": 4, "seeds": 1, "mode": "branch"}
    data = list(loader())
    training = losslab.find_batch(model, data, "adam", **options)
    evaluating = losslab.find_batch(model.eval(), data, "adam", **options)
    assert evaluating.noise_scale == training.noise_scale
    assert not any(module.training for module in model.modules())


def test_branches_are_judged_at_the_weights_that_the_optimizer_says_to_evaluate() -> None:
    model, data = network(), list(loader())
    optimizer = RMSPropNesterov().build([{"params": list(model.parameters())}], lr=1e-3)
    train(model, optimizer, data[:2])
    subject = subject_of(model, data, optimizer, cross_entropy, None)
    with at_iterate(optimizer):
        expected = mean_loss(model, data)
    assert subject.judged(data) == pytest.approx(expected, rel=1e-6)
    assert mean_loss(model, data) != pytest.approx(expected, rel=1e-6)


@torch.no_grad()
def mean_loss(model: nn.Module, data: Any) -> float:
    """In evaluation mode, over all samples."""
    model.eval()
    total = sum(
        float(nn.functional.cross_entropy(model(images), labels, reduction="sum"))
        for images, labels in data
    )
    return total / sum(len(labels) for _, labels in data)


def test_several_checkpoints_make_a_policy_that_a_run_takes_and_that_never_shrinks() -> None:
    early, later, last = read([[1.0], [1.5]]), read([[1.0], [1.0], [2.0]]), read([[1.0], [1.5]])
    policy = batch_warmup({2.0: later, 0.0: early, 4.0: last})
    assert policy == {"name": "piecewise", "values": [4, 8, 8], "epochs": [2.0, 4.0]}
    fields = {
        "data": "fashion-mnist",
        "model": "lenet5",
        "optimizer": "adam",
        "lr": 1e-3,
        "epochs": 6,
    }
    run = make_run({**fields, "batch": policy})
    assert run.batch.name == "piecewise"  # type: ignore[union-attr]
    sampler = losslab.lay_out(lr=1e-3, batch=policy, epochs=6, dataset_size=80)
    assert sampler
    alone = batch_warmup({0.0: later})
    assert alone == {"name": "constant", "value": 8}
    assert make_run({**fields, "batch": alone}).batch.name == "constant"  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="has no critical size"):
        batch_warmup({0.0: read([[inf], [1.0]])})
    with pytest.raises(ValueError, match="is empty"):
        batch_warmup({})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "branches"}, "did you mean 'branch'"),
        ({"mode": "branch", "scaling": "square"}, "unknown scaling"),
        ({"mode": "steps", "scaling": "sqrt"}, "is for mode='branch'"),
        ({"mode": "branch", "tolerance": 0}, "`tolerance` .* must be positive"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losslab.find_batch(network(), loader(), "sgd", sizes=[16, 32], lr=0.1, **options)


def test_losses_below_zero_have_a_tolerance_too() -> None:
    assert read([[-1.0], [-0.995], [-0.9]]).critical_size == 8
    assert np.isfinite(read([[-1.0], [-2.0]]).curve.excess).all()  # type: ignore[arg-type]
