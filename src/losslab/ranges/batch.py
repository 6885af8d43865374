"""The batch-size range, found by training and not by memory."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from losslab.plots.charts import batch_figure
from losslab.plots.files import draw
from losslab.ranges import display
from losslab.ranges.batch_algorithm import ALGORITHM, Facts
from losslab.ranges.batch_evidence import Evidence, evidence_of
from losslab.ranges.curves import FALL_SHARE, NoRange
from losslab.ranges.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RULE = f"from {FALL_SHARE:.0%} to {1 - FALL_SHARE:.0%} of the fall of the loss over batch sizes"


@dataclass(frozen=True)
class BatchCurve:
    """One entry for each batch size: median and band over seeds, without what a seed adds to all its losses.

    None stands for a training that diverged.
    """

    batch_size: list[int]
    loss: list[float | None]
    loss_low: list[float | None]
    loss_high: list[float | None]
    evidence: list[Evidence]


@dataclass(frozen=True)
class BatchRange:
    """The batch sizes between which the loss falls when the number of optimizer steps is the same.

    Attributes:
        found: whether there is a range; without one b_min and b_max are None.
        reason: why there is none, or what to know of it.
        b_min: where the loss begins to fall.
        b_max: from where on larger batches buy nothing.
        rule: how they were read.
        noise_scale: gradient noise scale after training at the best size, in samples: second evidence for b_max.
            None when it was not measured or is lost in the noise.
        target_loss: the loss that every size reached, to which the curve's costs refer.
        weights_sha256: hash of the initial weights, one for each seed; every size started from them.
        curve: loss, throughput and costs by batch size.
    """

    found: bool
    reason: str
    b_min: int | None
    b_max: int | None
    rule: str
    noise_scale: float | None
    target_loss: float | None
    weights_sha256: list[str]
    curve: BatchCurve

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values, the evidence as columns of the curve."""
        facts = asdict(self)
        rows = facts["curve"].pop("evidence")
        facts["curve"] |= {key: [row[key] for row in rows] for key in Evidence.__dataclass_fields__}
        return facts

    def to_pandas(self) -> Any:
        """The curve as a pandas DataFrame; needs pandas."""
        return display.frame(self.to_dict()["curve"])

    def plot(self) -> "Figure":
        """Loss against batch size, the band over seeds and the range, as a matplotlib figure."""
        return draw([batch_figure("batch-range", "Range of batch sizes", self)])

    def _repr_html_(self) -> str:
        return display.html({key: value for key, value in self.to_dict().items() if key != "curve"})


def find_batch_range(sizes: Sequence[int], train: Callable[[int], list[Trace]]) -> BatchRange:
    """The batch-size range, by running the steps of :data:`ALGORITHM`.

    Args:
        sizes: increasing batch sizes.
        train: the traces of training at a size, one for each seed, in the same order for every size.
    Raises:
        ValueError: when there are not two increasing sizes, or weights differ between sizes.
    """
    if len(sizes) < 2 or sorted(set(sizes)) != list(sizes):
        raise ValueError(f"`sizes` (={list(sizes)}) must be two or more increasing batch sizes")
    facts: Facts = {"sizes": list(sizes), "train": train}
    reason = ""
    try:
        for step in ALGORITHM:
            facts[step.name] = step.find(facts)
    except NoRange as none:
        reason = f"no range found, because {none}"
    return _finding(facts, reason)


def _finding(facts: Facts, reason: str) -> BatchRange:
    traces = list(facts["traces"].values())
    target, evidence = evidence_of(traces)
    losses = [[trace.closing_loss()[0] for trace in of_size] for of_size in traces]
    if "losses" in facts:
        losses = facts["losses"].tolist()
    medians = [float(np.median(of_size)) for of_size in losses]
    open_end = "fall" in facts and facts["fall"].lowest == len(traces) - 1
    return BatchRange(
        found=not reason,
        reason=reason or ("the loss is lowest at the largest size: larger ones may buy more" if open_end else ""),
        b_min=facts.get("b_min"),
        b_max=facts.get("b_max"),
        rule=RULE,
        noise_scale=evidence[int(np.argmin(medians))].noise_scale,
        target_loss=target,
        weights_sha256=_same_weights(traces),
        curve=BatchCurve(
            batch_size=facts["sizes"],
            loss=[_finite(value) for value in medians],
            loss_low=[_finite(min(of_size)) for of_size in losses],
            loss_high=[_finite(max(of_size)) for of_size in losses],
            evidence=evidence,
        ),
    )


def _same_weights(traces: Sequence[Sequence[Trace]]) -> list[str]:
    first, *others = ([trace.weights_sha256 for trace in of_size] for of_size in traces)
    if any(other != first for other in others):
        raise ValueError("the trainings of different batch sizes did not start from the same weights")
    return first


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
