"""A folder belongs to one run: another is refused, and nothing that is there is lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from losslab.errors import InvalidInput, OutOfMemory
from losslab.records import Evaluation, Final, Start
from losslab.spec import Run, make_run
from losslab.study import sizes, worker
from losslab.study.store import RunFolder
from losslab.study.worker import run_in_folder


def run(**changes: Any) -> Run:
    fields: dict[str, Any] = {
        "data": "samples:tiny_data",
        "model": "mlp(hidden=[8])",
        "optimizer": "adam",
        "lr": 0.01,
        "batch": 32,
        "epochs": 1,
        **changes,
    }
    return make_run(fields)


def finished(folder: Path) -> None:
    list(run_in_folder(run(), RunFolder(folder)))


def begun(folder: Path) -> None:
    records = run_in_folder(run(), RunFolder(folder))
    next(records)
    next(records)
    records.close()  # type: ignore[attr-defined]


def study(folder: Path) -> None:
    (folder / "study.json").write_text("{}")


def foreign_records(folder: Path) -> None:
    (folder / "records.jsonl").write_text('{"of": "another tool"}\n')


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (finished, "holds another run, with another `lr`, `seed`; choose another folder"),
        (begun, "holds another run, with another `lr`, `seed`; choose another folder"),
        (study, "holds a study; choose another folder"),
        (foreign_records, "holds records without their run.json; choose another folder"),
    ],
    ids=["a finished run", "a run under way", "a study", "records of another tool"],
)
def test_a_folder_that_is_not_the_runs_is_refused_and_stays_as_it_is(
    held: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    held(tmp_path)
    before = content(tmp_path)
    with pytest.raises(InvalidInput) as refusal:
        next(run_in_folder(run(lr=0.1, seed=1), RunFolder(tmp_path)))
    assert str(refusal.value).startswith(f"{tmp_path}: {message}")
    assert content(tmp_path) == before


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("mine")
    with pytest.raises(InvalidInput, match="is a file; give a folder"):
        next(run_in_folder(run(), RunFolder(path)))
    assert path.read_text() == "mine"


def test_the_same_run_goes_on(tmp_path: Path) -> None:
    begun(tmp_path)
    records = list(run_in_folder(run(), RunFolder(tmp_path)))
    assert isinstance(records[0], Start)
    assert isinstance(records[-1], Final)


IMAGES = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
LABELS = np.arange(60) % 2
ROWS = np.random.default_rng(0).random((60, 8), dtype=np.float32)


@pytest.mark.parametrize(
    ("parts", "changed"),
    [
        (
            {"train_images": IMAGES, "test_images": IMAGES[:10], "test_labels": LABELS[:10]},
            "train_labels",
        ),
        ({"train_inputs": ROWS}, "train_targets"),
    ],
    ids=["images", "samples"],
)
def test_a_run_does_not_go_on_with_other_data(
    parts: dict[str, Any], changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CHECKPOINT_SECONDS", -1.0)

    def save(labels: NDArray[np.int64]) -> None:
        np.savez(tmp_path / "own.npz", **parts, **{changed: labels})
        sizes.load.cache_clear()

    save(LABELS)
    spec = {"data": str(tmp_path / "own.npz"), "model": "mlp(hidden=[4])", "optimizer": "adam"}
    run = make_run({**spec, "lr": 1e-3, "batch": 8, "epochs": 3, "evaluate": "epoch"})
    folder = RunFolder(tmp_path / "run")
    stop_after_an_epoch(run, folder)
    save(1 - LABELS)
    with pytest.raises(InvalidInput, match=r"own\.npz has changed since"):
        list(run_in_folder(run, folder))
    save(LABELS)
    assert isinstance(list(run_in_folder(run, folder))[-1], Final)


def test_a_run_that_goes_on_elsewhere_keeps_what_it_was_begun_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CHECKPOINT_SECONDS", -1.0)
    folder, longer = RunFolder(tmp_path), run(epochs=3, evaluate="epoch")
    here = worker.environment()
    for name in ("first", "second", "second"):
        monkeypatch.setattr(worker, "environment", lambda name=name: here | {"processor": name})
        if name == "first":
            stop_after_an_epoch(longer, folder)
        else:
            stop_after_an_epoch(longer, folder, epochs=2)
    assert folder.environment["processor"] == "second"
    assert folder.environment["earlier"] == [{"processor": "first"}]


def test_a_run_that_has_trained_is_tried_again_where_memory_was_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CHECKPOINT_SECONDS", -1.0)
    folder, longer = RunFolder(tmp_path), run(epochs=3, evaluate="epoch")
    stop_after_an_epoch(longer, folder)
    before = (tmp_path / "run.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(worker, "new_state", short_of_memory)
        with pytest.raises(OutOfMemory):
            list(run_in_folder(longer, folder))
    assert folder.status["status"] == "failed"
    assert (tmp_path / "run.json").read_bytes() == before
    assert isinstance(list(run_in_folder(longer, folder))[-1], Final)


def short_of_memory(*_: object) -> None:
    raise OutOfMemory(0)


def stop_after_an_epoch(run: Run, folder: RunFolder, epochs: int = 1) -> None:
    records = run_in_folder(run, folder)
    for record in records:
        if isinstance(record, Evaluation) and record.epoch >= epochs:
            break
    records.close()  # type: ignore[attr-defined]
