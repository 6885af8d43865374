"""``losslab find``: the range of learning rates, the range of batch sizes."""

import sys
from collections.abc import Iterable
from math import ceil
from typing import Any

from cyclopts import App

from losslab.choice import Choice
from losslab.cli.options import Flag, check_machine, choice_of, print_json
from losslab.cli.text_plot import text_plot
from losslab.errors import InvalidInput, unknown_name
from losslab.ranges import BatchRange, LrRange, Setting, Trace, find_batch_range, find_lr_range
from losslab.ranges.branch import CriticalBatch, batch_warmup
from losslab.ranges.lr import check_ramp, check_rule, confirmed
from losslab.ranges.race import STEPS_PER_SEED, race
from losslab.spec import Run
from losslab.study.sizes import check_batch, training_images
from losslab.text import cell, count

EPOCHS = 5
"""Of the smallest batch size, when no number of steps is given."""

COLUMNS = {
    "batch size": "batch_size",
    "loss": "loss",
    "samples/s": "samples_per_second",
    "s to target": "seconds_to_target",
    "noise scale": "noise_scale",
}
"""Heading -> entry of the curve."""

app = App(name="find", help="Find the range of learning rates or batch sizes by training.")


@app.command
def lr(
    *,
    model: str,
    data: str,
    optimizer: str = "sgd(momentum=0.9)",
    momentum: float | None = None,
    batch: int = 64,
    start: float = 1e-9,
    end: float = 10.0,
    steps: int | None = None,
    epochs: float | None = None,
    seeds: int = 3,
    mode: str = "ramp",
    candidates: int = 10,
    rule: str | None = None,
    confirm: Flag = False,
    weight_decay: float = 0.0,
    parameter_groups: str | None = None,
    train_images: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
    json: Flag = False,
) -> None:
    """Find the learning rates between which the loss falls, and one to train with.

    Example: losslab find lr --model lenet5 --data fashion-mnist --optimizer adam --steps 500 --seeds 3

    Args:
        model: Built-in name, `package.module:factory`, `torchvision/NAME`, `timm/NAME`; options: "mlp(hidden=[9])".
        data: Built-in name, a folder of images by class, an .npz file or `package.module:factory`.
        optimizer: Method by name, `torch.optim/NAME` or `package.module:factory`; options: "adam(betas=(0.9, 0.95))".
        momentum: Option of the optimizer, in short.
        batch: Images in a batch.
        start: Lowest learning rate.
        end: Highest learning rate.
        steps: Optimizer steps of a ramp, or of each candidate; 300 when neither steps nor epochs are given.
        epochs: Length in epochs, in place of steps.
        seeds: How often the test is repeated.
        mode: `ramp`, one training whose lr rises, or `grid`, one training for each candidate.
        candidates: Learning rates of a grid.
        rule: Of the suggestion: half_fall, minimum, minimum_over_ten, steepest, valley.
        confirm: Suggest the winner of a race of constant rates, which does not depend on the test's length.
        weight_decay: Strength of L2 on weights, not on biases.
        parameter_groups: Function of the model, `package.module:function`, that gives groups like torch's.
        train_images: Use only so many training images, stratified.
        device: Where to train: cpu, cuda, cuda:1, mps, xpu, or auto, the fastest here.
        threads: Threads of torch; its own choice when absent.
        json: Print the finding as JSON.
    """
    steps = 300 if steps is None and epochs is None else steps
    try:
        check_ramp(start, end, 2 if steps is None else steps, seeds, candidates)
        check_rule(mode, rule)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    device = check_machine(device, threads)
    # Imported late: it pulls in torch, and a wrong ramp should fail first.
    from losslab.ranges.runs import batch_runs, lr_runs

    fields = _fields(model, data, optimizer, momentum, weight_decay, train_images)
    fields |= {
        "batch": batch,
        "steps": steps,
        "epochs": epochs,
        "parameter_groups": parameter_groups,
    }
    runs = lr_runs(fields, start=start, end=end, seeds=seeds, mode=mode, candidates=candidates)
    check_batch(runs[0])
    traces = []
    for number, run in enumerate(runs, 1):
        trace = _train(run, device, threads)
        traces.append(trace)
        _tell(f"training {number} of {len(runs)}: {len(trace.loss)} steps", json)
    lrs = (
        [start, end]
        if mode == "ramp"
        else sorted({trace.lr[0] for trace in traces if trace.lr})
    )
    found = find_lr_range(
        traces, mode=mode, rule=rule, setting=_setting(runs[0], lrs, seeds, [batch])
    )
    if confirm and found.lr_max:
        _tell(f"race: at most {STEPS_PER_SEED * seeds:,} steps more", json)

        def train_constant(lr: float, steps: int) -> list[Trace]:
            constant = {**fields, "lr": lr, "steps": steps, "epochs": None}
            runs = batch_runs(constant, size=batch, seeds=seeds)
            return [_train(run, device, threads) for run in runs]

        raced = race(found.lr_max, train_constant)
        found = confirmed(found, raced) if raced else found
    print_json(found.to_dict()) if json else print(_lr_summary(found))


