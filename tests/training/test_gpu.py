"""Training on a GPU: near the CPU's numbers, resumed, out of memory as a result, never waiting within a step."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fault_tasks import DATA, spec

from losslab import data
from losslab.errors import OutOfMemory
from losslab.records import Record, Steps, deterministic
from losslab.spec import Run, make_run
from losslab.study.store import RunFolder
from losslab.study.worker import run_in_folder
from losslab.training.checkpoint import load_newest, save_checkpoint
from losslab.training.evaluation import sums_of
from losslab.training.feed import feed
from losslab.training.loop import train
from losslab.training.parts import prepare
from losslab.training.state import make_task, new_state
from losslab.training.step import Stepper
from losslab.training.timeline import Timeline

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here"),
]
TOLERANCE = 2e-3
"""Relative, of the losses of the first ten steps in fp32: a GPU adds in another order, and steps multiply that."""
ALLOWED_BYTES = 256 * 2**20
DEVICE = torch.device("cuda")


@pytest.fixture(autouse=True)
def plain_fp32() -> Iterator[None]:
    """No TF32, whose products have ten bits."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def losses(records: list[Record]) -> list[float]:
    steps = [record for record in records if isinstance(record, Steps)]
    return [loss for record in steps for loss in record.loss]


def without_dropout() -> Run:
    fields = {"data": "samples:tiny_data", "model": "mlp(hidden=[20])", "optimizer": "adam"}
    return make_run({**fields, "lr": 1e-3, "batch": 16, "steps": 10, "augment": ["flip"]})


def test_fp32_has_the_losses_of_the_cpu_within_the_tolerance() -> None:
    run = without_dropout()
    on_cpu = losses(list(train(run, dataset=DATA)))
    on_gpu = losses(list(train(run, dataset=DATA, device=DEVICE)))
    assert on_gpu == pytest.approx(on_cpu, rel=TOLERANCE)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_run_goes_on_from_its_checkpoint(tmp_path: Path, precision: str) -> None:
    run = spec().model_copy(update={"precision": precision})
    whole = list(train(run, dataset=DATA, device=DEVICE, flush_steps=4))
    state = new_state(run, DATA, DEVICE)
    records = train(run, dataset=DATA, state=state, device=DEVICE, flush_steps=4)
    first = [next(records) for _ in range(4)]
    save_checkpoint(tmp_path, state, rows=len(first))
    fresh = new_state(run, DATA, DEVICE)
    assert load_newest(tmp_path, fresh)[0] == len(first)
    rest = list(train(run, dataset=DATA, state=fresh, device=DEVICE, flush_steps=4))
    assert losses([*first, *rest]) == pytest.approx(losses(whole), rel=TOLERANCE, abs=1e-2)
    assert len(first) + len(rest) == len(whole)


def test_dropout_draws_the_same_in_every_session() -> None:
    records = [list(train(spec(), dataset=DATA, device=DEVICE)) for _ in range(2)]
    first, again = ([deterministic(record) for record in rows][:2] for rows in records)
    assert first[1]["loss"][0] == pytest.approx(again[1]["loss"][0], rel=1e-4)


def test_out_of_memory_is_a_result(tmp_path: Path) -> None:
    fields = {"data": "fashion-mnist-sample", "model": "minigooglenet", "optimizer": "adam"}
    run = make_run({**fields, "lr": 1e-3, "batch": 4096, "steps": 1})
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(DEVICE).total_memory
    torch.cuda.set_per_process_memory_fraction(ALLOWED_BYTES / total, 0)
    try:
        with pytest.raises(OutOfMemory):
            list(run_in_folder(run, RunFolder(tmp_path), device="cuda"))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)
    assert RunFolder(tmp_path).status["status"] == "out_of_memory"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_step_waits_for_the_gpu(precision: str) -> None:
    """In fp16 one does: torch's scaler reads whether a gradient overflowed."""
    augment = ["pad_crop(padding=4)", "flip", "cutout(size=8)"]
    fields: dict[str, Any] = {"data": "fashion-mnist-sample", "model": "resnet-8"}
    fields |= {"optimizer": "sgd(momentum=0.9)", "lr": 0.1, "batch": 32, "steps": 6}
    run = make_run({**fields, "augment": augment, "clip_norm": 1.0, "precision": precision})
    dataset = data.load(run.data.name)
    state = new_state(run, dataset, DEVICE)
    parts, task = prepare(run, dataset, state.layout, DEVICE), make_task(run)
    stepper = Stepper(
        state.model,
        state.optimizer,
        task.loss,
        lambda judged, samples: sums_of(task.metrics, judged, samples),
        run.precision,
        run.clip_norm,
    )
    steps = feed(run, parts.training, Timeline(run, len(parts.training)), 0, DEVICE)
    try:
        for index, (step, batch) in enumerate(steps):
            stepper.step(batch, step.batch_size, with_norm=True)
            # The first step brings constants, such as mean and deviation of the pixels, once and for all.
            if index == 0:
                torch.cuda.set_sync_debug_mode("error")
    finally:
        torch.cuda.set_sync_debug_mode("default")
