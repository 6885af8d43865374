"""A Hugging Face dataset on disk is the data of a run, by a factory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from example_files import EXAMPLES

from losslab.records import deterministic
from losslab.spec import make_run
from losslab.tasks.samples import Selection, count_samples, samples_of
from losslab.training.loop import train

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("default"),
]
datasets = pytest.importorskip("datasets")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """200 images of two classes, the brighter of which is class 1."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200)
    images = random.integers(0, 100, (200, 1, 6, 6)) + 120 * labels[:, None, None, None]
    features = datasets.Features(
        image=datasets.Array3D((1, 6, 6), "uint8"),
        label=datasets.ClassLabel(names=["dark", "bright"]),
    )
    rows = {"image": images.astype("uint8"), "label": labels}
    datasets.Dataset.from_dict(rows, features).save_to_disk(tmp_path / "rows")
    monkeypatch.setenv("HF_DATASET", str(tmp_path / "rows"))
    monkeypatch.syspath_prepend(EXAMPLES)
    return tmp_path / "rows"


def records(name: str, **options: object) -> list[dict[str, object]]:
    fields = {
        "data": name,
        "model": "mlp(hidden=[8])",
        "loss": "cross_entropy",
        "optimizer": "adam",
        "lr": 0.03,
        "batch": 16,
        "epochs": 4,
    }
    return [deterministic(record) for record in train(make_run(fields), **options)]


def test_a_run_learns_from_rows_on_disk(folder: Path) -> None:
    *_, evaluation, _final = records("hf_dataset:rows")
    assert evaluation["fit_accuracy"] > 0.9
    assert evaluation["samples"] == 4 * 180


def test_workers_that_read_it_change_no_record(folder: Path) -> None:
    assert records("hf_dataset:rows", data_workers=2) == records("hf_dataset:rows")


def test_the_bare_dataset_of_rows_counts_as_samples(folder: Path) -> None:
    rows = datasets.load_from_disk(folder).with_format("torch")
    assert count_samples(rows, "train") == 200
    part = samples_of(rows, "train", None, seed=0, device=torch.device("cpu"), workers=0)
    (batch,) = part.batches([Selection(0, torch.tensor([3, 1]))])
    assert torch.equal(batch["label"], rows[[3, 1]]["label"])
    assert torch.equal(batch["image"], rows[[3, 1]]["image"])
