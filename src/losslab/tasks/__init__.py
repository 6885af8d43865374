"""Tasks: samples to train on, a loss to minimise and metrics to report, each by name or by ``module:factory``.

The names are known here without torch, so that a wrong one is refused in a moment.
"""

from collections.abc import Mapping, Sequence

from losslab.choice import Choice, is_factory
from losslab.errors import unknown_name

LOSSES: dict[str, str] = {
    "bce": "losslab.tasks.losses:BinaryCrossEntropy",
    "causal_lm": "losslab.tasks.losses:CausalLanguageModel",
    "cross_entropy": "losslab.tasks.losses:CrossEntropy",
    "mse": "losslab.tasks.losses:MeanSquaredError",
}
"""Name -> its class; its options are the class's arguments."""

METRICS: dict[str, str] = {
    "accuracy": "losslab.tasks.metrics:accuracy",
    "f1": "losslab.tasks.metrics:f1",
    "label_accuracy": "losslab.tasks.metrics:label_accuracy",
    "mae": "losslab.tasks.metrics:mae",
    "perplexity": "losslab.tasks.metrics:perplexity",
    "r2": "losslab.tasks.metrics:r2",
    "top_k": "losslab.tasks.metrics:top_k",
}
"""Name -> the function that builds it; its options are the function's arguments."""

USUAL_METRICS: Mapping[str, Sequence[str]] = {
    "bce": ("label_accuracy",),
    "causal_lm": ("perplexity",),
    "cross_entropy": ("accuracy",),
    "mse": ("mae",),
}
"""Loss -> what is measured where a run names no metrics; nothing for a loss of the user's own."""


def check_name(kind: str, choice: Choice, known: Mapping[str, str]) -> Choice:
    """The choice itself, once its name is known.

    Raises:
        ValueError: when its name is neither known nor of the form ``module:factory``.
    """
    if choice.name not in known and not is_factory(choice.name):
        raise ValueError(unknown_name(kind, choice.name, known))
    return choice


def usual_metrics(loss: Choice) -> tuple[Choice, ...]:
    """The metrics of a run that names none."""
    return tuple(Choice(name=name) for name in USUAL_METRICS.get(loss.name, ()))
