"""``losslab find batch``: the range of batch sizes, or the critical one."""

from dataclasses import replace
from math import ceil, inf
from pathlib import Path
from typing import Any

from losslab.cli.find.answers import Output, batch_text, branch_text, setting_of
from losslab.cli.find.crew import Crew, by_seeds, samples_of
from losslab.cli.options import Flag, check_machine, check_mode, fields_of
from losslab.errors import InvalidInput, unknown_name
from losslab.ranges import find_batch_range
from losslab.ranges.branch import SCALINGS, CriticalBatch, batch_warmup
from losslab.ranges.progress import watched
from losslab.ranges.runs import batch_runs
from losslab.spec import Run
from losslab.study.sizes import load, training_images

EPOCHS = 5
"""Of the smallest batch size, when no number of steps is given."""
SIZES = tuple(2**power for power in range(6, 14))
"""Batch sizes that are tried where none are given: 64 to 8192."""


def batch(
    *,
    model: str,
    data: str,
    lr: float,
    optimizer: str = "sgd(momentum=0.9)",
    momentum: float | None = None,
    sizes: str | None = None,
    steps: int | None = None,
    seeds: int = 3,
    max_micro_batch: int | None = None,
    mode: str = "steps",
    after: str | None = None,
    scaling: str | None = None,
    tolerance: float | None = None,
    weight_decay: float = 0.0,
    parameter_groups: str | None = None,
    loss: str = "cross_entropy",
    train_images: int | None = None,
    device: str = "cpu",
    deterministic: Flag = False,
    threads: int | None = None,
    workers: int | None = None,
    figure: Path | None = None,
    out: Path | None = None,
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
        sizes: Increasing batch sizes, separated by commas; 64, 128, 256 and so on to 8192, or to the number of images,
            when absent.
        steps: Optimizer steps at every size; five epochs at the smallest size when absent.
        seeds: How often the test is repeated.
        max_micro_batch: Accumulate larger batches from parts of at most so many images; halved where memory ends.
        mode: `steps`, equal steps at one rate, or `branch`, equal samples at scaled rates: the critical batch size.
        after: Of branches: steps of training before them, 0 when absent; several, separated by commas, give a policy.
        scaling: Of the rate in a branch: linear or sqrt; linear for SGD, else sqrt, when absent.
        tolerance: Part of the smallest size's loss by which the loss of a branch may be higher; 0.01 when absent.
        weight_decay: Strength of L2 on weights, not on biases.
        parameter_groups: Function of the model, `package.module:function`, that gives groups like torch's.
        loss: cross_entropy, mse, bce, causal_lm or `package.module:function`; options:
            "cross_entropy(label_smoothing=0.1)".
        train_images: Use only so many training images, stratified.
        device: Where to train: cpu, cuda, cuda:1, mps, xpu, or auto, the fastest here.
        deterministic: Have torch use algorithms that repeat their bits, and fail where a device has none.
        threads: Threads of torch; its own choice when absent.
        workers: Of equal steps: processes that train side by side, 1 when absent. The range is the same to the bit;
            samples a second are those of cores that are shared.
        figure: Picture to write (.png, .svg, .pdf): the curve and what was found.
        out: JSON file to write, which `losslab.read_range` reads.
        json: Print the finding as JSON.
    """
    listed = list(SIZES) if sizes is None else _parse_sizes(sizes)
    if seeds < 1:
        raise InvalidInput(f"--seeds (={seeds}) must be at least 1")
    check_mode(
        mode,
        {
            "steps": {"max-micro-batch": max_micro_batch, "workers": workers},
            "branch": {"after": after, "scaling": scaling, "tolerance": tolerance},
        },
    )
    moments = _parse_moments("0" if after is None else after)
    output = Output(json, figure, out)
    crew = Crew(
        1 if workers is None else workers,
        threads,
        check_machine(device, threads),
        deterministic,
    )
    fields = fields_of(model, data, optimizer, momentum, weight_decay, train_images)
    fields |= {
        "lr": lr,
        "max_micro_batch": max_micro_batch,
        "parameter_groups": parameter_groups,
        "loss": loss,
    }
    # The length follows from the images, and these from a run: one of any length will do to count them.
    first = batch_runs(
        {**fields, "steps": 1 if steps is None else steps}, size=listed[0], seeds=1
    )[0]
    images = training_images(first)
    if sizes is None:
        listed = [size for size in listed if size <= images]
        if len(listed) < 2:
            raise InvalidInput(_sizes_needed(data, images))
    if len(listed) < 2 or listed[-1] > images:
        raise InvalidInput(
            f"--sizes (={','.join(map(str, listed))}): {data} has {images:,} training images; give two "
            "sizes or more up to that number"
        )
    fields["steps"] = ceil(EPOCHS * images / listed[0]) if steps is None else steps

    if mode == "branch":
        _check_branch(listed, scaling, tolerance)
        start = batch_runs(fields, size=listed[0], seeds=1)[0]
        options = {"sizes": listed, "seeds": seeds, "scaling": scaling, "tolerance": tolerance}
        found = {
            epoch_at(moment, listed[0], images): _branch(start, moment, crew, options)
            for moment in moments
        }
        _write_branches(found, output)
        return
    _find_range(fields, listed, seeds, crew, output)


def _sizes_needed(data: str, images: int) -> str:
    """Say why the default sizes do not do, and what to give."""
    smaller = [2**power for power in range(1, 7) if 2**power <= images][-3:]
    example = ",".join(map(str, smaller))
    return (
        f"--sizes is missing: the default ones begin {SIZES[0]}, {SIZES[1]}, and {data} has {images:,} training "
        f"images; give two sizes or more up to that number, such as --sizes {example}"
    )


def epoch_at(step: int, size: int, images: int) -> float:
    """The epochs that are seen by a step; the last batch of an epoch may be short."""
    epochs, left = divmod(step, ceil(images / size))
    return epochs + left * size / images


def _check_branch(sizes: list[int], scaling: str | None, tolerance: float | None) -> None:
    """Raise InvalidInput for what would be refused only when the training before the branches is done."""
    if scaling is not None and scaling not in SCALINGS:
        raise InvalidInput(unknown_name("scaling", scaling, SCALINGS))
    if tolerance is not None and not 0 < tolerance < inf:
        raise InvalidInput(f"--tolerance (={tolerance}) must be above 0")
    if any(size % sizes[0] for size in sizes):
        raise InvalidInput(
            f"--sizes (={','.join(map(str, sizes))}) must be multiples of the first for --mode branch"
        )


def _find_range(
    fields: dict[str, Any], sizes: list[int], seeds: int, crew: Crew, output: Output
) -> None:
    """Train all sizes, and write the range that is read off them."""
    runs = []
    for size in sizes:
        runs += batch_runs(fields, size=size, seeds=seeds)
    with watched() as progress:
        progress.total = sum(map(samples_of, runs))
        traces = crew.traces(runs, progress, noise_batch=sizes[0])
    of_size = dict(zip(sizes, by_seeds(traces, seeds), strict=True))
    setting = setting_of(runs[0], [fields["lr"]], seeds, sizes)
    found = find_batch_range(sizes, of_size.__getitem__, setting=setting)
    output.write(found.to_dict(), batch_text(found), [found.figure()])


def _branch(run: Run, after: int, crew: Crew, options: dict[str, Any]) -> CriticalBatch:
    crew.prepare_process()
    from losslab.ranges.branch_runs import branch_run

    found = branch_run(
        run,
        load(run.data.name),
        after=after,
        steps=run.steps or 1,
        device=crew.device,
        **options,
    )
    # As a run names its loss, and not as the class of it is called.
    setting = found.setting and replace(found.setting, loss=str(run.loss))
    return replace(found, setting=setting)


def _write_branches(branches: dict[float, CriticalBatch], output: Output) -> None:
    """Write what was found at each epoch, and the policy where there are several."""
    policy = None
    if len(branches) > 1 and all(found.found for found in branches.values()):
        policy = batch_warmup(branches)
    found = [{"epoch": epoch, **branch.to_dict()} for epoch, branch in branches.items()]
    lines = [branch_text(epoch, branch) for epoch, branch in branches.items()]
    if policy is not None:
        lines.append(
            f"batch policy: piecewise(values={policy['values']}, epochs={policy['epochs']})"
        )
    figures = [
        branch.figure(f"Critical batch size from epoch {epoch:.3g}")
        for epoch, branch in branches.items()
    ]
    output.write({"branches": found, "batch": policy}, "\n".join(lines), figures)


def _parse_moments(text: str) -> list[int]:
    moments = [int(part) if part.strip().isdecimal() else -1 for part in text.split(",")]
    if min(moments) < 0 or sorted(set(moments)) != moments:
        raise InvalidInput(
            f"--after (={text}) must be increasing whole numbers of steps, such as 0,200,1000"
        )
    return moments


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
