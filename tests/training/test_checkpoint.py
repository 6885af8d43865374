"""Checkpoints: a run goes on from one to the bit, and one that is damaged or not whole is never used."""

import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from samples import tiny_data

from losslab.choice import Choice
from losslab.errors import CheckpointCorrupt, InvalidInput
from losslab.records import deterministic
from losslab.spec import Run, make_run
from losslab.training import checkpoint
from losslab.training.checkpoint import check, checkpoints, load_newest, save_checkpoint
from losslab.training.evaluation import weights_sha256
from losslab.training.loop import train
from losslab.training.state import TrainState, new_state

DATA = tiny_data()
OPTIMIZERS = [
    "adagrad",
    "rmsprop",
    "rmsprop-nesterov",
    "adadelta",
    "adam",
    "sgd(momentum=0.9)",
    "adamw",
    "nadam",
]


def run(optimizer: str = "adam") -> Run:
    fields = {
        "data": "fashion-mnist-sample",
        "model": "samples:conv_net",
        "optimizer": optimizer,
        "lr": 0.01,
    }
    return make_run({**fields, "batch": 32, "epochs": 2, "weight_decay": 0.01})


def trained(spec: Run, records: int) -> TrainState:
    state = new_state(spec, DATA)
    for _ in itertools.islice(train(spec, dataset=DATA, state=state, flush_steps=3), records):
        pass
    return state


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_goes_on_from_disk_to_the_bit(tmp_path: Path, optimizer: str) -> None:
    spec = run(optimizer)
    whole = [deterministic(record) for record in train(spec, dataset=DATA, flush_steps=3)]
    save_checkpoint(tmp_path, trained(spec, 3), rows=3)
    state = new_state(spec, DATA)
    rows, rejected = load_newest(tmp_path, state)
    assert (rows, rejected) == (3, [])
    rest = [
        deterministic(record)
        for record in train(spec, dataset=DATA, state=state, flush_steps=3)
    ]
    assert rest == whole[3:]


def test_processor_time_goes_on_from_disk(tmp_path: Path) -> None:
    first = trained(run(), 3)
    save_checkpoint(tmp_path, first, rows=3)
    state = new_state(run(), DATA)
    load_newest(tmp_path, state)
    assert state.train_processor_seconds == first.train_processor_seconds > 0
    *_, last = train(run(), dataset=DATA, state=state)
    assert last.train_processor_seconds > first.train_processor_seconds


def test_processor_time_is_none_where_the_processor_does_not_do_the_arithmetic() -> None:
    assert new_state(run(), DATA, "meta").train_processor_seconds is None


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    for records in (2, 3, 5):
        save_checkpoint(tmp_path, trained(run(), records), rows=records)
    assert [path.name for path in checkpoints(tmp_path)] == [
        "step-000000007-row-000000005",
        "step-000000006-row-000000003",
    ]


def test_without_a_checkpoint_the_state_stays_as_it_is(tmp_path: Path) -> None:
    state = new_state(run(), DATA)
    before = weights_sha256(state.model)
    assert load_newest(tmp_path / "none", state) == (0, [])
    assert weights_sha256(state.model) == before


def damaged(tmp_path: Path) -> tuple[Path, bytes]:
    save_checkpoint(tmp_path, trained(run(), 2), rows=2)
    newest = save_checkpoint(tmp_path, trained(run(), 3), rows=3) / "state.safetensors"
    return newest, newest.read_bytes()


def loads(tmp_path: Path) -> tuple[int, list[str]]:
    return load_newest(tmp_path, new_state(run(), DATA))


