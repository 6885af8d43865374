"""Metrics: sums that add up over parts of a batch, batches and processes, and the number that they amount to.

torchmetrics has all of these, as modules that hold their own state on a device; here a step hands its sums to the
records, which add them up whatever the parts were, so that they are functions of a few lines.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf
from typing import Any

import torch

from losslab.choice import Choice, check_options, import_attribute
from losslab.errors import InvalidInput
from losslab.tasks import METRICS
from losslab.tasks.losses import IGNORED, NOTHING_COUNTS, as_indices, like_targets, samples_in

ROUNDING = 1e-12
"""Of the sum of squares: less is no variance but the rounding of one."""
Sums = Sequence[float]


@dataclass(frozen=True)
class Metric:
    """A measure of how good outputs are.

    Attributes:
        name: as records and reports have it.
        highest: whether a higher value is better.
        sums: (outputs, targets) -> float64 tensor of fixed length that adds up over samples; None where the metric is a
            function of the mean loss.
        value: of the added sums, or of the mean loss.
    """

    name: str
    highest: bool
    sums: Callable[[Any, Any], torch.Tensor] | None
    value: Callable[[Any], float]


def add_sums(total: dict[str, list[float]], more: Mapping[str, Sequence[float]]) -> None:
    """Add sums of metrics, such as those of a step, to those so far."""
    for name, values in more.items():
        before = total.get(name, [0.0] * len(values))
        total[name] = [so_far + value for so_far, value in zip(before, values, strict=True)]


def build_metric(choice: Choice) -> Metric:
    """Build the metric that a choice names.

    A function of the user's is ``(outputs, targets) -> mean over the samples``; the option `direction`, or its
    attribute of that name, says whether ``lower`` or ``higher`` is better.

    Raises:
        InvalidInput: an unknown module, attribute or option, or a direction that is missing.
    """
    if choice.name not in METRICS:
        return _own_metric(choice)
    factory = import_attribute(f"metric '{choice.name}'", METRICS[choice.name])
    try:
        check_options("metric", choice.name, factory, choice.options)
        metric: Metric = factory(**choice.options)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"metric '{choice.name}': {error}") from error
    return metric


def accuracy() -> Metric:
    """Fraction of targets whose class has the highest output; outputs are (sample, class, ...)."""

    def sums(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        targets = _classes_of(outputs, targets)
        counted = targets != IGNORED
        correct = (outputs.argmax(1) == targets) & counted
        return _float64(correct.sum(), counted.sum())

    return Metric("accuracy", True, sums, _ratio)


def top_k(k: int = 5) -> Metric:
    """Fraction of targets whose class is among the ``k`` highest outputs; 1 <= k."""
    if k < 1:
        raise ValueError(f"`k` (={k}) must be at least 1")

    def sums(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        targets = _classes_of(outputs, targets)
        counted = targets != IGNORED
        best = outputs.topk(min(k, outputs.shape[1]), dim=1).indices
        correct = (best == targets.unsqueeze(1)).any(1) & counted
        return _float64(correct.sum(), counted.sum())

    return Metric(f"top_{k}", True, sums, _ratio)


def label_accuracy() -> Metric:
    """Fraction of yes-or-no labels that are right, an output above 0 being a yes."""

    def sums(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        correct = (like_targets(outputs, targets) > 0) == (targets > 0.5)
        return _float64(correct.sum(), correct.new_full((), correct.numel(), dtype=torch.int64))

    return Metric("label_accuracy", True, sums, _ratio)


def mae() -> Metric:
    """Mean absolute error, in the units of the targets."""

    def sums(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        errors = (like_targets(outputs, targets) - targets).abs().double()
        return _float64(errors.sum(), errors.new_full((), errors.numel()))

    return Metric("mae", False, sums, _ratio)


def r2() -> Metric:
    """1 minus the squared error over the variance of the targets, the mean over columns of targets."""

    def sums(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        truth = (
            targets.double().flatten(1) if targets.ndim > 1 else targets.double().unsqueeze(1)
        )
        errors = like_targets(outputs, targets).double().reshape(truth.shape) - truth
        # By column: count, sum, sum of squares, squared error, of which any division of the samples adds up alike.
        rows = torch.full_like(truth[0], len(truth))
        return torch.cat([rows, truth.sum(0), truth.square().sum(0), errors.square().sum(0)])

    return Metric("r2", True, sums, _r2)


def f1() -> Metric:
    """Mean of the harmonic mean of precision and recall over the classes that outputs or targets name.

    Outputs are logits (sample, class, ...); targets class indices (sample, ...), or yes-or-no labels of the outputs'
    shape.
    """

    def sums(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if targets.shape == outputs.shape:
            # One label a sample may come without an axis for it.
            outputs, targets = (
                values.reshape(len(values), -1) for values in (outputs, targets)
            )
            named, true = outputs > 0, targets > 0.5
        else:
            indices = _classes_of(outputs, targets).reshape(-1, 1)
            classes = torch.arange(outputs.shape[1], device=outputs.device)
            named = (outputs.argmax(1).reshape(-1, 1) == classes) & (indices != IGNORED)
            true = indices == classes
        return torch.cat([(named & true).sum(0), named.sum(0), true.sum(0)]).double()

    return Metric("f1", True, sums, _f1)


def perplexity() -> Metric:
    """e to the mean loss: the number of equally likely tokens among which the model is unsure."""
    return Metric("perplexity", False, None, _exp)


def _exp(loss: float) -> float:
    return exp(loss) if loss < 700 else inf  # math.exp raises beyond


def _own_metric(choice: Choice) -> Metric:
    function = import_attribute(f"metric '{choice.name}'", choice.name)
    options = dict(choice.options)
    direction = options.pop("direction", getattr(function, "direction", None))
    if direction not in ("lower", "higher"):
        raise InvalidInput(
            f"metric '{choice.name}': `direction` (={direction}) must be 'lower' or 'higher'; write "
            f"\"{choice.name}(direction='lower')\""
        )

    def sums(outputs: Any, targets: Any) -> torch.Tensor:
        # The function gives a mean; times its samples it is a sum, which adds up over batches of unequal size.
        samples = samples_in(targets)
        mean = torch.as_tensor(function(outputs, targets, **options)).double()
        return torch.stack([mean * samples, torch.full_like(mean, samples)])

    name = choice.name.rpartition(":")[2]
    return Metric(name, direction == "higher", sums, _ratio)


def _classes_of(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Targets as class indices; of probabilities the likeliest.

    Raises:
        ValueError: when the outputs are of a single class, which would always be right.
    """
    if outputs.ndim < 2 or outputs.shape[1] < 2:
        raise ValueError("the outputs are of a single class, or of none")
    is_probability = targets.is_floating_point() and targets.shape == outputs.shape
    return targets.argmax(1) if is_probability else as_indices(targets)


