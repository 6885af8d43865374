"""What ``losslab train`` prints: a line for each record, the curve of the loss, and whether it diverged."""

from collections.abc import Sequence
from itertools import accumulate, chain
from json import dumps
from statistics import fmean

from losslab.cli.progress import scored
from losslab.cli.text_plot import text_plot
from losslab.errors import LosslabError
from losslab.records import Evaluation, Final, Record, Start, Steps, to_row
from losslab.text import count, number

DIVERGING = 4.0
"""A run whose loss ends at so many times that of the untrained network has diverged."""
FIRST_SAMPLES = 32
"""How many samples tell the loss of the untrained network."""


def print_loss(records: Sequence[Record]) -> None:
    """Draw the loss of each batch, where there are two or more."""
    steps = [record for record in records if isinstance(record, Steps)]
    losses = list(chain.from_iterable(record.loss for record in steps))
    index = list(chain.from_iterable(record.indices() for record in steps))
    plot = text_plot(index, losses, names=("optimizer step", "training loss of a batch"))
    if plot:
        print(plot)


def print_record(record: Record, *, json: bool) -> None:
    """Print a record: one line, or one JSON object."""
    if json:
        print(dumps(to_row(record), allow_nan=False), flush=True)
        return
    line = _line(record)
    if line:
        print(line, flush=True)


def untrained_loss(record: Steps) -> float:
    """The loss before training: that of the first batch, or of as many as hold `FIRST_SAMPLES`, since one is noisy.

    Where training diverges at once, of those before.
    """
    seen = list(accumulate(record.batch_size))
    batches = 1 + sum(samples < FIRST_SAMPLES for samples in seen[:-1])
    first, *others = record.loss[:batches]
    return fmean([first, *(loss for loss in others if loss <= DIVERGING * first)])


def check_course(records: Sequence[Record]) -> None:
    """Raise LosslabError when the loss is finite but far above that of the untrained network."""
    steps = [record for record in records if isinstance(record, Steps)]
    evaluations = [record for record in records if isinstance(record, Evaluation)]
    if not steps or not evaluations:
        return
    # A loss that rises and stays finite ends as a run that is done; a user should know nevertheless.
    first, last = untrained_loss(steps[0]), evaluations[-1].train_loss
    if last > DIVERGING * first > 0:
        raise LosslabError(
            f"the training diverges: its loss went from {number(first)} to {number(last)}; "
            "a smaller `lr` is the usual cure"
        )


def _line(record: Record) -> str:
    if isinstance(record, Start):
        return (
            f"{record.parameters:,} parameters; {record.training_images:,} training, "
            f"{record.validation_images:,} validation samples; {count(record.total_steps, 'step')}"
        )
    if isinstance(record, Evaluation):
        trained = scored("training loss", record.train_loss, record, "train")
        parts = [f"epoch {record.epoch:6.2f}", f"step {record.step:6,}", trained]
        if record.validation_loss is not None:
            parts.append(
                scored("validation loss", record.validation_loss, record, "validation")
            )
        return "  ".join([*parts, f"{record.train_seconds:.1f} s"])
    if isinstance(record, Final) and record.test_loss is not None:
        return scored("test loss", record.test_loss, record, "test")
    return ""
