"""Question 4: how the loss depends on the batch size, and whether as on the learning rate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from losslab.analysis.clocks import Clock
from losslab.analysis.runs import ended_of
from losslab.analysis.sentences import why_absent
from losslab.ranges import BatchRange, Evidence
from losslab.studies.learning_rate_and_batch_size.batch_range import (
    RangeFindings,
    is_within,
    range_findings,
)
from losslab.studies.learning_rate_and_batch_size.curve_shape import (
    Shape,
    batch_shape,
    lr_shape,
)
from losslab.studies.learning_rate_and_batch_size.learning_rates import LrFindings
from losslab.studies.learning_rate_and_batch_size.times import by_clock, clock_of, clock_remark
from losslab.study.findings import batch_range_of, conclusive
from losslab.study.results import RunResult, StudyResults
from losslab.tables import Table
from losslab.text import count, measured, names, number

SHAPES: dict[Shape, str] = {
    "flat": "does not fall by more than its noise",
    "falling": "falls and stays low",
    "valley": "falls, then rises again or diverges",
}
UNKNOWN_SHAPE = (
    "Whether it behaves like loss against learning rate cannot be told before both are known."
)


@dataclass(frozen=True)
class BatchFindings:
    """How the loss depends on the batch size, and the range that follows.

    Attributes:
        answer: how the loss behaves over batch sizes, and whether it does so over learning rates.
        found: the range; None before two sizes have ended.
        conditions: what all sizes share; empty before two have ended.
        table: loss and costs by size; None before two have ended.
        note: how to read the table.
        lr_reading: which test the shape over learning rates is read from.
        range: question 5.
    """

    answer: str
    found: BatchRange | None
    conditions: str
    table: Table | None
    note: str
    lr_reading: str
    range: RangeFindings


def batch_findings(results: StudyResults, lr: LrFindings) -> BatchFindings:
    """Find the batch-size range, and the loss over batch sizes beside that over learning rates."""
    runs = results.stages.get("batch-sizes", ())
    clock = clock_of(results)
    found = batch_range_of([by_clock(result, clock) for result in runs])
    absent = why_absent(results, "batch-sizes")
    behaviour = f"Loss against batch size is not known. {absent}"
    alike = _alike(found, lr, results)
    read = range_findings(found, absent, clock)
    ended, planned = ended_of(results, "batch-sizes")
    if found:
        behaviour = " ".join([_loss_by_size(found), *_diverged_sizes(found)])
    if found and ended < planned:
        so_far = (
            f"Of {planned} sizes {ended} have ended so far, and the others may change this."
        )
        behaviour, alike = f"{so_far} {behaviour}", UNKNOWN_SHAPE
        read = replace(read, limits=f"{so_far} {read.limits}", answer=f"{so_far} {read.answer}")
    return BatchFindings(
        answer=f"{behaviour} {alike}",
        found=found,
        conditions=_conditions(found, runs) if found else "",
        table=_table(found) if found else None,
        note=_note(found, runs, clock) if found else "",
        lr_reading="ten separate runs" if lr.grid else "ramp",
        range=read,
    )


def _loss_by_size(found: BatchRange) -> str:
    sizes, losses = found.curve.batch_size, found.curve.loss
    ended = [(loss, index) for index, loss in enumerate(losses) if loss is not None]
    if not ended:
        return "Training diverged at every batch size."
    lowest, best = min(ended)  # of equal losses that of the smaller size
    if losses[0] is None:
        return (
            f"Training diverged at the smallest batch size already; the lowest loss, {measured(lowest)}, is that of "
            f"batch size {sizes[best]}."
        )
    smallest = f"is {measured(losses[0])} with batch size {sizes[0]}"
    least = "lowest there" if best == 0 else f"lowest with {sizes[best]}: {measured(lowest)}"
    largest = ""
    if best < len(sizes) - 1 and losses[-1] is not None:
        largest = f"; with the largest, {sizes[-1]}, it is {measured(losses[-1])}"
    return f"At the same number of steps the training loss {smallest} and {least}{largest}."


def _diverged_sizes(found: BatchRange) -> list[str]:
    curve = found.curve
    lost = [
        str(size)
        for size, loss in zip(curve.batch_size, curve.loss, strict=True)
        if loss is None
    ]
    return [f"Training diverged with {names(lost)}."] if lost else []


def _alike(found: BatchRange | None, lr: LrFindings, results: StudyResults) -> str:
    """Say whether loss has one shape over learning rates and over batch sizes."""
    if found is None:
        return UNKNOWN_SHAPE
    # Separate runs, where there are any: a point of theirs is a training, as a batch size is; a ramp's is a moment.
    if lr.grid:
        # As the range has it: a run that failed tells nothing of its rate.
        rates = {result.run.lr for result in conclusive(results.stages["lr-grid"])}
        over_lr = lr_shape(lr.grid, len(rates))
    elif lr.ramp:
        over_lr = lr_shape(lr.ramp, max(map(_steps, results.stages["lr-ramp"])))
    else:
        return UNKNOWN_SHAPE
    over_batch = batch_shape(found)
    verdict = "behave alike" if over_lr == over_batch else "do not behave alike"
    shapes = f"Loss against learning rate {SHAPES[over_lr]}; loss against batch size {SHAPES[over_batch]}"
    return f"{shapes}: the two {verdict}."


def _steps(result: RunResult) -> int:
    return result.steps[-1].end if result.steps else 0


def _conditions(found: BatchRange, runs: Sequence[RunResult]) -> str:
    hashes = found.weights_sha256
    # The hash of one seed shows that the sizes began alike; with several seeds there is one for each, and none to show.
    weights = f" (sha256 {hashes[0][:12]})" if len(hashes) == 1 else ""
    steps = count(max(result.run.steps or 0 for result in runs), "step")
    return (
        f"Every size started from the same weights{weights} and made {steps} at learning rate {_lr_of(runs[0])}; the "
        "loss is the average of the last tenth of them. Larger batches saw more images in as many steps."
    )


def _lr_of(result: RunResult) -> str:
    lr = result.run.lr
    return number(lr, 3) if isinstance(lr, float) else str(lr)


def _table(found: BatchRange) -> Table:
    curve = found.curve
    rows = zip(curve.batch_size, curve.loss, curve.evidence, strict=True)
    headings = (
        "batch size",
        "loss",
        "images/s",
        "steps to target",
        "images to target",
        "seconds to target",
    )
    return Table(
        label="Batch sizes",
        title=f"Loss and cost by batch size; target: the loss that all sizes reached, {measured(found.target_loss)}",
        headings=(*headings, "noise scale", "forward pass of"),
        rows=tuple(_row(size, loss, evidence) for size, loss, evidence in rows),
        bold=tuple(
            index for index, size in enumerate(curve.batch_size) if is_within(size, found)
        ),
    )


def _row(size: int, loss: float | None, evidence: Evidence) -> tuple[str, ...]:
    return (
        str(size),
        "diverged" if loss is None else measured(loss),
        number(evidence.samples_per_second),
        number(evidence.steps_to_target),
        number(evidence.samples_to_target),
        measured(evidence.seconds_to_target, 3),
        number(evidence.noise_scale, 3),
        str(min(size, evidence.micro_batch or size)),  # None where the batch was not cut
    )


def _note(found: BatchRange, runs: Sequence[RunResult], clock: Clock) -> str:
    seeds = len(found.weights_sha256)
    certainty = f"Medians over {seeds} seeds; the band is from the lowest to the highest."
    if seeds == 1:
        certainty = "One seed (n = 1): how much another would change the curve is not known."
    largest = runs[0].run.max_micro_batch or "the largest"
    sentences = [
        "Sizes within the range of question 5 are bold.",
        f"A batch above {largest} images is accumulated from parts, to the same gradient.",
        certainty,
        clock_remark(clock),
    ]
    return " ".join(filter(None, sentences))
