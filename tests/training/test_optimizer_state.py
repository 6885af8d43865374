"""Any optimizer goes on from disk to the bit, or says in one line why it could not."""

import itertools
from pathlib import Path

import pytest
import torch
from samples import tiny_data

from losslab.errors import InvalidInput
from losslab.records import deterministic
from losslab.spec import Run, make_run
from losslab.study.store import RunFolder
from losslab.study.worker import run_in_folder
from losslab.training.checkpoint import load_newest, save_checkpoint
from losslab.training.loop import train
from losslab.training.state import TrainState, new_state

DATA = tiny_data()
FOREIGN = [
    "torch.optim/RAdam(betas=[0.9, 0.99])",
    "torch.optim/ASGD",
    "torch.optim/Adamax",
    "torch.optim/Adafactor",
    "optimizer_samples:Lion",
    "optimizer_samples:ScheduleFree",
    "optimizer_samples:Exact",
    "rmsprop(momentum=0.9, centered=True)",
    "adam(amsgrad=True)",
    "adamw(amsgrad=True)",
]


def run(optimizer: str, **changes: object) -> Run:
    fields = {
        "data": "fashion-mnist-sample",
        "model": "samples:conv_net",
        "optimizer": optimizer,
        "lr": 0.01,
    }
    return make_run({**fields, "batch": 32, "epochs": 2, **changes})


def trained(spec: Run, records: int) -> TrainState:
    state = new_state(spec, DATA)
    for _ in itertools.islice(train(spec, dataset=DATA, state=state, flush_steps=3), records):
        pass
    return state


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize("optimizer", FOREIGN)
def test_a_run_goes_on_from_disk_to_the_bit(
    tmp_path: Path, optimizer: str, layout: str
) -> None:
    spec = run(optimizer, parameter_groups="optimizer_samples:layerwise")
    whole = [
        deterministic(record)
        for record in train(spec, dataset=DATA, layout=layout, flush_steps=3)
    ]
    begun = new_state(spec, DATA, layout=layout)
    for _ in itertools.islice(train(spec, dataset=DATA, state=begun, flush_steps=3), 3):
        pass
    save_checkpoint(tmp_path, begun, rows=3)
    state = new_state(spec, DATA, layout=layout)
    assert load_newest(tmp_path, state) == (3, [])
    rest = [
        deterministic(record)
        for record in train(spec, dataset=DATA, state=state, flush_steps=3)
    ]
    assert rest == whole[3:]


def test_state_keeps_its_types(tmp_path: Path) -> None:
    first = trained(run("optimizer_samples:Exact"), 3)
    save_checkpoint(tmp_path, first, rows=3)
    second = new_state(run("optimizer_samples:Exact"), DATA)
    load_newest(tmp_path, second)
    for p, q in zip(first.model.parameters(), second.model.parameters(), strict=True):
        a, b = first.optimizer.state[p], second.optimizer.state[q]
        assert a.keys() == b.keys()
        for key, value in a.items():
            if torch.is_tensor(value):
                assert (value.dtype, value.stride()) == (b[key].dtype, b[key].stride())
                assert torch.equal(value, b[key])
            else:
                assert (type(value), value) == (type(b[key]), b[key])
    assert first.optimizer.param_groups[0]["total"] == second.optimizer.param_groups[0]["total"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nested", "optimizer Nested keeps `history`, a list, in its state"),
        ("TensorInGroup", "optimizer TensorInGroup keeps `count`, a Tensor, in a group"),
    ],
)
def test_state_that_a_checkpoint_would_lose_ends_a_run_after_its_first_steps(
    tmp_path: Path, name: str, message: str
) -> None:
    folder = RunFolder(tmp_path / "run")
    spec = run(f"optimizer_samples:{name}", model="lenet5", epochs=None, steps=20)
    with pytest.raises(InvalidInput, match=message):
        list(run_in_folder(spec, folder))
    assert folder.status["status"] == "failed"
    assert "could not be resumed" in folder.status["message"]
