"""Records, which a training run yields and a run folder keeps: a row each, plain JSON, no torch."""

from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from math import isfinite
from typing import Any, ClassVar

REPEATED = ("lr", "batch_size")
"""Lists of a row of steps that a packed study writes as one number where all entries are equal."""
TIMES = frozenset({"train_seconds", "train_processor_seconds", "eval_seconds"})
"""Fields that measure time; all others are the same bits whenever the same run is repeated."""


@dataclass(frozen=True)
class Start:
    """Sizes of the run's model and data, known before its first step."""

    kind: ClassVar[str] = "start"
    parameters: int
    weights_sha256: str
    training_images: int
    validation_images: int
    test_images: int
    total_steps: int


@dataclass(frozen=True)
class Steps:
    """Consecutive optimizer steps, a list entry each.

    `batch_size` counts distinct images. With M copies of each, `loss` is the mean cross-entropy over all M times
    `batch_size` images, without any penalty, before the update; `correct` is how many of the same forward pass were
    classified correctly, divided by M, so that `correct / batch_size` is the accuracy whatever M is; it is empty where
    the task has no accuracy of images. `gradient_norm` is that of the last of these steps, over all weights, before it
    is clipped. In a packed study `count` says how many steps each entry is the mean over; None where it is one.
    """

    kind: ClassVar[str] = "steps"
    first_step: int
    lr: list[float]
    batch_size: list[int]
    loss: list[float]
    correct: list[float]
    train_seconds: float
    train_processor_seconds: float | None = None
    gradient_norm: float | None = None
    count: list[int] | None = None

    def indices(self) -> list[int]:
        """The index of each entry's first step."""
        counts = self.count or [1] * len(self.loss)
        return list(accumulate(counts[:-1], initial=self.first_step))

    @property
    def end(self) -> int:
        """The index after its last step."""
        return self.first_step + (sum(self.count) if self.count else len(self.loss))


@dataclass(frozen=True)
class Evaluation:
    """The state after `step` optimizer steps.

    `train_loss` and `train_accuracy` are means over the images trained on since the evaluation before, in training
    mode (dropout active, weights moving), without penalty. `penalty` is weight_decay/2 times the squared norm of the
    decayed weights now: `train_loss + penalty` is the regularised loss. `fit_loss` and `fit_accuracy` are measured
    in evaluation mode on a fixed sample of the training images, never augmented. `samples` counts the images seen,
    M copies of one in a step as one. Validation values are None without a validation set. `train_processor_seconds` is
    the processor time of all threads of the process within `train_seconds`, which other work on the machine does not
    stretch; None where the arithmetic is not the processor's, and in records of before it was measured. Accuracies are
    None where the task has none. `metrics` holds all other metrics by part and name, such as `validation_mae`, and
    what the average of the weights scored, such as `averaged_validation_loss`; None where there are none.
    """

    kind: ClassVar[str] = "evaluation"
    step: int
    epoch: float
    samples: int
    train_loss: float
    train_accuracy: float | None
    penalty: float
    fit_loss: float
    fit_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    train_seconds: float
    eval_seconds: float
    train_processor_seconds: float | None = None
    metrics: dict[str, float | None] | None = None


@dataclass(frozen=True)
class Final:
    """The end of a run; the test set is read here and nowhere else."""

    kind: ClassVar[str] = "final"
    step: int
    weights_sha256: str
    test_loss: float | None
    test_accuracy: float | None
    train_seconds: float
    eval_seconds: float
    train_processor_seconds: float | None = None
    metrics: dict[str, float | None] | None = None


Record = Start | Steps | Evaluation | Final


def _field_names(kind: type[Record]) -> set[str]:
    return {field.name for field in fields(kind)}


_KINDS: dict[str, type[Record]] = {
    kind.kind: kind for kind in (Start, Steps, Evaluation, Final)
}
_FIELDS = {kind: _field_names(kind) for kind in _KINDS.values()}
_ADDED_LATER = {"train_processor_seconds", "gradient_norm", "count", "metrics"}
"""Fields that rows of earlier versions lack, and rows in which they are None."""


def to_row(record: Record) -> dict[str, Any]:
    """Turn a record into a JSON object; numbers that are not finite become null.

    Example:
        >>> to_row(Steps(0, [0.1], [2], [float("nan")], [1], 0.5))["loss"]
        [None]
    """
    values = {key: _strict(value) for key, value in asdict(record).items()}
    return {"kind": record.kind} | {
        key: value for key, value in values.items() if _is_written(key, value)
    }


def from_row(row: Any) -> Record:
    """Read the record of a JSON object; a null loss is NaN, one number in the place of a list counts for all entries.

    Raises:
        ValueError: when the row is of no known kind or lacks a field.
    """
    if not isinstance(row, dict):
        raise ValueError(f"not a record: {str(row)[:80]}")
    kind = _KINDS.get(row.get("kind", ""))
    # Rows of versions before a field lack it; one of a later version has a field that this one would lose.
    if (
        kind is None
        or not _FIELDS[kind] - _ADDED_LATER <= row.keys() - {"kind"} <= _FIELDS[kind]
    ):
        raise ValueError(f"not a record: {str(row)[:80]}")
    values = {key: value for key, value in row.items() if key != "kind"}
    # Strict JSON has no NaN: a run that diverged ends with a loss of null.
    if kind is Steps:
        values["loss"] = [float("nan") if loss is None else loss for loss in values["loss"]]
        for name in REPEATED:
            if not isinstance(values[name], list):
                values[name] = [values[name]] * len(values["loss"])
    return kind(**values)


def metrics_of(record: Evaluation | Final, part: str) -> dict[str, float | None]:
    """The metrics of a part, such as ``validation``: name -> value, accuracy first.

    Example:
        >>> metrics_of(Final(2, "cd", 1.0, None, 0.25, 0.2, metrics={"test_mae": 0.5}), "test")
        {'mae': 0.5}
    """
    accuracy = getattr(record, f"{part}_accuracy", None)
    found: dict[str, float | None] = {} if accuracy is None else {"accuracy": accuracy}
    prefix = f"{part}_"
    for name, value in (record.metrics or {}).items():
        if name.startswith(prefix):
            found[name.removeprefix(prefix)] = value
    return found


def deterministic(record: Record) -> dict[str, Any]:
    """The row without its times: equal to the bit whenever the run is repeated."""
    return {key: value for key, value in to_row(record).items() if key not in TIMES}


def is_finite(record: Record) -> bool:
    """Whether every number of the record is finite; one that is not ends its run."""
    for value in asdict(record).values():
        # `metrics`, a table, is passed over: a metric may be infinite, such as a perplexity, in a run that goes on.
        numbers = value if isinstance(value, list) else [value]
        if not all(isfinite(number) for number in numbers if isinstance(number, int | float)):
            return False
    return True


def _is_written(key: str, value: Any) -> bool:
    # Rows without these fields are byte for byte those of the versions before them.
    return value is not None or key not in _ADDED_LATER


def _strict(value: Any) -> Any:
    if isinstance(value, list):
        return [_strict(item) for item in value]
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value
