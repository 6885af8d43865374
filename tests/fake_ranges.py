"""Study folders of `learning-rate-and-batch-size` made of synthetic records."""

from collections.abc import Callable
from math import exp, log10
from pathlib import Path
from typing import Any

from fake_study import Change, stage_facts, unchanged, write_run

from losslab.choice import Choice
from losslab.records import Evaluation, Final, Record, Start, Steps
from losslab.spec import Run
from losslab.study.load import load_study
from losslab.study.stages import expand
from losslab.study.store import StudyFolder

STUDY = load_study("learning-rate-and-batch-size")
STEPS = 200
FOUND: dict[str, list[dict[str, Any]]] = {
    "lr-ramp": [{"lr_min": 1e-3, "lr_max": 0.1, "suggestion": 0.03}],
    "batch-sizes": [{"b_min": 128, "b_max": 1024}],
}


def lr_loss(lr: float) -> float:
    """Flat up to 1e-4, lowest at 0.1, rising beyond."""
    place = log10(lr)
    return 2.3 - 1.8 / (1 + exp(-4 * (place + 2))) + 3 / (1 + exp(-12 * (place - 0.5)))


def batch_loss(size: int) -> float:
    """Falling to a floor at about a thousand images."""
    return 0.5 + 0.4 * exp(-size / 300)


def steps(lrs: list[float], sizes: list[int], losses: list[float]) -> Steps:
    """The steps of a run; their losses alternate a little, as those of batches do."""
    noisy = [loss + 0.002 * (-1) ** place for place, loss in enumerate(losses)]
    return Steps(0, lrs, sizes, noisy, [size / 2 for size in sizes], 0.01 * sum(sizes))


def evaluation(epoch: int, accuracy: float) -> Evaluation:
    """The end of an epoch."""
    loss = 0.4 + exp(-epoch)
    return Evaluation(
        50 * epoch,
        epoch,
        54_000 * epoch,
        loss,
        0.8,
        0.0,
        loss,
        0.8,
        loss + 0.1,
        accuracy,
        9.0 * epoch,
        1,
    )


def synthetic(run: Run) -> list[Record]:
    """Records in which the cyclical lr is best, then its constant, then what trains at lr_min."""
    start = Start(60_000, "0" * 64, 54_000, 6_000, 10_000, STEPS)
    size = run.batch if isinstance(run.batch, int) else 64
    if isinstance(run.lr, Choice) and run.lr.name == "exponential_ramp":
        lrs = [10 ** (-9 + 10 * place / (STEPS - 1)) for place in range(STEPS)]
        return [
            start,
            steps(lrs, [64] * STEPS, [lr_loss(lr) for lr in lrs]),
            evaluation(1, 0.1),
        ]
    if run.evaluate == "end":
        lr = float(str(run.lr))
        end = batch_loss(size) if run.steps else lr_loss(lr)
        return [
            start,
            steps([lr] * STEPS, [size] * STEPS, [end + 0.01 * run.seed] * STEPS),
            evaluation(1, 0.5),
        ]
    best = 0.91 if isinstance(run.lr, Choice) else 0.88 if run.lr == 0.03 else 0.84
    accuracies = [best - 0.05, best + 0.001 * run.seed]
    sizes = (
        [1024 - 2 * place for place in range(STEPS)]
        if isinstance(run.batch, Choice)
        else [size] * STEPS
    )
    course = steps([1e-3] * STEPS, sizes, [0.5] * STEPS)
    final = Final(100, "1" * 64, 0.4, accuracies[-1] - 0.01, 18.0, 2.0)
    return [
        start,
        course,
        *(evaluation(epoch, each) for epoch, each in enumerate(accuracies, 1)),
        final,
    ]


def part_two(
    path: Path,
    *,
    change: Change = unchanged,
    skip: Callable[[Run], bool] = lambda run: False,
    skipped: dict[str, str] | None = None,
    data: str = "fashion-mnist",
    ended: str | None = "2026-01-02T03:18:05+00:00",
) -> StudyFolder:
    """A folder of the study: records changed by ``change``, runs left out by ``skip``, stages by ``skipped``."""
    folder = StudyFolder(path)
    folder.prepare()
    skipped = skipped or {}
    stages, earlier = [], []
    for stage in STUDY.stages:
        stage = stage.model_copy(update={"base": {**stage.base, "data": data}})
        runs = expand(stage, FOUND, earlier=earlier)
        earlier.append(stage)
        facts = {**stage_facts(stage, runs, 2), "skipped": skipped.get(stage.name)}
        stages.append(facts | ({"runs": []} if stage.name in skipped else {}))
        for run in runs:
            if stage.name not in skipped and not skip(run):
                write_run(folder, run, change(run, synthetic(run)))
    folder.write_plan(
        {
            "study": {"name": STUDY.name, "title": STUDY.title},
            "stages": stages,
            "scale": {"length": 0.1, "images": None, "grid": 1.0, "text": "a tenth"},
            "command": "losslab study run learning-rate-and-batch-size --budget 15m",
            "started": "2026-01-02T03:04:05+00:00",
            "ended": ended,
        }
    )
    return folder
