"""A value that changes when a metric stops improving: a learning rate that falls, a batch size that grows."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

from losslab.schedules.checks import check_positive, of_numbers


@dataclass(frozen=True)
class Patience:
    """The rule by which a metric counts as having stopped.

    Attributes:
        mode: ``min`` where a lower metric is better, else ``max``.
        patience: updates in a row without improvement that are waited for; the next one changes the value.
        threshold: by how much a metric must be better than the best to count.
        threshold_mode: ``rel``, a part of the best; ``abs``, in the unit of the metric.
        cooldown: updates after a change in which nothing is counted.
    """

    mode: Literal["min", "max"] = "min"
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: Literal["rel", "abs"] = "rel"
    cooldown: int = 0

    def __post_init__(self) -> None:
        _check_choice("mode", self.mode, ("min", "max"))
        _check_choice("threshold_mode", self.threshold_mode, ("rel", "abs"))
        for name, least in {
            "patience": self.patience,
            "threshold": self.threshold,
            "cooldown": self.cooldown,
        }.items():
            if least < 0:
                raise ValueError(f"`{name}` (={least}) must not be negative")

    def is_better(self, metric: float, best: float) -> bool:
        """Whether a metric is better than the best so far by more than the threshold."""
        # As torch writes it: relative to a best below 0, the threshold asks for less and not for more.
        sign = -1.0 if self.mode == "min" else 1.0
        if self.threshold_mode == "rel":
            return sign * metric > sign * (best * (1.0 + sign * self.threshold))
        return sign * metric > sign * (best + sign * self.threshold)


class Plateau:
    """A value with feedback: ``update(metric)`` returns the one to go on with.

    Its state is plain numbers that JSON keeps exactly; one put back goes on as if nothing had happened.

    Attributes:
        value: the value at hand.
        factor: what it is multiplied by at a plateau.
        limit: the value never passes it.
        rule: when the metric counts as having stopped.
        least_change: the value stays where it would change by this or less.
    """

    def __init__(
        self,
        value: float,
        *,
        factor: float,
        limit: float,
        rule: Patience,
        least_change: float = 0.0,
    ) -> None:
        check_positive(value=value, factor=factor)
        self.value = value
        self.factor = factor
        self.limit = limit
        self.rule = rule
        self.least_change = least_change
        self._best = inf if rule.mode == "min" else -inf
        self._without_improvement = 0
        self._cooldown_left = 0

    def __repr__(self) -> str:
        return f"Plateau(value={self.value:g}, factor={self.factor:g}, limit={self.limit:g}, rule={self.rule})"

    def update(self, metric: float) -> float:
        """The value to go on with.

        Args:
            metric: of one evaluation; one that is not finite is no improvement.
        """
        self._count(float(metric))
        if self._without_improvement > self.rule.patience:
            self._change()
            self._cooldown_left = self.rule.cooldown
            self._without_improvement = 0
        return self.value

    def state_dict(self) -> dict[str, float]:
        """The state to keep in a checkpoint; `best` is absent before the first metric."""
        state = {
            "value": self.value,
            "without_improvement": self._without_improvement,
            "cooldown_left": self._cooldown_left,
        }
        # Infinite before the first metric, which JSON cannot say.
        if isfinite(self._best):
            state["best"] = self._best
        return state

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from a state of a plateau that was built alike."""
        self.value = state["value"]
        self._without_improvement = int(state["without_improvement"])
        self._cooldown_left = int(state["cooldown_left"])
        self._best = state.get("best", inf if self.rule.mode == "min" else -inf)

    def _count(self, metric: float) -> None:
        if isfinite(metric) and self.rule.is_better(metric, self._best):
            self._best = metric
            self._without_improvement = 0
        else:
            self._without_improvement += 1
        if self._cooldown_left > 0:
            self._cooldown_left -= 1
            self._without_improvement = 0

    def _change(self) -> None:
        # A falling value is bounded from below, a growing one from above.
        bound = max if self.factor < 1 else min
        value = bound(self.value * self.factor, self.limit)
        if abs(value - self.value) > self.least_change:
            self.value = value


@of_numbers
def reduce_on_plateau(
    lr: float,
    *,
    factor: float = 0.1,
    min_lr: float = 0.0,
    mode: Literal["min", "max"] = "min",
    patience: int = 10,
    threshold: float = 1e-4,
    threshold_mode: Literal["rel", "abs"] = "rel",
    cooldown: int = 0,
    eps: float = 1e-8,
) -> Plateau:
    """A learning rate that falls by ``factor`` when the metric stops improving.

    Args:
        lr: the first learning rate.
        factor: below 1.
        min_lr: the lowest learning rate.
        mode: ``min`` for a loss, ``max`` for an accuracy.
        patience: updates without improvement that are waited for.
        threshold: least improvement that counts.
        threshold_mode: ``rel`` to the best, or ``abs``.
        cooldown: updates after a fall in which nothing is counted.
        eps: the rate stays where it would fall by this or less.
    Raises:
        ValueError: when a value is out of its bounds.
    Example:
        >>> plateau = reduce_on_plateau(1.0, patience=1)
        >>> [plateau.update(loss) for loss in (5, 4, 4, 4, 4)]
        [1.0, 1.0, 1.0, 0.1, 0.1]

    Reference:
        torch's ReduceLROnPlateau has the same values.
    """
    if not factor < 1:
        raise ValueError(f"`factor` (={factor}) must be below 1: the learning rate is to fall")
    rule = Patience(mode, patience, threshold, threshold_mode, cooldown)
    return Plateau(lr, factor=factor, limit=min_lr, rule=rule, least_change=eps)


@of_numbers
def grow_on_plateau(
    batch_size: int,
    *,
    max_batch_size: int,
    factor: float = 2.0,
    mode: Literal["min", "max"] = "min",
    patience: int = 10,
    threshold: float = 1e-4,
    threshold_mode: Literal["rel", "abs"] = "rel",
    cooldown: int = 0,
) -> Plateau:
    """A batch size that grows by ``factor`` when the metric stops improving: the noise falls as under a falling lr.

    The value is not rounded, so that a factor such as 1.5 does not lose its fractions; ``round`` it to use it.

    Args:
        batch_size: the first batch size.
        max_batch_size: the largest.
        factor: above 1.
        mode: ``min`` for a loss, ``max`` for an accuracy.
        patience: updates without improvement that are waited for.
        threshold: least improvement that counts.
        threshold_mode: ``rel`` to the best, or ``abs``.
        cooldown: updates after a growth in which nothing is counted.
    Raises:
        ValueError: when a value is out of its bounds.
    Example:
        >>> plateau = grow_on_plateau(64, max_batch_size=200, patience=0)
        >>> [round(plateau.update(loss)) for loss in (5, 5, 5, 4)]
        [64, 128, 200, 200]

    Reference:
        Smith et al. 2017, arXiv:1711.00489; IncreaseBSOnPlateau of bs-scheduler, which rounds at each growth.
    """
    if not factor > 1:
        raise ValueError(f"`factor` (={factor}) must exceed 1: the batch size is to grow")
    rule = Patience(mode, patience, threshold, threshold_mode, cooldown)
    return Plateau(batch_size, factor=factor, limit=max_batch_size, rule=rule)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"`{name}` (={value!r}) must be one of {', '.join(choices)}")
