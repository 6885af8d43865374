"""The critical batch size: the largest that trains as well on as many samples, from any moment of training on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from losslab import tables
from losslab.errors import unknown_name
from losslab.plots.figures import Figure
from losslab.ranges.answer import Answer
from losslab.ranges.charts import branch_figure
from losslab.ranges.curves import Array, finite_or_none
from losslab.ranges.trace import Setting
from losslab.text import cell

SCALINGS = {"linear": 1.0, "sqrt": 0.5}
"""Rule -> the power of the batch size with which the learning rate grows."""


@dataclass(frozen=True)
class BranchCurve:
    """One entry for each batch size; losses are medians and bands over seeds, None where training diverged.

    Attributes:
        batch_size: samples of a step.
        lr: learning rate of the first group.
        samples: samples trained on, by each seed.
        loss: after training, on the same batches for every size.
        loss_low: lowest of the seeds.
        loss_high: highest of the seeds.
        excess: how much higher it is than that of the smallest size, the median over seeds.
    """

    batch_size: list[int]
    lr: list[float]
    samples: list[int]
    loss: list[float | None]
    loss_low: list[float | None]
    loss_high: list[float | None]
    excess: list[float | None]


@dataclass(frozen=True, repr=False)
class CriticalBatch(Answer):
    """The largest batch size whose loss after as many samples stays within a tolerance of the smallest's.

    Attributes:
        found: whether there is one; without it `critical_size` and `band` are None.
        reason: why there is none, or what to know of it.
        critical_size: by the median over seeds.
        band: the smallest and the largest that the seeds have, each by itself.
        tolerance: part of the smallest size's loss by which another's may be higher.
        scaling: rule by which the learning rate grows with the size: ``linear`` or ``sqrt``.
        noise_scale: gradient noise scale of the weights from which the sizes branch, in samples.
        curve: loss and learning rate by batch size.
        setting: how it was tested; its steps are those of the smallest size.
    """

    found: bool
    reason: str
    critical_size: int | None
    band: tuple[int, int] | None
    tolerance: float
    scaling: str
    noise_scale: float | None
    curve: BranchCurve
    setting: Setting | None = None

    @property
    def values(self) -> str:
        """The size, its band, how it was judged, and the noise scale."""
        if self.band is None:
            return ""
        low, high = self.band
        return (
            f"critical batch size {self.critical_size}, of the seeds {low} to {high}; tolerance "
            f"{self.tolerance:.1%}, lr scaled by {self.scaling}; noise scale {cell(self.noise_scale)}"
        )

    def figure(self, title: str = "") -> Figure:
        """Loss after equal samples against batch size, the band over seeds and the critical size."""
        return branch_figure("critical-batch", title or "Critical batch size", self)

    def to_pandas(self) -> Any:
        """The curve as a pandas DataFrame; needs pandas."""
        return tables.frame(asdict(self.curve))


def scaled_rates(lr: float, sizes: Sequence[int], scaling: str) -> list[float]:
    """The learning rate of each size, where the smallest has the given one.

    Raises:
        ValueError: unknown rule.
    Example:
        >>> scaled_rates(0.1, [16, 64], "sqrt")
        [0.1, 0.2]
    """
    if scaling not in SCALINGS:
        raise ValueError(unknown_name("scaling", scaling, SCALINGS))
    return [lr * (size / sizes[0]) ** SCALINGS[scaling] for size in sizes]


def critical_batch(
    losses: Sequence[Sequence[float]],
    *,
    sizes: Sequence[int],
    lrs: Sequence[float],
    samples: Sequence[int],
    tolerance: float,
    scaling: str,
    noise_scale: float | None,
    setting: Setting | None = None,
) -> CriticalBatch:
    """Read the critical size off the losses that branches came to.

    Args:
        losses: for each size those of its seeds; infinite where training diverged.
        sizes: increasing batch sizes.
        lrs: learning rate of each size.
        samples: that each size was trained on.
        tolerance: part of the smallest size's loss by which another's may be higher.
        scaling: rule by which the rates were scaled.
        noise_scale: of the weights from which the sizes branch.
        setting: how it was tested, to be stated with the answer.
    Reference:
        Merrill et al. 2025, arXiv:2505.23971, section 3: branched training.
    """
    table = np.array(losses, dtype=np.float64)
    table[~np.isfinite(table)] = np.inf
    has_start = bool(np.isfinite(table[0]).all())
    # A seed is compared with itself: what it adds to all its losses says nothing of the size.
    excess = table - table[0] if has_start else np.full_like(table, np.nan)
    critical, band = None, None
    reason = f"training diverges at the smallest batch size, {sizes[0]}; try a smaller lr"
    if has_start:
        limit = tolerance * abs(float(np.median(table[0])))
        last = _last_within(np.median(excess, axis=1), limit)
        critical, reason = sizes[last], _open_end(last, sizes)
        of_seeds = [_last_within(of_seed, limit) for of_seed in excess.T]
        band = sizes[min(of_seeds)], sizes[max(of_seeds)]
    return CriticalBatch(
        found=has_start,
        reason=reason if has_start else f"no critical size found, because {reason}",
        critical_size=critical,
        band=band,
        tolerance=tolerance,
        scaling=scaling,
        noise_scale=noise_scale,
        curve=BranchCurve(
            batch_size=list(sizes),
            lr=list(lrs),
            samples=list(samples),
            loss=finite_or_none(np.median(table, axis=1)),
            loss_low=finite_or_none(table.min(axis=1)),
            loss_high=finite_or_none(table.max(axis=1)),
            excess=finite_or_none(np.median(excess, axis=1)),
        ),
        setting=setting,
    )


def batch_warmup(found: Mapping[float, CriticalBatch]) -> dict[str, Any]:
    """A batch-size policy that takes the critical size of each checkpoint from its epoch on.

    It never shrinks the batch: where a later checkpoint has a smaller critical size, the larger one stays.

    Args:
        found: epoch of a checkpoint -> what was found there; the first counts from the start of training.
    Returns:
        A table for the ``batch`` of a run, of :func:`losslab.lay_out` and of the adapters.
    Raises:
        ValueError: when nothing was found at one of them.
    """
    epochs = sorted(found)
    sizes = []
    for epoch in epochs:
        size = found[epoch].critical_size
        if size is None:
            raise ValueError(f"`found[{epoch}]` has no critical size: {found[epoch].reason}")
        sizes.append(size)
    if not sizes:
        raise ValueError("`found` is empty: give an epoch and what find_batch found there")
    growing = list(accumulate(sizes, max))
    if len(growing) == 1:
        return {"name": "constant", "value": growing[0]}
    return {"name": "piecewise", "values": growing, "epochs": epochs[1:]}


def _last_within(excess: Array, limit: float) -> int:
    """The index of the last size before the first one whose loss is too high."""
    # Written so that NaN counts as too high.
    is_above = ~(excess <= limit)
    return int(np.argmax(is_above)) - 1 if is_above.any() else len(excess) - 1


def _open_end(last: int, sizes: Sequence[int]) -> str:
    if last == len(sizes) - 1:
        return "the largest size is within the tolerance: the critical size may be larger, try larger sizes"
    if last == 0:
        return "the second size is above the tolerance already: the critical size may be smaller, try smaller sizes"
    return ""
