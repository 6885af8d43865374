"""Exports, read back by the trackers' own readers."""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_study import part_one, write_run

from losslab.cli import run_command
from losslab.integrations.mlflow import export
from losslab.records import Evaluation, Final, Record, Start, Steps
from losslab.spec import make_run
from losslab.study.results import read_results, read_run
from losslab.study.store import RunFolder

STEPS = [
    Steps(0, [0.1, 0.2], [4, 2], [2.0, 1.5], [1.0, 2.0], 0.5, gradient_norm=2.5),
    Steps(2, [0.3], [4], [float("nan")], [3.0], 0.75),
]
RECORDS: list[Record] = [
    Start(10, "ab", 4, 2, 2, 3),
    *STEPS,
    Evaluation(3, 1.0, 10, 1.375, 0.75, 0.0, 1.1, 0.8, None, None, 0.75, 0.1),
    Final(3, "cd", 1.0, 0.5, 0.75, 0.2),
]
EXPECTED = {
    "step/lr": [(0, 0.5, 0.1), (1, 0.5, 0.2), (2, 0.75, 0.3)],
    "step/batch_size": [(0, 0.5, 4), (1, 0.5, 2), (2, 0.75, 4)],
    "step/loss": [(0, 0.5, 2.0), (1, 0.5, 1.5), (2, 0.75, float("nan"))],
    "step/accuracy": [(0, 0.5, 0.25), (1, 0.5, 1.0), (2, 0.75, 0.75)],
    "step/gradient_norm": [(1, 0.5, 2.5)],
    **{
        f"evaluation/{name}": [(3, 0.75, value)]
        for name, value in [
            ("epoch", 1.0), ("samples", 10), ("train_loss", 1.375), ("train_accuracy", 0.75), ("penalty", 0.0),
            ("fit_loss", 1.1), ("fit_accuracy", 0.8),
        ]
    },
    "final/test_loss": [(3, 0.75, 1.0)],
    "final/test_accuracy": [(3, 0.75, 0.5)],
}  # fmt: skip
Curves = dict[str, list[tuple[int, float, float]]]


def a_run(folder: Path) -> RunFolder:
    fields = {
        "data": "fashion-mnist-sample",
        "model": "lenet5",
        "optimizer": "adam",
        "lr": 0.1,
        "batch": 4,
        "steps": 3,
    }
    run_folder = RunFolder(folder)
    run_folder.create(make_run(fields), {})
    with run_folder.appending() as writer:
        for record in RECORDS:
            writer.append(record)
    run_folder.set_status("done")
    return run_folder


def from_tensorboard(folder: Path) -> Curves:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    reader = accumulators.EventAccumulator(str(folder), {"scalars": 0})
    reader.Reload()
    return {
        name: [(event.step, event.wall_time, event.value) for event in reader.Scalars(name)]
        for name in reader.Tags()["scalars"]
    }