def _ratio(sums: Sums) -> float:
    if not sums[1]:
        raise InvalidInput(NOTHING_COUNTS)
    return sums[0] / sums[1]


def _r2(sums: Sums) -> float:
    columns = len(sums) // 4
    values = []
    for column in range(columns):
        rows, total, squares, errors = sums[column::columns]
        variance = squares - total * total / rows
        # Targets that do not vary leave nothing to explain: right is 1, wrong is 0, as scikit-learn has it.
        varies = variance > ROUNDING * squares
        values.append(1 - errors / variance if varies else float(errors == 0))
    return sum(values) / columns


def _f1(sums: Sums) -> float:
    classes = len(sums) // 3
    values = []
    for index in range(classes):
        right, named, true = sums[index::classes]
        # A class that neither outputs nor targets name has no precision and no recall, and is left out of the mean.
        if named + true:
            values.append(2 * right / (named + true))
    return sum(values) / len(values) if values else 0.0


def _float64(*numbers: torch.Tensor) -> torch.Tensor:
    return torch.stack([number.double() for number in numbers])


def by_name(metrics: Sequence[Metric]) -> Mapping[str, Metric]:
    """The metrics under their names.

    Raises:
        InvalidInput: when two have one name.
    """
    named = {metric.name: metric for metric in metrics}
    if len(named) < len(metrics):
        raise InvalidInput(
            f"`metrics` has two of one name: {', '.join(metric.name for metric in metrics)}"
        )
    return named
