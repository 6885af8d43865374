"""The learning-rate range: from where the loss begins to fall to where it stops, and one suggestion between."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from losslab.errors import unknown_name
from losslab.plots.charts import lr_figure
from losslab.plots.files import draw
from losslab.ranges import display
from losslab.ranges.curves import Array, NoRange, find_fall
from losslab.ranges.lr_curves import Curve, grid_curve, ramp_curve
from losslab.ranges.lr_rules import RULES, Rule
from losslab.ranges.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT_RULES = {"ramp": "valley", "grid": "minimum"}
"""Mode -> its rule: a grid measures what training at each rate comes to, a ramp only how the loss moves there."""


@dataclass(frozen=True)
class SeedRange:
    """What one seed found."""

    lr_min: float
    lr_max: float
    suggestion: float


@dataclass(frozen=True)
class LrCurve:
    """Medians over the seeds that have not diverged yet, and the band of their smoothed losses."""

    lr: list[float]
    loss: list[float]
    smoothed_loss: list[float]
    accuracy: list[float]
    loss_low: list[float]
    loss_high: list[float]


@dataclass(frozen=True)
class LrRange:
    """The learning rates between which the loss falls.

    Attributes:
        found: whether there is a range; without one all its values are None.
        reason: why there is none, or what to know of it: an end that the test did not reach.
        lr_min: where the loss begins to fall, median over seeds.
        lr_max: where it stops falling, median over seeds.
        suggestion: the learning rate to train with by ``rule``, median over seeds.
        rule: name in :data:`RULES`.
        mode: ``ramp`` or ``grid``.
        spread_decades: from the lowest to the highest suggestion of the seeds; None for a single seed.
        seeds: what each seed found; None for a seed that found nothing.
        curve: loss and accuracy against learning rate.
    """

    found: bool
    reason: str
    lr_min: float | None
    lr_max: float | None
    suggestion: float | None
    rule: str
    mode: str
    spread_decades: float | None
    seeds: list[SeedRange | None]
    curve: LrCurve

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        return asdict(self)

    def to_pandas(self) -> Any:
        """The curve as a pandas DataFrame; needs pandas."""
        return display.frame(asdict(self.curve))

    def plot(self) -> "Figure":
        """Loss against learning rate, the band over seeds and the range, as a matplotlib figure."""
        return draw([lr_figure("lr-range", "Range of learning rates", self)])

    def _repr_html_(self) -> str:
        return display.html({key: value for key, value in self.to_dict().items() if key not in ("curve", "seeds")})


def find_lr_range(
    traces: Sequence[Trace], *, mode: str = "ramp", rule: str | None = None, beta: float | None = None
) -> LrRange:
    """The learning-rate range of a range test.

    Args:
        traces: a ramp for each seed, or trainings at constant rates, any number for each seed.
        mode: ``ramp`` or ``grid``.
        rule: of the suggestion, a name in :data:`RULES`; by default ``valley`` for a ramp, ``minimum`` for a grid.
        beta: of the average along a ramp.
    Raises:
        ValueError: unknown mode or rule.
    """
    rule = check_rule(mode, rule)
    read = [_read_seed(traces_of_seed, mode, RULES[rule], beta) for traces_of_seed in _by_seed(traces)]
    curves = [curve for curve, _, _ in read if curve]
    return _over_seeds([found for _, found, _ in read], [why for _, _, why in read], rule, mode, _median_curve(curves))


def _by_seed(traces: Sequence[Trace]) -> list[list[Trace]]:
    return [[trace for trace in traces if trace.seed == seed] for seed in sorted({trace.seed for trace in traces})]


def _read_seed(
    traces: list[Trace], mode: str, rule: Rule, beta: float | None
) -> tuple[Curve | None, SeedRange | None, str]:
    """The curve of one seed, its range, and why there is none or what to know of it."""
    curve = None
    try:
        curve = grid_curve(traces) if mode == "grid" else ramp_curve(traces[0], beta)
        return curve, *_read(curve, rule)
    except NoRange as none:
        return curve, None, str(none)


def check_ramp(start: float, end: float, steps: int, seeds: int, candidates: int) -> None:
    """Raise ValueError when no range test can be laid out so."""
    if not 0 < start < end < float("inf"):
        raise ValueError(f"`end` (={end}) must exceed `start` (={start}), which must be positive; swap them?")
    if steps < 2 or candidates < 2:
        raise ValueError(
            f"`steps` (={steps}) and `candidates` (={candidates}) must be at least 2; 300 and 10 are usual"
        )
    if seeds < 1:
        raise ValueError(f"`seeds` (={seeds}) must be at least 1")


def check_rule(mode: str, rule: str | None) -> str:
    """The rule of a mode, once both are known to exist."""
    if mode not in DEFAULT_RULES:
        raise ValueError(unknown_name("mode", mode, DEFAULT_RULES))
    if rule is not None and rule not in RULES:
        raise ValueError(unknown_name("rule", rule, RULES))
    return rule or DEFAULT_RULES[mode]


def _read(curve: Curve, rule: Rule) -> tuple[SeedRange, str]:
    """The range on one curve, and what to know of it."""
    fall = find_fall(curve.smoothed_loss, curve.error)
    log_lr = np.log10(curve.lr)
    open_ends = {
        "the loss falls from the start: lr_min is where the test started, try a smaller start": fall.begin
        <= curve.width,
        "the loss still falls at the end: lr_max is where the test ended, try a larger end": (
            fall.lowest >= len(log_lr) - 1 - curve.width and not curve.cut
        ),
    }
    ends = SeedRange(
        float(curve.lr[fall.begin]),
        float(curve.lr[fall.lowest]),
        float(10 ** rule(log_lr, curve.smoothed_loss, fall)),
    )
    return ends, "; ".join(text for text, is_so in open_ends.items() if is_so)


def _over_seeds(seeds: list[SeedRange | None], reasons: list[str], rule: str, mode: str, curve: LrCurve) -> LrRange:
    """The median of the seeds, when more than half of them found a range."""
    found = [seed for seed in seeds if seed]
    told = [reason for reason, seed in zip(reasons, seeds, strict=True) if bool(seed) == (2 * len(found) > len(seeds))]
    reason = max(sorted(set(told)), key=told.count, default="nothing was trained")
    if 2 * len(found) <= len(seeds):
        return LrRange(False, f"no range found, because {reason}", None, None, None, rule, mode, None, seeds, curve)
    suggestions = np.log10([seed.suggestion for seed in found])
    lr_min, lr_max = (_middle([getattr(seed, end) for seed in found]) for end in ("lr_min", "lr_max"))
    spread = float(np.ptp(suggestions)) if len(found) > 1 else None
    suggestion = float(10 ** np.median(suggestions))
    return LrRange(True, reason, lr_min, lr_max, suggestion, rule, mode, spread, seeds, curve)


def _middle(values: Sequence[float]) -> float:
    return float(10 ** np.median(np.log10(values)))


def _median_curve(curves: Sequence[Curve]) -> LrCurve:
    longest: Mapping[str, Any] = {"lr": max((curve.lr for curve in curves), key=len, default=np.empty(0))}
    steps = len(longest["lr"])

    def stacked(name: str) -> Array:
        rows = [getattr(curve, name) for curve in curves]
        return np.array([np.pad(row, (0, steps - len(row)), constant_values=np.nan) for row in rows if len(row)])

    def over_seeds(name: str, statistic: Callable[..., Any]) -> list[float]:
        rows = stacked(name)
        return [float(value) for value in statistic(rows, axis=0)] if len(rows) else []

    return LrCurve(
        lr=[float(value) for value in longest["lr"]],
        loss=over_seeds("loss", np.nanmedian),
        smoothed_loss=over_seeds("smoothed_loss", np.nanmedian),
        accuracy=over_seeds("accuracy", np.nanmedian),
        loss_low=over_seeds("smoothed_loss", np.nanmin),
        loss_high=over_seeds("smoothed_loss", np.nanmax),
    )
