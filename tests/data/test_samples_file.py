"""Samples in an .npz file: what its arrays are called and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from losslab import data
from losslab.data import TaskData
from losslab.errors import InvalidInput
from losslab.records import Final
from losslab.spec import make_run
from losslab.training.loop import train

ROWS, TRUTH = np.ones((6, 3), "float32"), np.zeros(6, "float32")


def saved(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path / "rows.npz", **arrays)
    return str(path / "rows.npz")


def test_inputs_and_targets_are_a_pair(tmp_path: Path) -> None:
    name = saved(
        tmp_path,
        train_inputs=ROWS,
        train_targets=TRUTH,
        test_inputs=ROWS[:2],
        test_targets=TRUTH[:2],
    )
    found = data.load(name)
    assert isinstance(found, TaskData)
    assert [array.shape for array in found.train] == [(6, 3), (6,)]
    assert [array.shape for array in found.test] == [(2, 3), (2,)]
    assert (found.validation, found.title) == (None, "rows.npz")


def test_several_inputs_are_keywords(tmp_path: Path) -> None:
    found = data.load(
        saved(tmp_path, train_inputs_left=ROWS, train_inputs_right=ROWS, train_targets=TRUTH)
    )
    inputs, targets = found.train
    assert (list(inputs), targets.shape) == (["left", "right"], (6,))


def test_inputs_alone_are_what_a_language_model_reads(tmp_path: Path) -> None:
    assert data.load(saved(tmp_path, train_inputs=np.zeros((4, 5), "int64"))).train.shape == (
        4,
        5,
    )


def test_a_run_trains_on_a_file(tmp_path: Path) -> None:
    name = saved(tmp_path, train_inputs=np.tile(ROWS, (5, 1)), train_targets=np.tile(TRUTH, 5))
    fields = {
        "data": name,
        "model": "mlp(hidden=[4])",
        "loss": "mse",
        "optimizer": "adam",
        "lr": 0.01,
    }
    *_, final = train(make_run({**fields, "batch": 8, "steps": 2}))
    assert isinstance(final, Final)
    assert final.test_loss is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"train_inputs": ROWS, "train_target": TRUTH},
            "it holds train_target; name arrays train_inputs",
        ),
        (
            {"train_inputs": ROWS, "train_targets": TRUTH[:4]},
            r"one entry for each sample; they have \[4, 6\]",
        ),
        ({"train_inputs": ROWS, "test_targets": TRUTH}, "test_targets without test_inputs"),
        (
            {"train_inputs": ROWS, "train_inputs_mask": ROWS},
            "it holds train_inputs and train_inputs_mask; name one input, or every one",
        ),
    ],
)
def test_what_has_no_place_is_one_line(tmp_path: Path, arrays: dict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        data.load(saved(tmp_path, **arrays))


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = Path(saved(tmp_path, train_inputs=np.zeros((40, 50)), train_targets=np.zeros(40)))
    content = bytearray(path.read_bytes())
    content[300] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"it cannot be read as \.npz"):
        data.load(str(path))