@app.command
def batch(
    *,
    model: str,
    data: str,
    lr: float,
    optimizer: str = "sgd(momentum=0.9)",
    momentum: float | None = None,
    sizes: str = "64,128,256,512,1024,2048,4096,8192",
    steps: int | None = None,
    seeds: int = 3,
    max_micro_batch: int | None = None,
    mode: str = "steps",
    after: str = "0",
    scaling: str | None = None,
    tolerance: float = 0.01,
    weight_decay: float = 0.0,
    parameter_groups: str | None = None,
    train_images: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
    json: Flag = False,
) -> None:
    """Find the batch sizes between which the loss falls: every size from the same weights, for equal optimizer steps.

    Example: losslab find batch --model lenet5 --data fashion-mnist --lr 1e-2 --sizes 64,128,256,512 --steps 200

    Args:
        model: Built-in name, `package.module:factory`, `torchvision/NAME`, `timm/NAME`; options: "mlp(hidden=[9])".
        data: Built-in name, a folder of images by class, an .npz file or `package.module:factory`.
        lr: Learning rate at every size.
        optimizer: Method by name, `torch.optim/NAME` or `package.module:factory`; options: "adam(betas=(0.9, 0.95))".
        momentum: Option of the optimizer, in short.
        sizes: Increasing batch sizes, separated by commas.
        steps: Optimizer steps at every size; five epochs at the smallest size when absent.
        seeds: How often the test is repeated.
        max_micro_batch: Accumulate larger batches from parts of at most so many images; halved where memory ends.
        mode: `steps`, equal steps at one rate, or `branch`, equal samples at scaled rates: the critical batch size.
        after: Steps of training before the sizes branch, several separated by commas; more than one give a policy.
        scaling: Of the rate in a branch: linear or sqrt; linear for SGD, else sqrt, when absent.
        tolerance: Part of the smallest size's loss by which the loss of a branch may be higher.
        weight_decay: Strength of L2 on weights, not on biases.
        parameter_groups: Function of the model, `package.module:function`, that gives groups like torch's.
        train_images: Use only so many training images, stratified.
        device: Where to train: cpu, cuda, cuda:1, mps, xpu, or auto, the fastest here.
        threads: Threads of torch; its own choice when absent.
        json: Print the finding as JSON.
    """
    listed = _parse_sizes(sizes)
    if seeds < 1:
        raise InvalidInput(f"--seeds (={seeds}) must be at least 1")
    device = check_machine(device, threads)
    from losslab.ranges.runs import batch_runs

    fields = _fields(model, data, optimizer, momentum, weight_decay, train_images)
    fields |= {
        "lr": lr,
        "max_micro_batch": max_micro_batch,
        "parameter_groups": parameter_groups,
    }
    # The length follows from the images, and these from a run: one of any length will do to count them.
    first = batch_runs(
        {**fields, "steps": 1 if steps is None else steps}, size=listed[0], seeds=seeds
    )[0]
    images = training_images(first)
    if listed[-1] > images:
        raise InvalidInput(
            f"--sizes (={sizes}): {listed[-1]} exceeds the {images:,} training images of {data}"
        )
    fields["steps"] = ceil(EPOCHS * images / listed[0]) if steps is None else steps

    start = batch_runs(fields, size=listed[0], seeds=1)[0]
    if mode == "branch":
        branches = {
            moment: _branch(start, moment, listed, seeds, scaling, tolerance, device, threads)
            for moment in _parse_moments(after)
        }
        epochs = {moment * listed[0] / images: found for moment, found in branches.items()}
        _print_branches(epochs, json)
        return
    if mode != "steps":
        raise InvalidInput(unknown_name("mode", mode, ("steps", "branch")))
    setting = _setting(start, [lr], seeds, listed)

    def train(size: int) -> list[Trace]:
        _tell(f"batch size {size}: {seeds} trainings of {fields['steps']} steps", json)
        return [
            _train(run, device, threads, listed[0])
            for run in batch_runs(fields, size=size, seeds=seeds)
        ]

    found = find_batch_range(listed, train, setting=setting)
    print_json(found.to_dict()) if json else print(_batch_summary(found))


