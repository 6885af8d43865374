"""Question 5: the batch-size range, and what the cost of the sizes says of it."""

from dataclasses import dataclass

from losslab.analysis.clocks import Clock
from losslab.ranges import BatchRange
from losslab.studies.learning_rate_and_batch_size.learning_rates import remark
from losslab.text import duration, measured, number


@dataclass(frozen=True)
class RangeFindings:
    """The batch-size range.

    Attributes:
        limits: b_min and b_max, or why there are none.
        answer: likewise, with what the cost of the sizes says of them.
        cost: what the loss that all sizes reached took; empty where nothing is known of it.
        meaning: why the limits are where they are; empty where there are none.
        rule: how the limits are read; empty before two sizes have ended.
        lacks_noise: whether the noise scale of the gradient was not measured.
    """

    limits: str
    answer: str
    cost: str
    meaning: str
    rule: str
    lacks_noise: bool


def range_findings(found: BatchRange | None, absent: str, clock: Clock) -> RangeFindings:
    """Put the batch-size range in sentences.

    Args:
        found: None before two sizes have ended.
        absent: why there is none then.
        clock: what the costs of the range are computed from.
    """
    if found is None:
        limits = f"There is no batch-size range. {absent}"
        return RangeFindings(limits, limits, "", "", "", lacks_noise=False)
    limits, costs = _limits(found), _costs(found, clock)
    return RangeFindings(
        limits=limits,
        answer=" ".join([limits, *costs]),
        cost=" ".join(costs),
        meaning=_meaning(found),
        rule=found.rule,
        lacks_noise=found.noise_scale is None,
    )


def is_within(size: int, found: BatchRange) -> bool:
    """Whether a batch size lies in the range; none does where there is no range."""
    if found.b_min is None or found.b_max is None:
        return False
    return found.b_min <= size <= found.b_max


def _limits(found: BatchRange) -> str:
    if not found.found:
        return f"{found.reason[0].upper()}{found.reason[1:]}."
    return f"b_min = {found.b_min} and b_max = {found.b_max}{remark(found.reason)}."


def _meaning(found: BatchRange) -> str:
    """Say what the limits mean; nothing of one that is an end of the sizes tried, beyond which nothing is known."""
    sizes = found.curve.batch_size
    sentences = []
    if found.found and found.b_min != sizes[0]:
        sentences.append("Below b_min a larger batch has hardly begun to help.")
    if found.found and found.b_max != sizes[-1]:
        sentences.append("From b_max on a larger one gains little.")
    return " ".join(sentences)


def _costs(found: BatchRange, clock: Clock) -> list[str]:
    """Say what the loss that all sizes reached took, and the noise of the gradient, as far as they are known."""
    sentences = []
    timed = []
    for size, evidence in zip(found.curve.batch_size, found.curve.evidence, strict=True):
        if evidence.seconds_to_target is not None:
            timed.append((evidence.seconds_to_target, size))
    if timed:
        # The range is read from losses after equal steps. Time is another question, so that its answer may lie outside.
        seconds, size = min(timed)
        side = ""
        if found.found:
            side = f", which lies {'within' if is_within(size, found) else 'outside'} the range"
        sentences.append(
            f"The loss that all sizes reached, {measured(found.target_loss)}, took the least {clock.name} with batch "
            f"size {size}: {duration(seconds)}{side}."
        )
    if found.noise_scale is not None:
        scale = number(found.noise_scale, 3)
        sentences.append(f"The gradient's noise scale after training is {scale} images.")
    return sentences
