"""A learning rate for Optuna, drawn within a found range; needs the extra ``optuna``."""

from typing import TYPE_CHECKING

from losslab.ranges.lr import LrRange

if TYPE_CHECKING:
    import optuna


def suggest_lr(trial: "optuna.trial.BaseTrial", found: LrRange, *, name: str = "lr") -> float:
    """Have Optuna suggest a learning rate between ``lr_min`` and ``lr_max`` of a range, on a logarithmic scale.

    A search over the range that a test of a minute found spends no trial where training stands still or diverges.
    ``study.enqueue_trial({"lr": found.suggestion})`` has it begin with the test's own suggestion.

    Args:
        trial: of Optuna.
        found: what ``find_lr``, or the finder of a framework, found.
        name: of the parameter.
    Returns:
        The learning rate.
    Raises:
        ValueError: when no range was found, with the reason why.
    """
    if not found.found or found.lr_min is None or found.lr_max is None:
        raise ValueError(
            f"`found` has no range to suggest from: {found.reason}; give `trial.suggest_float` bounds of your own"
        )
    lr: float = trial.suggest_float(name, found.lr_min, found.lr_max, log=True)
    return lr
