"""The batch-size range, found by training and not by memory, and what else speaks for a batch size."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np

from losslab import tables
from losslab.plots.figures import Figure
from losslab.ranges.answer import Answer
from losslab.ranges.charts import batch_figure
from losslab.ranges.curves import (
    FALL_SHARE,
    Array,
    Fall,
    NoRange,
    beta_for,
    find_fall,
    finite_or_none,
    smooth,
    without_spikes,
)
from losslab.ranges.trace import (
    CLOSING_FRACTION,
    GradientSquares,
    Setting,
    Trace,
    closing_losses,
)
from losslab.text import cell

TRY_MORE = "more steps, more seeds or sizes farther apart may show a range"

RULE = f"from {FALL_SHARE:.0%} to {1 - FALL_SHARE:.0%} of the fall of the loss over batch sizes"


@dataclass(frozen=True)
class Evidence:
    """What else was measured at one batch size; None where training diverged or nothing was measured.

    Attributes:
        samples_per_second: throughput of training.
        steps_to_target: optimizer steps until the averaged loss reached the target.
        samples_to_target: samples trained on until then.
        seconds_to_target: training time until then.
        micro_batch: samples of a forward pass at most, where the batch was accumulated.
        noise_scale: of the gradient after training at this size, in samples.
    """

    samples_per_second: float
    steps_to_target: int | None
    samples_to_target: int | None
    seconds_to_target: float | None
    noise_scale: float | None
    micro_batch: int | None


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


@dataclass(frozen=True, repr=False)
class BatchRange(Answer):
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
        setting: how it was tested; None where it was read from the records of runs, whose specs say it.
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
    setting: Setting | None = None

    @property
    def values(self) -> str:
        """Both ends, how they were read, and the noise scale where it was measured."""
        ends = f"b_min {self.b_min}, b_max {self.b_max}: {self.rule}"
        # A study does not measure it, and neither does a test on anything but images.
        return (
            ends
            if self.noise_scale is None
            else f"{ends}; noise scale {cell(self.noise_scale)}"
        )

    def figure(self, title: str = "") -> Figure:
        """Loss against batch size, the band over seeds and the range."""
        return batch_figure("batch-range", title or "Range of batch sizes", self)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values, the evidence as columns of the curve."""
        facts = asdict(self)
        rows = facts["curve"].pop("evidence")
        for name in Evidence.__dataclass_fields__:
            facts["curve"][name] = [row[name] for row in rows]
        return facts

    def to_pandas(self) -> Any:
        """The curve as a pandas DataFrame; needs pandas."""
        return tables.frame(self.to_dict()["curve"])


def find_batch_range(
    sizes: Sequence[int], train: Callable[[int], list[Trace]], *, setting: Setting | None = None
) -> BatchRange:
    """The batch-size range, by the steps of :data:`ALGORITHM`.

    Args:
        sizes: increasing batch sizes.
        train: the traces of training at a size, one for each seed, in the same order for every size.
        setting: how it is tested, to be stated with the answer.
    Raises:
        ValueError: when there are not two increasing sizes, or weights differ between sizes.
    """
    if len(sizes) < 2 or sorted(set(sizes)) != list(sizes):
        raise ValueError(f"`sizes` (={list(sizes)}) must be two or more increasing batch sizes")
    # 1. Train at every size, from the same weights.
    traces = [train(size) for size in sizes]
    weights_sha256 = _same_weights(traces)
    losses = np.array([closing_losses(of_size) for of_size in traces])
    b_min = b_max = None
    reason = ""
    try:
        # 2. Take out of the losses what a seed adds to all of its own; the curve shows these, too.
        losses = _without_seeds(losses, sizes)
        # 3. What is then left of the spread over seeds is noise.
        error = _standard_error(losses, traces)
        # 4. The fall of the median over seeds, where it is deeper than that noise.
        fall = find_fall(np.median(losses, axis=1), error, TRY_MORE)
        # 5. and 6. The sizes at which the fall begins and is done.
        b_min, b_max = sizes[fall.begin], sizes[fall.end]
        reason = _open_ends(fall, sizes)
    except NoRange as none:
        reason = f"no range found, because {none}"
    medians = np.median(losses, axis=1)
    target_loss, evidence = evidence_of(traces)
    return BatchRange(
        found=b_min is not None,
        reason=reason,
        b_min=b_min,
        b_max=b_max,
        rule=RULE,
        noise_scale=evidence[int(np.argmin(medians))].noise_scale,
        target_loss=target_loss,
        weights_sha256=weights_sha256,
        curve=BatchCurve(
            batch_size=list(sizes),
            loss=finite_or_none(medians),
            loss_low=finite_or_none(losses.min(axis=1)),
            loss_high=finite_or_none(losses.max(axis=1)),
            evidence=evidence,
        ),
        setting=setting,
    )