def _branch(
    run: Run,
    after: int,
    sizes: list[int],
    seeds: int,
    scaling: str | None,
    tolerance: float,
    device: str,
    threads: int | None,
) -> CriticalBatch:
    # Imported late, as in `_train`.
    import torch

    from losslab.data import load
    from losslab.ranges.branch_runs import branch_run

    if threads is not None:
        torch.set_num_threads(threads)
    return branch_run(
        run,
        load(run.data.name),
        after=after,
        sizes=sizes,
        steps=run.steps or 1,
        seeds=seeds,
        scaling=scaling,
        tolerance=tolerance,
        device=device,
    )


def _print_branches(branches: dict[float, CriticalBatch], json: bool) -> None:
    """Print what was found at each epoch, and the policy where there are several."""
    policy = None
    if len(branches) > 1 and all(found.found for found in branches.values()):
        policy = batch_warmup(branches)
    if json:
        found = [{"epoch": epoch, **found.to_dict()} for epoch, found in branches.items()]
        print_json({"branches": found, "batch": policy})
        return
    for epoch, critical in branches.items():
        print(_branch_summary(epoch, critical))
    if policy is not None:
        print(f"batch policy: piecewise(values={policy['values']}, epochs={policy['epochs']})")


def _branch_summary(epoch: float, found: CriticalBatch) -> str:
    curve = found.to_dict()["curve"]
    rows = zip(curve["batch_size"], curve["lr"], curve["loss"], curve["excess"], strict=True)
    lines = [_padded(("batch size", "lr", "loss", "excess")), *map(_padded, rows)]
    if found.band is not None:
        low, high = found.band
        lines.append(
            f"from epoch {epoch:.3g}: critical batch size {found.critical_size}, of the seeds {low} to {high}; "
            f"tolerance {found.tolerance:.1%}, lr scaled by {found.scaling}; noise scale {cell(found.noise_scale)}"
        )
    return "\n".join(filter(None, [*lines, found.reason]))


def _parse_moments(text: str) -> list[int]:
    moments = [int(part) if part.strip().isdecimal() else -1 for part in text.split(",")]
    if min(moments) < 0 or sorted(set(moments)) != moments:
        raise InvalidInput(
            f"--after (={text}) must be increasing whole numbers of steps, such as 0,200,1000"
        )
    return moments