def test_tensorboard_reads_what_was_recorded(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    a_run(tmp_path / "mine")
    assert run_command(["export", str(tmp_path / "mine"), "--to", "tensorboard"]) == 0
    found = from_tensorboard(tmp_path / "mine" / "tensorboard" / "mine" / "run")
    assert found.keys() == EXPECTED.keys()
    for name, points in EXPECTED.items():
        assert found[name] == [pytest.approx(point, rel=1e-6, nan_ok=True) for point in points]


def test_mlflow_reads_what_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv(
        "MLFLOW_ALLOW_FILE_STORE", "true"
    )  # what the export sets goes with the test
    run_folder = a_run(tmp_path / "mine")
    assert (
        run_command(
            ["export", str(tmp_path / "mine"), "--to", "mlflow", "--out", str(tmp_path / "out")]
        )
        == 0
    )
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "out").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["losslab.id"] == run_folder.run.id
    assert (run.data.params["optimizer.name"], run.data.params["lr"]) == ("adam", "0.1")
    assert run.data.metrics.keys() == EXPECTED.keys()
    for name, points in EXPECTED.items():
        found = [
            (m.step, m.timestamp / 1000, m.value)
            for m in client.get_metric_history(run.info.run_id, name)
        ]
        assert found == [pytest.approx(point, nan_ok=True) for point in points]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("new", "SCHEDULED"),
        ("running", "RUNNING"),
        ("done", "FINISHED"),
        ("interrupted", "KILLED"),
        ("diverged", "FAILED"),
    ],
)
def test_mlflow_says_how_a_run_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Any, expected: str
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    a_run(tmp_path / "mine").set_status(status)
    out = tmp_path / "out"
    export("mine", {"run": read_run(RunFolder(tmp_path / "mine"))}, out)
    client = mlflow.MlflowClient(tracking_uri=out.as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert run.info.status == expected


def test_every_run_of_a_study_is_exported_under_a_name_of_its_own(tmp_path: Path) -> None:
    folder = part_one(tmp_path / "study", epochs=2)
    results = [result for stage in read_results(folder).stages.values() for result in stage]
    write_run(folder, results[0].run, list(results[0].records), "failed", "as intended")
    pytest.importorskip("tensorboard")
    assert run_command(["export", str(folder.path), "--to", "tensorboard"]) == 0
    exported = list((folder.path / "tensorboard" / "adaptive-optimizers").iterdir())
    assert {path.name.split()[-1] for path in exported} == {result.run.id for result in results}
    assert len(exported) == len(results)
    last = next(path for path in exported if path.name.endswith(results[-1].run.id))
    assert [
        value for *_, value in from_tensorboard(last)["evaluation/train_loss"]
    ] == pytest.approx([each.train_loss for each in results[-1].evaluations], rel=1e-6)


def test_an_export_that_exists_is_not_added_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_run(tmp_path)
    (tmp_path / "mlflow").mkdir()
    assert run_command(["export", str(tmp_path), "--to", "mlflow"]) == 2
    assert "exists already; delete it or choose another" in capsys.readouterr().err


def from_wandb(path: Path) -> Iterator[Any]:
    """The records of a file of Weights & Biases: protocol buffers in LevelDB's log format, after a head of its own."""
    pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    data = path.read_bytes()
    at, parts = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # no head begins in the last six bytes of a block
            at += 32768 - at % 32768
            continue
        _checksum, size, kind = struct.unpack("<IHB", data[at : at + 7])
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last of several parts
            yield pb.Record.FromString(parts)
            parts = b""


@pytest.mark.frameworks
def test_wandb_has_what_was_recorded_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # where nobody answers
    folder = tmp_path / "mine #2: lr=1%?"
    run_folder = a_run(folder)
    assert run_command(["export", str(folder), "--to", "wandb"]) == 0
    (path,) = (folder / "wandb" / "wandb").glob("offline-run-*/run-*.wandb")
    records = list(from_wandb(path))
    (head,) = [r.run for r in records if r.WhichOneof("record_type") == "run"]
    config = {item.key: json.loads(item.value_json) for item in head.config.update}
    assert (head.project, head.display_name) == ("mine -2- lr=1--", "run")
    assert (config["losslab.id"], config["losslab.status"]) == (run_folder.run.id, "done")
    assert (config["optimizer.name"], config["lr"]) == ("adam", 0.1)
    found: Curves = {}
    for record in records:
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            row = {i.key or i.nested_key[0]: json.loads(i.value_json) for i in items}
            for name in row.keys() & EXPECTED.keys():
                point = (row["_step"], row["train_seconds"], float(row[name]))
                found.setdefault(name, []).append(point)
    assert found.keys() == EXPECTED.keys()
    for name, points in EXPECTED.items():
        assert found[name] == [pytest.approx(point, nan_ok=True) for point in points]


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tracker: str,
) -> None:
    a_run(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == tracker]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Without(tracker), *sys.meta_path])
    assert run_command(["export", str(tmp_path), "--to", tracker]) == 2
    assert (
        f"{tracker} is not installed; in the clone of losslab: pip install '.[{tracker}]'"
        in capsys.readouterr().err
    )


class _Without:
    """Finds no module of a package, as where it is not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, *_: object) -> None:
        if name.split(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
