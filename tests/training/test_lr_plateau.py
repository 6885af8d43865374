"""A factor on the learning rate of a run: against torch's scheduler, and resumed after a kill to the bit."""

import signal
from pathlib import Path

import pytest
import torch
from fault_tools import in_child, left_behind, train_in
from torch.optim.lr_scheduler import ReduceLROnPlateau

from losslab.errors import InvalidInput
from losslab.records import Evaluation, Record, Steps, deterministic
from losslab.spec import Run, make_run
from losslab.training.loop import train
from losslab.training.timeline import Timeline


def run(**fields: object) -> Run:
    base = {
        "data": "samples:table",
        "model": "mlp(hidden=[16])",
        "loss": "mse",
        "optimizer": "adam",
        "lr": "cosine(0.1)",
        "plateau": "reduce(factor=0.5, patience=0, threshold=0.1)",
    }
    return make_run({**base, "batch": 64, "epochs": 8, **fields})


def rates(records: list[Record]) -> list[float]:
    return [lr for record in records if isinstance(record, Steps) for lr in record.lr]


@pytest.mark.parametrize("held_out", [0.1, 0.0], ids=["validation loss", "training loss"])
def test_recorded_rates_are_the_schedules_times_torchs_factor(held_out: float) -> None:
    spec = run(data={"name": "samples:table", "validation_fraction": held_out})
    records = list(train(spec))
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.1, eps=0.0)
    schedule = [step.lr for step in Timeline(spec, 270 if held_out else 300).steps()]
    expected: list[float] = []
    for record in records:
        if isinstance(record, Steps):
            factor = optimizer.param_groups[0]["lr"]
            count = len(expected)
            expected += [lr * factor for lr in schedule[count : count + len(record.lr)]]
        elif isinstance(record, Evaluation):
            scheduler.step(record.validation_loss if held_out else record.train_loss)
    assert rates(records) == pytest.approx(expected, rel=1e-12)
    assert 0 < optimizer.param_groups[0]["lr"] < 0.5


def test_the_weights_are_trained_at_the_recorded_rates() -> None:
    falling = list(train(run()))
    values = rates(falling)
    steps = len(values)
    fractions = [index / steps for index in range(1, steps)]
    written = {"name": "piecewise", "values": values, "fractions": fractions}
    same = list(train(run(plateau=None, lr=written)))
    assert list(map(deterministic, same)) == list(map(deterministic, falling))


@pytest.mark.parametrize(("step", "after"), [(14, True), (15, False), (27, False)])
def test_a_killed_run_goes_on_to_the_bit(tmp_path: Path, step: int, after: bool) -> None:
    spec = run(lr=0.1)
    assert in_child(train_in, spec, tmp_path / "whole") == 0
    assert in_child(train_in, spec, tmp_path / "killed", step, after) == -signal.SIGKILL
    assert in_child(train_in, spec, tmp_path / "killed") == 0
    assert left_behind(tmp_path / "killed") == left_behind(tmp_path / "whole")


def test_a_run_without_it_has_the_identity_of_before() -> None:
    plain = run(plateau=None)
    assert plain.id == make_run(plain.model_dump(mode="json", exclude={"plateau"})).id
    assert run(plateau="reduce").id == run(plateau="reduce(factor=0.1, patience=10)").id
    assert run(plateau="reduce").id != plain.id


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"plateau": "grow"}, "unknown plateau 'grow'"),
        ({"plateau": "reduce(wait=3)"}, "unknown option of plateau reduce 'wait'"),
        ({"plateau": "reduce(factor=2.0)"}, "must be below 1"),
        ({"plateau": "reduce(min_fraction=1.5)"}, "from 0 to below 1"),
        ({"plateau": "reduce(patience=0.5)"}, "must be a whole number"),
        ({"plateau": "reduce(threshold_mode='far')"}, "must be one of rel, abs"),
        ({"evaluate": "end"}, "set `evaluate` to 'epoch'"),
    ],
)
def test_a_wrong_plateau_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        run(**fields)