def _fields(
    model: str,
    data: str,
    optimizer: str,
    momentum: float | None,
    weight_decay: float,
    train_images: int | None,
) -> dict[str, Any]:
    """Gather the fields of a run that both tests share."""
    images = {} if train_images is None else {"train_images": train_images}
    options = {} if momentum is None else {"momentum": momentum}
    return {
        "data": {**choice_of("data", data), **images},
        "model": model,
        "optimizer": {**choice_of("optimizer", optimizer), **options},
        "weight_decay": weight_decay,
    }


def _setting(run: Run, lrs: list[float], seeds: int, sizes: list[int]) -> Setting:
    """What is done, as the answer states it."""
    from losslab.training.timeline import Timeline

    return Setting(
        optimizer=str(Choice(**run.optimizer.model_dump(mode="json"))),
        loss=str(run.loss),
        lrs=lrs,
        steps=Timeline(run, training_images(run)).total_steps,
        seeds=seeds,
        batch_sizes=sizes,
    )


def _stated(setting: Setting) -> str:
    """The setting in a line."""
    sizes = (
        f"batches of {setting.batch_sizes[0]}"
        if len(setting.batch_sizes) == 1
        else f"lr {cell(setting.lrs[0])}"
    )
    steps, seeds = count(setting.steps, "step"), count(setting.seeds, "seed")
    return f"tested with {setting.optimizer}, {setting.loss}, {sizes}, {steps}, {seeds}"


def _parse_sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) < 2 or sizes[0] < 1 or sorted(set(sizes)) != sizes:
        raise InvalidInput(
            f"--sizes (={text}) must be two or more increasing whole numbers, such as 64,128,256"
        )
    return sizes


def _train(run: Run, device: str, threads: int | None, noise_batch: int | None = None) -> Trace:
    # Imported late: a fault in the options is known before torch has loaded, which takes seconds.
    import torch

    from losslab.data import load
    from losslab.ranges.runs import train_trace

    if threads is not None:
        torch.set_num_threads(threads)
    return train_trace(run, load(run.data.name), device=device, noise_batch=noise_batch)


def _tell(line: str, json: bool) -> None:
    # On standard error, as the finding is what a pipe wants.
    if not json:
        print(line, file=sys.stderr, flush=True)


def _lr_summary(found: LrRange) -> str:
    marks = {"lr_min": found.lr_min, "suggestion": found.suggestion, "lr_max": found.lr_max}
    names = "learning rate", "training loss, averaged"
    lines = [
        text_plot(found.curve.lr, found.curve.smoothed_loss, names=names, log=True, marks=marks)
    ]
    if found.found:
        low, suggestion, high = map(cell, marks.values())
        spread = (
            "one seed"
            if found.spread_decades is None
            else f"{found.spread_decades:.2f} decades over the seeds"
        )
        lines.append(
            f"lr_min {low}, lr_max {high}; suggestion {suggestion} by rule {found.rule}, spread: {spread}"
        )
    lines.append(found.reason)
    lines.append(_stated(found.setting) if found.setting else "")
    if not found.found:
        lines.append(
            "more --steps, or a --start and --end nearer to where the loss moves, may show a range"
        )
    return "\n".join(filter(None, lines))


def _batch_summary(found: BatchRange) -> str:
    curve = found.to_dict()["curve"]
    marks = {"b_min": found.b_min, "b_max": found.b_max}
    names = "batch size", "training loss after equal steps"
    columns = [curve[name] for name in COLUMNS.values()]
    rows = [COLUMNS, *zip(*columns, strict=True)]
    lines = [text_plot(curve["batch_size"], curve["loss"], names=names, log=True, marks=marks)]
    lines += [_padded(row) for row in rows]
    if found.found:
        lines.append(
            f"b_min {found.b_min}, b_max {found.b_max}: {found.rule}; noise scale {cell(found.noise_scale)}"
        )
    lines.append(found.reason)
    lines.append(_stated(found.setting) if found.setting else "")
    return "\n".join(filter(None, lines))


def _padded(row: Iterable[Any]) -> str:
    """The cells of a row, each as wide as the others."""
    return "  ".join(f"{cell(value):>11}" for value in row)
