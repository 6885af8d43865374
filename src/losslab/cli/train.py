"""``losslab train``: one run."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from losslab.cli.drawing import draw_records, draw_timeline
from losslab.cli.dry_run import print_timeline
from losslab.cli.options import Flag, check_machine, data_of, redirect_stdout_to_nothing
from losslab.cli.train_text import check_course, print_loss, print_record
from losslab.devices import ask_for_determinism
from losslab.errors import InvalidInput, LosslabError
from losslab.plots.files import check_file, check_picture
from losslab.records import Record
from losslab.spec import Layout, Precision, Run, make_run
from losslab.study.sizes import check_batch, load, training_images
from losslab.study.store import ENDED, RunFolder
from losslab.training.timeline import Timeline

if TYPE_CHECKING:  # imported where it is used, like all that trains
    from losslab.training.setup import Setup


def train(
    *,
    model: str,
    data: str,
    optimizer: str,
    lr: str,
    batch: str = "64",
    augment: Annotated[list[str] | None, Parameter(negative=())] = None,
    repeats: int = 1,
    max_micro_batch: int | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    weight_decay: float = 0.0,
    parameter_groups: str | None = None,
    loss: str = "cross_entropy",
    metric: Annotated[list[str] | None, Parameter(negative=())] = None,
    clip_norm: float | None = None,
    average: str | None = None,
    momentum: str | None = None,
    plateau: str | None = None,
    precision: Precision = "fp32",
    train_images: int | None = None,
    validation_fraction: float | None = None,
    seed: int = 0,
    out: Path | None = None,
    weights: Path | None = None,
    threads: int | None = None,
    layout: Layout | None = None,
    compile_step: Flag = False,
    data_workers: int = 0,
    device: str = "cpu",
    deterministic: Flag = False,
    dry_run: Flag = False,
    figure: Path | None = None,
    json: Flag = False,
) -> None:
    """Train one run and print its records.

    Args:
        model: Built-in name, `package.module:factory`, `torchvision/NAME`, `timm/NAME`; options: "mlp(hidden=[9])".
        data: Built-in name, a folder of images by class, an .npz file or `package.module:factory`.
        optimizer: Method by name, `torch.optim/NAME` or `package.module:factory`; options: "adam(betas=(0.9, 0.95))".
        lr: Learning rate, or a policy: "exp_range(base_lr=1e-4, max_lr=1e-2)".
        batch: Images in a batch, or a policy: "exp_range(b_min=64, b_max=1024)".
        augment: What is done to training images, in order; give it again for each: "pad_crop(padding=4)", flip, cutout.
        repeats: Copies of each image in a batch, each augmented on its own (batch augmentation).
        max_micro_batch: Accumulate larger batches, copies counted, from parts of at most so many images.
        epochs: Length in epochs; may be a fraction.
        steps: Length in optimizer steps, in place of epochs.
        weight_decay: Strength of L2 on weights, not on biases.
        parameter_groups: Function of the model, `package.module:function`, that gives groups like torch's.
        loss: cross_entropy, mse, bce, causal_lm or `package.module:function`; options:
            "cross_entropy(label_smoothing=0.1)".
        metric: What is measured beside the loss; give it again for each: accuracy, "top_k(k=5)", mae, r2, f1, ...; what
            is usual for the loss when absent.
        clip_norm: Scale a gradient of a larger norm down to this one.
        average: Evaluate an average of the weights, too: "ema(decay=0.999)" or "equal(start=0.75)".
        momentum: Cycle the momentum against the learning rate: "cycled(base_momentum=0.85, max_momentum=0.95)".
        plateau: Factor on the learning rate that falls where the loss stops falling: "reduce(factor=0.5, patience=3)".
        precision: Arithmetic of a step, by autocast; weights and optimizer stay float32.
        train_images: Use only so many training images, stratified.
        validation_fraction: Part of the training set held out for validation; 0.1 when absent.
        seed: Seed of weights, order, augmentation and dropout.
        out: Folder for run.json, records.jsonl, status.json and checkpoints; an interrupted run in it goes on.
        weights: File for the trained weights (.safetensors), named as the network's `state_dict` names them; those of
            the average where there is one.
        threads: Threads of torch; its own choice when absent.
        layout: How images and weights lie in memory; channels_last where there are convolutions when absent. A run
            that goes on keeps its own.
        compile_step: Compile the optimizer's step where torch has no fused one, which saves time in long runs. A run
            that goes on keeps what it began with.
        data_workers: Processes that read samples of a map-style dataset; they change no record.
        device: Where to train: cpu, cuda, cuda:1, mps, xpu, or auto, the fastest here.
        deterministic: Have torch use algorithms that repeat their bits, and fail where a device has none.
        dry_run: Train nothing; print learning rate and batch size by step, and what they add up to.
        figure: Picture to write (.png, .svg, .pdf): loss, accuracy, learning rate and batch size by step.
        json: Print every record as one JSON object a line.
    """
    subset = {"train_images": train_images, "validation_fraction": validation_fraction}
    given = {key: value for key, value in subset.items() if value is not None}
    run = make_run(
        {
            "data": {**data_of(data), **given},
            "model": model,
            "optimizer": optimizer,
            "lr": lr,
            "batch": batch,
            "augment": augment or [],
            "repeats": repeats,
            "max_micro_batch": max_micro_batch,
            "epochs": epochs,
            "steps": steps,
            "weight_decay": weight_decay,
            "parameter_groups": parameter_groups,
            "seed": seed,
            "loss": loss,
            "metrics": metric,
            "clip_norm": clip_norm,
            "average": average,
            "momentum": momentum,
            "plateau": plateau,
            "precision": precision,
        }
    )
    if figure:  # before hours of training, not after them
        check_picture("--figure", figure)
    if weights:
        check_file("--weights", weights, [".safetensors"])
    check_batch(run)
    if dry_run:
        timeline = Timeline(run, training_images(run))
        print_timeline(timeline, json=json)
        if figure:
            draw_timeline(timeline, figure)
        return
    from losslab.training import distributed
    from losslab.training.setup import Setup

    device = check_machine(device, threads)
    if data_workers < 0:
        raise InvalidInput(f"--data-workers (={data_workers}) must be at least 0")
    if deterministic:
        ask_for_determinism()
    with distributed.joined(device) as own_device:
        _train(
            run,
            out,
            weights,
            Setup(own_device, layout, compile_step, data_workers),
            threads,
            figure,
            json=json,
        )


def _train(
    run: Run,
    out: Path | None,
    weights: Path | None,
    setup: "Setup",
    threads: int | None,
    figure: Path | None,
    *,
    json: bool,
) -> None:
    import torch

    from losslab.machine.memory import tune_memory
    from losslab.training.distributed import rank

    tune_memory()  # before the first operation, which reads these limits
    if threads is not None:
        torch.set_num_threads(threads)
    records = _records_of(run, out, weights, setup)
    if rank():  # one process of several speaks
        for _ in records:
            pass
        return
    seen: list[Record] = []
    try:
        for record in records:
            seen.append(record)
            try:
                print_record(record, json=json)
            except BrokenPipeError:
                if out is None:
                    raise
                # The reader has gone, and the records are in the folder.
                redirect_stdout_to_nothing()
    finally:  # a run that diverged is worth a picture too
        course = RunFolder(out).records() if out else seen
        if figure:
            draw_records(course, figure)
        if not json:
            print_loss(seen)
    check_course(course)


def _records_of(
    run: Run, out: Path | None, weights: Path | None, setup: "Setup"
) -> Iterator[Record]:
    """The records of a training in its folder or without one; of a run that is done those that are there."""
    from losslab.study.worker import run_in_folder

    if out is None:
        return _without_folder(run, weights, setup)
    folder = RunFolder(out)
    if not _is_done(folder, run):
        return run_in_folder(
            run,
            folder,
            setup.layout,
            setup.compile_step,
            device=setup.device,
            data_workers=setup.data_workers,
            weights=weights,
        )
    if weights and not weights.exists():
        raise InvalidInput(
            f"--weights {weights}: the run in {out} is done and kept none; train it again into another --out"
        )
    if weights:
        print(f"losslab: {weights}: left as it is", file=sys.stderr)
    return iter(folder.records())


def _without_folder(run: Run, weights: Path | None, setup: "Setup") -> Iterator[Record]:
    from losslab.training.checkpoint import save_weights
    from losslab.training.distributed import rank
    from losslab.training.loop import train as train_run
    from losslab.training.state import new_state

    dataset = load(run.data.name)
    device, workers = setup.device, setup.data_workers
    state = new_state(run, dataset, device, setup.layout, setup.compile_step)
    yield from train_run(run, dataset=dataset, state=state, device=device, data_workers=workers)
    if weights and not rank():
        save_weights(weights, state)


def _is_done(folder: RunFolder, run: Run) -> bool:
    """Whether the run in the folder is done already, which is noted on standard error.

    Raises:
        InvalidInput: when the folder holds another run.
        LosslabError: when this one diverged or ran out of memory.
    """
    folder.check_holds(run)
    status = folder.status
    if status["status"] not in ENDED:
        return False
    if status["status"] != "done":
        raise LosslabError(f"{folder.path}: {status['message']}")
    print(f"losslab: {folder.path}: this run is done already", file=sys.stderr)
    return True
