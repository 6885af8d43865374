"""Pictures of one run: what it is going to do at each step, and how it went."""

from collections.abc import Sequence
from pathlib import Path

from losslab.analysis.charts import Points, lines
from losslab.plots.figures import Figure
from losslab.plots.files import draw
from losslab.records import Evaluation, Record, Steps
from losslab.training.timeline import Timeline

EACH_BATCH = "training, each batch"


def draw_timeline(timeline: Timeline, path: Path) -> None:
    """Write a picture of learning rate and batch size by step, before training."""
    steps = list(timeline.steps())
    index = [step.index for step in steps]
    rates, sizes = [step.lr for step in steps], [step.batch_size for step in steps]
    draw(_policies((index, rates), (index, sizes))).savefig(path)


def draw_records(records: Sequence[Record], path: Path) -> None:
    """Write a picture of loss, accuracy, learning rate and batch size by step; nothing where there was no step."""
    steps = [record for record in records if isinstance(record, Steps)]
    if not steps:
        return
    losses = {
        EACH_BATCH: _of_steps(steps, "loss"),
        "training": _of_evaluations(records, "train_loss"),
        "validation": _of_evaluations(records, "validation_loss"),
    }
    accuracies = {
        "training": _of_evaluations(records, "train_accuracy"),
        "validation": _of_evaluations(records, "validation_accuracy"),
    }
    index, _ = _of_steps(steps, "lr")
    figures = [
        lines("loss", "Loss", losses, "loss", background=EACH_BATCH),
        lines(
            "accuracy",
            "Accuracy",
            accuracies,
            "classified correctly",
            steps=index,
            percent=True,
        ),
        *_policies(_of_steps(steps, "lr"), _of_steps(steps, "batch_size")),
    ]
    drawn = [figure for figure in figures if figure.series]  # not every task has an accuracy
    draw(drawn, columns=2).savefig(path)


def _policies(rates: Points, sizes: Points) -> list[Figure]:
    return [
        lines("lr", "Learning rate", {"learning rate": rates}, "learning rate"),
        lines("batch", "Batch size", {"batch size": sizes}, "images in a batch"),
    ]


def _of_steps(steps: Sequence[Steps], field: str) -> Points:
    index: list[int] = []
    values: list[float] = []
    # Records of a run that was resumed begin anew within the course; each says from which step on it counts.
    for record in steps:
        index += record.indices()
        values += getattr(record, field)
    return index, values


def _of_evaluations(records: Sequence[Record], field: str) -> Points:
    evaluations = [record for record in records if isinstance(record, Evaluation)]
    known = [record for record in evaluations if getattr(record, field) is not None]
    return [record.step for record in known], [getattr(record, field) for record in known]
