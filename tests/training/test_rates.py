"""Rates and momentum of every step and group: against torch's schedulers, and resumed after a kill to the bit."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fault_tools import in_child, left_behind, train_in
from torch.optim import lr_scheduler as of_torch

from losslab import data
from losslab.errors import InvalidInput
from losslab.spec import Run, make_run
from losslab.training.loop import train
from losslab.training.state import new_state

STEPS = 42
"""Three cycles whose halves have 7 steps."""
CYCLIC = {"step_size_up": 7, "base_momentum": 0.85, "max_momentum": 0.95}


def run(**fields: object) -> Run:
    base = {
        "data": "samples:table",
        "model": "mlp(hidden=[16])",
        "loss": "mse",
        "optimizer": "sgd",
        "lr": 0.01,
    }
    return make_run({**base, "batch": 64, "steps": STEPS, **fields})


def trained_at(spec: Run, key: str) -> list[list[float]]:
    """What each group has under a key of its own when a step is taken, step by step."""
    dataset = data.load(spec.data.name)
    state = new_state(spec, dataset)
    seen: list[list[float]] = []

    def note(optimizer: torch.optim.Optimizer, *_: object) -> None:
        seen.append([read(group, key) for group in optimizer.param_groups])

    state.optimizer.register_step_pre_hook(note)
    list(train(spec, dataset=dataset, state=state))
    return seen


def read(group: dict[str, Any], key: str) -> float:
    if key == "momentum" and "betas" in group:
        return group["betas"][0]
    return group[key]


def of_scheduler(build: Callable[[torch.optim.Optimizer], Any], key: str) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.01, momentum=0.9)
    scheduler = build(optimizer)
    values = []
    for _ in range(STEPS):
        values.append(optimizer.param_groups[0][key])
        optimizer.step()
        if len(values) < STEPS:
            scheduler.step()
    return values


def first(seen: list[list[float]]) -> list[float]:
    return [groups[0] for groups in seen]


@pytest.mark.parametrize("key", ["lr", "momentum"])
@pytest.mark.parametrize(
    ("lr", "build"),
    [
        (
            "triangular(1e-3, 1e-2, cycles=3)",
            lambda o: of_torch.CyclicLR(o, 1e-3, 1e-2, **CYCLIC),
        ),
        (
            "triangular2(1e-3, 1e-2, cycles=3)",
            lambda o: of_torch.CyclicLR(o, 1e-3, 1e-2, mode="triangular2", **CYCLIC),
        ),
        (
            "exp_range(1e-3, 1e-2, cycles=3, gamma=0.97)",
            lambda o: of_torch.CyclicLR(o, 1e-3, 1e-2, mode="exp_range", gamma=0.97, **CYCLIC),
        ),
        ("one_cycle(1e-2)", lambda o: of_torch.OneCycleLR(o, 1e-2, total_steps=STEPS)),
        (
            "one_cycle(1e-2, up_fraction=0.4, three_phase=True, linear=True)",
            lambda o: of_torch.OneCycleLR(
                o, 1e-2, STEPS, pct_start=0.4, three_phase=True, anneal_strategy="linear"
            ),
        ),
    ],
    ids=["triangular", "triangular2", "exp_range", "one cycle", "three phases"],
)
def test_rate_and_momentum_of_each_step_are_torchs(lr: str, build: Any, key: str) -> None:
    seen = trained_at(run(lr=lr, momentum="cycled"), key)
    assert first(seen) == pytest.approx(of_scheduler(build, key), rel=1e-12)


@pytest.mark.parametrize(
    "optimizer",
    ["adam", "nadam", "rmsprop", "rmsprop-nesterov", "torch.optim/RAdam", "samples:Lion"],
)
def test_momentum_is_cycled_under_every_optimizer_that_has_any(optimizer: str) -> None:
    spec = run(
        optimizer=optimizer,
        lr="triangular(1e-4, 1e-3, cycles=3)",
        momentum="cycled(base_momentum=0.6, max_momentum=0.8)",
    )
    found = first(trained_at(spec, "momentum"))
    assert (found[0], found[7], found[14]) == pytest.approx((0.8, 0.6, 0.8), rel=1e-12)


def test_each_group_trains_at_its_own_schedule_and_the_others_at_the_runs() -> None:
    spec = run(
        parameter_groups="optimizer_samples:own_rates", lr="triangular(1e-3, 1e-2, cycles=3)"
    )
    own, constant, others = zip(*trained_at(spec, "lr"), strict=True)
    one_cycle = of_scheduler(lambda o: of_torch.OneCycleLR(o, 0.05, total_steps=STEPS), "lr")
    cyclic = of_scheduler(lambda o: of_torch.CyclicLR(o, 1e-3, 1e-2, 7), "lr")
    assert list(own) == pytest.approx(one_cycle, rel=1e-12)
    assert set(constant) == {0.02}
    assert list(others) == pytest.approx([lr / 2 for lr in cyclic], rel=1e-12)


def test_a_plateau_is_a_factor_on_the_rates_of_all_groups() -> None:
    fields = {"parameter_groups": "optimizer_samples:own_rates", "lr": "one_cycle(0.01)"}
    plain = trained_at(run(**fields), "lr")
    # No loss is good enough: the factor falls at every evaluation, which is every fifth step.
    plateau = "reduce(factor=0.5, patience=0, threshold=0.99)"
    falling = trained_at(run(plateau=plateau, **fields), "lr")
    for step, (before, after) in enumerate(zip(plain, falling, strict=True)):
        factor = 0.5 ** max(0, step // 5 - 1)
        assert after == pytest.approx([lr * factor for lr in before], rel=1e-12)


def test_a_scale_of_one_changes_no_bit_of_a_rate() -> None:
    assert trained_at(run(lr=0.1 + 0.2, steps=1), "lr") == [[0.1 + 0.2] * 2]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_killed_run_goes_on_to_the_bit(tmp_path: Path, optimizer: str) -> None:
    spec = run(
        optimizer=optimizer,
        parameter_groups="optimizer_samples:own_rates",
        lr="one_cycle(0.01)",
        momentum="cycled",
    )
    assert in_child(train_in, spec, tmp_path / "whole") == 0
    assert in_child(train_in, spec, tmp_path / "killed", 17) == -signal.SIGKILL
    assert in_child(train_in, spec, tmp_path / "killed") == 0
    assert left_behind(tmp_path / "killed") == left_behind(tmp_path / "whole")


def test_a_run_without_cycled_momentum_has_the_identity_of_before() -> None:
    plain = run(lr="one_cycle(0.01)")
    assert plain.id == make_run(plain.model_dump(mode="json", exclude={"momentum"})).id
    texts = ["cycled", "cycled(0.85)", "cycled(base_momentum=0.85, max_momentum=0.95)"]
    cycled = {run(lr="one_cycle(0.01)", momentum=text).id for text in texts}
    assert len(cycled) == 1
    assert plain.id not in cycled


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"momentum": 0.9}, "a constant is an option of the optimizer, such as 'sgd"),
        ({"momentum": "mirror"}, "unknown momentum policy 'mirror'"),
        ({"momentum": "cycled(low=0.8)"}, "unknown option of cycled 'low'"),
        ({"momentum": "cycled(base_momentum=0.96)"}, "must ascend between 0 and 1"),
        (
            {"momentum": "cycled", "lr": 0.1},
            r"cycled against `lr` \(=0.1\), which must be one of",
        ),
        ({"momentum": "cycled", "optimizer": "adagrad"}, "adagrad has neither"),
        ({"momentum": "cycled", "optimizer": "torch.optim/Adagrad"}, "Adagrad has neither"),
    ],
)
def test_a_momentum_that_cannot_be_cycled_is_refused(
    fields: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        list(train(run(**{"lr": "one_cycle(0.01)", **fields})))