@pytest.mark.row(5)
def test_a_checkpoint_cut_at_any_of_64_places_is_detected(
    tmp_path: Path, measured: Callable[[str], None]
) -> None:
    path, content = damaged(tmp_path)
    for place in range(64):
        path.write_bytes(content[: len(content) * place // 64])
        rows, rejected = loads(tmp_path)
        assert rows == 2
        assert re.search(rf"{path}: [\d,]+ bytes in place of {len(content):,}", rejected[0])
    measured("64 cuts detected and named")


@pytest.mark.row(6)
def test_any_of_200_flipped_bytes_is_detected(
    tmp_path: Path, measured: Callable[[str], None]
) -> None:
    path, content = damaged(tmp_path)
    random = Random(0)
    for _ in range(200):
        flipped = bytearray(content)
        flipped[random.randrange(len(content))] ^= random.randrange(1, 256)
        path.write_bytes(flipped)
        assert loads(tmp_path)[0] == 2
    measured("200 flipped bytes detected")


@pytest.mark.row(5)
@pytest.mark.parametrize("manifest", ["", "{}", "[]", "null", '{"bytes": 3}'])
def test_a_damaged_manifest_is_detected(tmp_path: Path, manifest: str) -> None:
    path, _ = damaged(tmp_path)
    (path.parent / "manifest.json").write_text(manifest)
    assert loads(tmp_path)[0] == 2


def test_a_failed_save_leaves_the_earlier_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, trained(run(), 2), rows=2)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("losslab.training.checkpoint.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, trained(run(), 3), rows=3)
    monkeypatch.undo()
    assert loads(tmp_path) == (2, [])


def test_what_was_not_written_as_meant_is_an_error_and_costs_no_older_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in (2, 3):
        save_checkpoint(tmp_path, trained(run(), rows), rows=rows)
    before, whole = checkpoints(tmp_path), os.fsync

    def bad_sector(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        whole(descriptor)
        if "state.safetensors" in path.name:
            path.write_bytes(path.read_bytes()[:-1] + b"\xff")

    monkeypatch.setattr(os, "fsync", bad_sector)
    with pytest.raises(CheckpointCorrupt, match="its sha256 is not the manifest's"):
        save_checkpoint(tmp_path, trained(run(), 5), rows=5)
    assert set(before) <= set(checkpoints(tmp_path))
    assert loads(tmp_path)[0] == 3


@pytest.mark.row(2)
def test_a_save_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are on disk before the rename that shows them, the rename before anything older goes."""
    for rows in (2, 3):
        save_checkpoint(tmp_path / "checkpoints", trained(run(), rows), rows=rows)
    calls = system_calls(monkeypatch)
    place = save_checkpoint(tmp_path / "checkpoints", trained(run(), 5), rows=5)
    monkeypatch.undo()
    (shown,) = [
        at for at, call in enumerate(calls) if call[0] == "rename" and call[2] == str(place)
    ]
    temporary = calls[shown][1]
    written = [call[1] for call in calls[:shown] if call[0] == "fsync"]
    weights = (
        f"{temporary}/.state.safetensors.{os.getpid()}"  # the name under which they are written
    )
    assert weights in written
    assert any(name.startswith(f"{temporary}/.manifest.json") for name in written)
    assert temporary in written[written.index(weights) + 1 :]
    kept = calls.index(("fsync", str(tmp_path / "checkpoints")), shown)
    assert min(at for at, call in enumerate(calls) if call[0] == "remove") > kept
    assert (
        "fsync",
        str(tmp_path),
    ) in calls  # the folder of checkpoints itself, and the records'


def system_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The calls that bring something to disk, that show it and that remove it, in order, as they will come."""
    calls: list[tuple[str, ...]] = []
    fsync, rename, replace, unlink = os.fsync, os.rename, os.replace, os.unlink

    def spy_fsync(descriptor: int) -> None:
        calls.append(("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        fsync(descriptor)

    def spy_move(move: Callable[..., None]) -> Callable[..., None]:
        def spy(source: Path, target: Path) -> None:
            calls.append(("rename", str(source), str(target)))
            move(source, target)

        return spy

    def spy_unlink(path: Any, **options: Any) -> None:
        calls.append(("remove", str(path)))
        unlink(path, **options)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "rename", spy_move(rename))
    monkeypatch.setattr(os, "replace", spy_move(replace))
    monkeypatch.setattr(os, "unlink", spy_unlink)
    return calls


def test_optimizer_state_keeps_the_layout_of_its_weights(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, trained(run(), 3), rows=3)
    state = new_state(run(), DATA)
    load_newest(tmp_path, state)
    for weights, slots in state.optimizer.state.items():
        assert slots["exp_avg"].stride() == weights.stride()
    assert any(
        p.is_contiguous(memory_format=torch.channels_last)
        for p in state.model.parameters()
        if p.ndim == 4
    )


def test_the_newest_stays_where_the_run_went_on_from_before_others(tmp_path: Path) -> None:
    for records in (3, 5):
        path = save_checkpoint(tmp_path, trained(run(), records), rows=records)
        (path / "state.safetensors").write_bytes(b"damaged")
    saved = save_checkpoint(tmp_path, trained(run(), 2), rows=2)
    assert checkpoints(tmp_path) == [saved]
    assert load_newest(tmp_path, new_state(run(), DATA)) == (2, [])


class WithExtraState(torch.nn.Linear):
    """A layer with a value beside its tensors."""

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": 1}

    def set_extra_state(self, _state: dict[str, int]) -> None:
        pass


def test_a_model_with_values_that_are_no_tensors_is_refused_before_they_are_lost(
    tmp_path: Path,
) -> None:
    state = trained(run(), 2)
    state.model.extra = WithExtraState(1, 1)
    with pytest.raises(InvalidInput, match=r"`extra._extra_state` is a dict"):
        check(state)
    with pytest.raises(InvalidInput, match="register it as a buffer"):
        save_checkpoint(tmp_path, state, rows=2)
    assert not list(tmp_path.iterdir())


def test_a_device_without_processor_time_has_none_after_resuming(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, trained(run(), 3), rows=3)
    state = new_state(run(), DATA)
    state.train_processor_seconds = None
    load_newest(tmp_path, state)
    assert state.train_processor_seconds is None


def test_buffers_outside_of_the_state_go_on_from_disk_to_the_bit(tmp_path: Path) -> None:
    spec = run().model_copy(update={"model": Choice(name="samples:Remembering")})
    whole = [deterministic(record) for record in train(spec, dataset=DATA, flush_steps=3)]
    save_checkpoint(tmp_path, trained(spec, 3), rows=3)
    state = new_state(spec, DATA)
    assert load_newest(tmp_path, state) == (3, [])
    rest = train(spec, dataset=DATA, state=state, flush_steps=3)
    assert [deterministic(record) for record in rest] == whole[3:]


def test_a_checkpoint_of_before_without_such_buffers_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = run().model_copy(update={"model": Choice(name="samples:Remembering")})
    monkeypatch.setattr(checkpoint, "_unlisted_buffers", lambda model: {})
    save_checkpoint(tmp_path, trained(spec, 3), rows=3)
    state = new_state(spec, DATA)
    assert load_newest(tmp_path, state) == (3, [])
    assert float(state.model.scale) == 1.0
