"""A run's records as series of numbers, for other people's trackers; no torch."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import NamedTuple

from losslab.records import TIMES, Evaluation, Final, Steps
from losslab.study.results import RunResult


class Scalar(NamedTuple):
    """One number: its series, the optimizer step, the seconds of training by then."""

    name: str
    step: int
    seconds: float
    value: float


def scalars(result: RunResult) -> Iterator[Scalar]:
    """Yield the numbers of a run's records in order.

    Those of single steps are named ``step/lr``, ``step/batch_size``, ``step/loss``, ``step/accuracy`` and
    ``step/gradient_norm``, which is of the last step of a record; those of an evaluation and of the end by their record
    and field, such as ``evaluation/validation_loss``; what was not measured is left out. A step's seconds are those of
    the record that it came with.
    """
    for record in result.records:
        if isinstance(record, Steps):
            yield from _of_steps(record)
        elif isinstance(record, Evaluation | Final):
            # The field `metrics` is a dict, and is left out below; its entries are series like the fields.
            numbers = asdict(record) | (record.metrics or {})
            for field, value in numbers.items():
                if isinstance(value, int | float) and field not in {"step", *TIMES}:
                    yield Scalar(
                        f"{record.kind}/{field}",
                        record.step,
                        record.train_seconds,
                        float(value),
                    )


def _of_steps(record: Steps) -> Iterator[Scalar]:
    for index, step in enumerate(record.indices()):
        values = {
            "lr": record.lr[index],
            "batch_size": record.batch_size[index],
            "loss": record.loss[index],
        }
        if record.correct:
            values["accuracy"] = record.correct[index] / record.batch_size[index]
        for name, value in values.items():
            yield Scalar(f"step/{name}", step, record.train_seconds, float(value))
    if record.gradient_norm is not None:
        last = record.end - 1
        yield Scalar("step/gradient_norm", last, record.train_seconds, record.gradient_norm)
