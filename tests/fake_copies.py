"""Study folders of `batch-augmentation` made of synthetic records."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any

from fake_study import Change, stage_facts, unchanged, write_run

from losslab.records import Evaluation, Final, Record, Start
from losslab.spec import Run, Stage
from losslab.study.ladder import at_rung
from losslab.study.load import load_study
from losslab.study.stages import Scale, expand
from losslab.study.store import StudyFolder

STUDY = load_study("batch-augmentation")
LITERAL, COPIES = STUDY.stages
# A rung is planned in the place of the study; at its smallest scale, for pages that say what is not concluded.
(SMALL_COPIES,) = at_rung(STUDY, "resnet-8").stages
SMALL = Scale(length=0.03, images=2000)


def synthetic(run: Run) -> list[Record]:
    """Records of a run whose validation error falls faster and whose epochs take longer with more copies."""
    epochs, images = int(run.epochs or 0), run.data.train_images or 45_000
    steps, seconds, floor = (
        -(-images // 64),
        run.repeats * 10.0,
        0.05 if run.augment[-1].name == "cutout" else 0.08,
    )
    rows: list[Record] = [Start(661_338, "0" * 64, images, 5_000, 10_000, steps * epochs)]
    error = 0.9
    for epoch in range(1, epochs + 1):
        error = floor + 0.85 * exp(-0.02 * epoch * (1 + run.repeats / 8)) + 0.001 * run.seed
        times = (seconds * epoch, 1.0 * epoch)
        rows.append(
            Evaluation(
                steps * epoch,
                epoch,
                images * epoch,
                error,
                0.5,
                0.0,
                error,
                0.5,
                error,
                1 - error,
                *times,
            )
        )
    return [
        *rows,
        Final(
            steps * epochs, "1" * 64, error, 1 - error - 0.01, seconds * epochs, 1.0 * epochs
        ),
    ]


def part_four(
    path: Path,
    *,
    asked: Sequence[Stage] = (),
    scale: Scale = SMALL,
    seeds: int = 1,
    change: Change = unchanged,
    skip: Callable[[Run], bool] = lambda run: False,
    **plan: Any,
) -> StudyFolder:
    """A folder of the study or of other stages: records changed by ``change``, none of runs that ``skip`` says."""
    folder = StudyFolder(path)
    folder.prepare()
    stages = []
    for stage in asked or (STUDY.stages if scale == Scale() else [SMALL_COPIES]):
        runs = expand(stage.model_copy(update={"seeds": seeds}), scale=scale)
        stages.append(stage_facts(stage, runs, int(runs[0].epochs or 0)))
        stages[-1]["planned"]["train_images"] = runs[0].data.train_images or 45_000
        for run in runs:
            if not skip(run):
                write_run(folder, run, change(run, synthetic(run)))
    facts: dict[str, Any] = {
        "study": {"name": STUDY.name, "title": STUDY.title},
        "stages": stages,
        "workers": 2,
    }
    facts |= {
        "command": "losslab study run batch-augmentation --budget 15m",
        "ended": "2026-01-02T03:11:40+00:00",
    }
    folder.write_plan(facts | plan)
    return folder


def with_errors(errors: dict[int, float]) -> Change:
    """Records whose validation error from the second epoch on is given by the number of copies."""

    def change(run: Run, records: list[Record]) -> list[Record]:
        error = errors.get(run.repeats, 0.5)
        return [
            replace(record, validation_accuracy=1 - error)
            if isinstance(record, Evaluation) and record.epoch > 1
            else record
            for record in records
        ]

    return change
