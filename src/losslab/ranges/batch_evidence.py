"""What else speaks for a batch size: the gradient's noise scale, throughput and the cost of a loss reached."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from losslab.ranges.curves import Array, beta_for, smooth, without_spikes
from losslab.ranges.trace import CLOSING_FRACTION, GradientSquares, Trace


@dataclass(frozen=True)
class Evidence:
    """Of one batch size; None where training diverged or nothing was measured.

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
    measured = [one for one in squares if one is not None]
    if not measured:
        return None
    small, big = (float(np.mean([getattr(one, size) for one in measured])) for size in ("small", "big"))
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
    return target, [_evidence(*pair, target) for pair in zip(traces, courses, strict=True)]


def _course(traces: Sequence[Trace]) -> Array | None:
    """The averaged loss by step, mean over seeds; None when one of them diverged."""
    if not all(np.isfinite(trace.closing_loss()[0]) for trace in traces):
        return None
    losses = np.mean([without_spikes(trace.loss) for trace in traces], axis=0)
    return smooth(losses, beta_for(len(losses), CLOSING_FRACTION))


def _evidence(traces: Sequence[Trace], course: Array | None, target: float | None) -> Evidence:
    speed = float(np.median([sum(trace.samples) / max(trace.train_seconds, 1e-9) for trace in traces]))
    last = noise_scale([trace.gradient_squares for trace in traces]), traces[0].micro_batch
    if course is None or target is None:
        return Evidence(speed, None, None, None, *last)
    steps = int(np.argmax(course <= target)) + 1
    samples = sum(traces[0].samples[:steps])
    return Evidence(speed, steps, samples, samples / speed, *last)
