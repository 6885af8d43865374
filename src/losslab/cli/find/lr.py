"""``losslab find lr``: the range of learning rates, and one to train with."""

from collections.abc import Sequence
from pathlib import Path

from losslab.cli.find.answers import Output, lr_text, setting_of
from losslab.cli.find.crew import Crew, by_seeds, samples_of
from losslab.cli.options import Flag, check_machine, check_mode, fields_of
from losslab.errors import InvalidInput
from losslab.ranges import Trace, find_lr_range
from losslab.ranges.lr import check_ramp, confirmed
from losslab.ranges.lr_rules import check_rule
from losslab.ranges.progress import watched
from losslab.ranges.race import STEPS_PER_SEED, race
from losslab.ranges.runs import batch_runs, lr_runs
from losslab.study.sizes import check_batch

CANDIDATES = 10
"""Learning rates of a grid, when no number is given."""


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
    candidates: int | None = None,
    rule: str | None = None,
    confirm: Flag = False,
    weight_decay: float = 0.0,
    parameter_groups: str | None = None,
    loss: str = "cross_entropy",
    train_images: int | None = None,
    device: str = "cpu",
    deterministic: Flag = False,
    threads: int | None = None,
    workers: int = 1,
    figure: Path | None = None,
    out: Path | None = None,
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
        steps: Optimizer steps of a ramp, or of each candidate; 300 when neither steps nor epochs are given. With 100,
            half of the ramps that were measured found no range.
        epochs: Length in epochs, in place of steps.
        seeds: How often the test is repeated.
        mode: `ramp`, one training whose lr rises, or `grid`, one training for each candidate.
        candidates: Learning rates of a grid; 10 when absent.
        rule: Of the suggestion: half_fall, minimum, minimum_over_ten, steepest, valley.
        confirm: Suggest the winner of a race of constant rates, which does not depend on the test's length; costs at
            most 1,875 steps more for each seed.
        weight_decay: Strength of L2 on weights, not on biases.
        parameter_groups: Function of the model, `package.module:function`, that gives groups like torch's.
        loss: cross_entropy, mse, bce, causal_lm or `package.module:function`; options:
            "cross_entropy(label_smoothing=0.1)".
        train_images: Use only so many training images, stratified.
        device: Where to train: cpu, cuda, cuda:1, mps, xpu, or auto, the fastest here.
        deterministic: Have torch use algorithms that repeat their bits, and fail where a device has none.
        threads: Threads of torch; its own choice when absent.
        workers: Processes that train side by side, a seed each; the answer is the same to the bit.
        figure: Picture to write (.png, .svg, .pdf): the curve and the range.
        out: JSON file to write, which `losslab.read_range` reads.
        json: Print the finding as JSON.
    """
    steps = 300 if steps is None and epochs is None else steps
    check_mode(mode, {"ramp": {}, "grid": {"candidates": candidates}})
    candidates = CANDIDATES if candidates is None else candidates
    try:
        check_ramp(start, end, 2 if steps is None else steps, seeds, candidates)
        check_rule(mode, rule)
        if confirm and rule is not None:
            raise InvalidInput(
                f"--rule (={rule}) is no rule of a race, which --confirm asks for; leave one out"
            )
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    output = Output(json, figure, out)
    crew = Crew(workers, threads, check_machine(device, threads), deterministic)
    fields = fields_of(model, data, optimizer, momentum, weight_decay, train_images)
    fields |= {
        "batch": batch,
        "steps": steps,
        "epochs": epochs,
        "parameter_groups": parameter_groups,
        "loss": loss,
    }
    runs = lr_runs(fields, start=start, end=end, seeds=seeds, mode=mode, candidates=candidates)
    check_batch(runs[0])

    with watched() as progress:
        racing = STEPS_PER_SEED * seeds * batch if confirm else 0
        progress.total = racing + sum(map(samples_of, runs))

        def train_constant(rates: Sequence[float], steps: int) -> list[list[Trace]]:
            runs = []
            for lr in rates:
                constant = {**fields, "lr": lr, "steps": steps, "epochs": None}
                runs += batch_runs(constant, size=batch, seeds=seeds)
            return by_seeds(crew.traces(runs, progress), seeds)

        traces = crew.traces(runs, progress)
        lrs = [start, end]
        if mode == "grid":
            lrs = sorted({trace.lr[0] for trace in traces if trace.lr})
        setting = setting_of(runs[0], lrs, seeds, [batch])
        found = find_lr_range(traces, mode=mode, rule=rule, setting=setting)
        if confirm and found.lr_max:
            raced = race(found.lr_max, train_constant)
            found = confirmed(found, raced)
    output.write(found.to_dict(), lr_text(found), [found.figure()])