def noise_scale(squares: Sequence[GradientSquares | None]) -> float | None:
    r"""The batch size at which the gradient's noise equals the gradient, in samples.

    .. math:: |G|^2 = \frac{B_b |G_b|^2 - B_s |G_s|^2}{B_b - B_s}, \quad
              S = \frac{|G_s|^2 - |G_b|^2}{1/B_s - 1/B_b}, \quad B_{simple} = S / |G|^2

    Both terms are averaged before they are divided, since a mean of quotients would be biased.

    Args:
        squares: measurements on equal batch sizes; None where there is none.
    Returns:
        None when nothing was measured or the gradient is lost in its noise.
    Example:
        >>> noise_scale([GradientSquares(b_small=1, b_big=100, small=101.0, big=2.0)])
        100.0

    Reference:
        McCandlish et al. 2018, arXiv:1812.06162, appendix A.1.
    """
    measured = [square for square in squares if square is not None]
    if not measured:
        return None
    # Every measurement has the sizes of the first: they are those of one batch size.
    small = float(np.mean([square.small for square in measured]))
    big = float(np.mean([square.big for square in measured]))
    b_small, b_big = measured[0].b_small, measured[0].b_big
    gradient = (b_big * big - b_small * small) / (b_big - b_small)
    noise = (small - big) / (1 / b_small - 1 / b_big)
    return noise / gradient if gradient > 0 and noise >= 0 else None


def evidence_of(traces: Sequence[Sequence[Trace]]) -> tuple[float | None, list[Evidence]]:
    """The loss that every size reached, those that diverged aside, and what it cost each of them.

    Args:
        traces: for each size, those of its seeds.
    """
    courses = [_course(of_size) for of_size in traces]
    target = max((float(course[-1]) for course in courses if course is not None), default=None)
    evidence = [
        _evidence(of_size, course, target)
        for of_size, course in zip(traces, courses, strict=True)
    ]
    return target, evidence


def _same_weights(traces: Sequence[Sequence[Trace]]) -> list[str]:
    """The hashes of the initial weights, one for each seed; a range is never read from sizes that differ in them."""
    first, *others = traces
    hashes = [trace.weights_sha256 for trace in first]
    for of_size in others:
        if [trace.weights_sha256 for trace in of_size] != hashes:
            raise ValueError(
                "the trainings of different batch sizes did not start from the same weights"
            )
    return hashes


def _without_seeds(losses: Array, sizes: Sequence[int]) -> Array:
    """Losses (size, seed) without the part that is the seed's own: equal seeds share their initial weights."""
    finite = np.asarray(np.isfinite(losses).all(axis=1))
    if not finite[0]:
        which = (
            "every batch size" if not finite.any() else f"the smallest batch size, {sizes[0]}"
        )
        raise NoRange(f"training diverges at {which}; try a smaller lr")
    return np.asarray(losses - losses[finite].mean(axis=0) + losses[finite].mean())


def _standard_error(losses: Array, traces: Sequence[Sequence[Trace]]) -> float:
    """The standard error of the loss at one size.

    From what size and seed leave unexplained; from the noise of the steps where all seeds gave the same losses or a
    single size is left.
    """
    finite = losses[np.isfinite(losses).all(axis=1)]
    sizes, seeds = finite.shape
    # Seeds that draw nothing, as from a list of batches, are one training again and again.
    if sizes == 1 or (finite == finite[:, :1]).all():
        endings = [trace.closing_loss() for trace in chain.from_iterable(traces)]
        # One that diverged has no error, and zeros among these would make noise pass for a fall.
        return float(np.median([error for loss, error in endings if np.isfinite(loss)]))
    # What a two-way table leaves when the means of its rows and columns are taken out; their mean went out twice.
    rest = finite - finite.mean(axis=1, keepdims=True) - finite.mean(axis=0) + finite.mean()
    degrees_of_freedom = (sizes - 1) * (seeds - 1)
    return float(np.sqrt((rest**2).sum() / degrees_of_freedom / seeds))


def _open_ends(fall: Fall, sizes: Sequence[int]) -> str:
    """Say which ends of the range are ends of the sizes tried, beyond which it may go on."""
    notes = []
    if fall.begin == 0:
        notes.append(
            "the loss falls from the smallest size on: b_min is where the test started"
        )
    if fall.lowest == len(sizes) - 1:
        notes.append("the loss is lowest at the largest size: larger ones may buy more")
    return "; ".join(notes)


def _course(traces: Sequence[Trace]) -> Array | None:
    """The averaged loss by step, mean over seeds; None when one of them diverged."""
    if not np.isfinite(closing_losses(traces)).all():
        return None
    losses = np.mean([without_spikes(trace.loss) for trace in traces], axis=0)
    return smooth(losses, beta_for(len(losses), CLOSING_FRACTION))


def _evidence(traces: Sequence[Trace], course: Array | None, target: float | None) -> Evidence:
    # A clock that is too coarse for a tiny training reads 0.
    speeds = [sum(trace.samples) / max(trace.train_seconds, 1e-9) for trace in traces]
    speed = float(np.median(speeds))
    steps = samples = seconds = None
    if course is not None and target is not None:
        reached = np.flatnonzero(course <= target)
        steps = int(reached[0]) + 1
        samples = sum(traces[0].samples[:steps])
        seconds = samples / speed
    return Evidence(
        samples_per_second=speed,
        steps_to_target=steps,
        samples_to_target=samples,
        seconds_to_target=seconds,
        noise_scale=noise_scale([trace.gradient_squares for trace in traces]),
        micro_batch=traces[0].micro_batch,
    )
