"""Study folders made of synthetic records, in the shape that the engine writes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any
from unittest import mock

from losslab.records import Evaluation, Final, Record, Start
from losslab.spec import Run, Stage, Study
from losslab.study.load import load_study
from losslab.study.stages import expand
from losslab.study.store import StudyFolder

SPEED = {
    "adagrad": 0.10,
    "rmsprop": 0.16,
    "rmsprop-nesterov": 0.20,
    "adadelta": 0.13,
    "adam": 0.24,
}
"""How fast the synthetic loss of a method falls."""
ENVIRONMENT = {
    "losslab": "0.1.0", "torch": "2.9.0", "python": "3.11.2", "platform": "Linux", "processor": "Test CPU",
    "cores": 2, "threads": 1, "source_sha256": "abc",
}  # fmt: skip

Change = Callable[[Run, list[Record]], list[Record]]


def unchanged(_run: Run, records: list[Record]) -> list[Record]:
    """Records as they are."""
    return records


def synthetic(run: Run, epochs: int) -> list[Record]:
    """The records of a run whose loss falls exponentially, slower and higher with dropout."""
    dropout = bool(run.model.options.get("hidden_dropout"))
    speed = SPEED.get(run.optimizer.name, 0.1) * (0.6 if dropout else 1.0) / (1 + distance(run))
    seconds = (12.0 if dropout else 10.0) + SPEED.get(run.optimizer.name, 0.1)
    rows: list[Record] = [Start(4_084_010, "0" * 64, 45_000, 5_000, 10_000, 352 * epochs)]
    for epoch in range(1, epochs + 1):
        loss = (0.9 if dropout else 0.02) + 1.8 * exp(-speed * epoch) + 0.01 * (run.seed % 3)
        fit = loss * (0.7 if dropout else 0.95)
        rows.append(
            Evaluation(
                352 * epoch,
                float(epoch),
                45_000 * epoch,
                loss,
                0.5,
                0.05,
                fit,
                0.6,
                loss + 0.4,
                0.5,
                seconds * epoch,
                epoch,
            )
        )
    accuracy = 0.48 + 0.2 * speed + (0.03 if dropout else 0.0)
    rows.append(
        Final(
            352 * epochs,
            "1" * 64,
            1.4,
            accuracy if run.test else None,
            seconds * epochs,
            float(epochs),
        )
    )
    return rows


def middle_lrs(study: Study) -> dict[str, float]:
    """Method -> the middle one of its candidates, which the synthetic records make its best."""
    best: dict[str, float] = {}
    for grid in study.stages[0].grid:
        names = (
            grid["optimizer"] if isinstance(grid["optimizer"], list) else [grid["optimizer"]]
        )
        best |= dict.fromkeys(names, sorted(grid["lr"])[len(grid["lr"]) // 2])
    return best


STUDY = load_study("adaptive-optimizers")
MIDDLE = middle_lrs(STUDY)


def distance(run: Run) -> float:
    """How far the learning rate is from the best one."""
    best = MIDDLE[run.optimizer.name]
    return max(run.lr / best, best / run.lr) - 1


def write_run(
    folder: StudyFolder,
    run: Run,
    records: Sequence[Record],
    status: str = "done",
    message: str = "",
) -> None:
    """One run folder."""
    run_folder = folder.run_folder(run.id)
    # Nobody cuts the power here, and waiting for the disk takes most of the time of many small files.
    with mock.patch("os.fsync"):
        run_folder.create(run, ENVIRONMENT)
        with run_folder.appending() as writer:
            for record in records:
                writer.append(record)
        run_folder.set_status(status, message=message)  # type: ignore[arg-type]


def stage_facts(stage: Stage, runs: Sequence[Run], epochs: int) -> dict[str, Any]:
    """What the plan says of a stage."""
    return {
        "name": stage.name,
        "question": stage.question,
        "finding": stage.finding,
        "group": list(stage.group),
        "runs": [run.id for run in runs],
        "asked": {"epochs": stage.base.get("epochs"), "steps": None, "seeds": stage.seeds},
        "planned": {
            "epochs": epochs,
            "steps": None,
            "seeds": len({run.seed for run in runs}),
            "train_images": 45_000,
        },
    }


def part_one(
    path: Path,
    *,
    epochs: int = 12,
    seeds: int = 1,
    change: Change = unchanged,
    skip: Callable[[Run], bool] = lambda run: False,
    data: str = "cifar10",
    **plan: Any,
) -> StudyFolder:
    """A folder of `adaptive-optimizers`: records changed by ``change``, runs left out where ``skip`` says so."""
    folder = StudyFolder(path)
    folder.prepare()
    found = {"search": [{"optimizer": {"name": name}, "lr": lr} for name, lr in MIDDLE.items()]}
    stages, earlier = [], []
    for stage in STUDY.stages:
        stage = stage.model_copy(update={"seeds": seeds, "base": {**stage.base, "data": data}})
        runs = expand(stage, found, earlier=earlier)
        earlier.append(stage)
        length = epochs if stage.name == "compare" else 2
        stages.append(stage_facts(stage, runs, length))
        for run in runs:
            if not skip(run):
                write_run(folder, run, change(run, synthetic(run, length)))
    facts = {
        "study": {"name": STUDY.name, "title": STUDY.title},
        "stages": stages,
        "scale": {
            "length": 0.06,
            "images": None,
            "grid": 1.0,
            "text": f"compare: 10 runs, {epochs} of 200 epochs, 45,000 images",
        },
        "command": "losslab study run adaptive-optimizers --budget 8m",
        "budget_seconds": 480.0,
        "predicted_seconds": 430.0,
        "predicted_memory_bytes": 2_000_000_000,
        "measured_seconds": 455.0,
        "workers": 2,
        "threads": 1,
        "started": "2026-01-02T03:04:05+00:00",
        "ended": "2026-01-02T03:11:40+00:00",
    }
    folder.write_plan(facts | plan)
    return folder


def with_loss(loss: float) -> Change:
    """Records whose training losses are all this one."""

    def change(_run: Run, records: list[Record]) -> list[Record]:
        return [
            replace(each, train_loss=loss) if isinstance(each, Evaluation) else each
            for each in records
        ]

    return change
