"""What a training leaves for a range test to read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from losslab.ranges.curves import (
    STOP_BETA,
    beta_for,
    smooth,
    standard_error,
    steps_before_divergence,
    without_spikes,
)
from losslab.records import Record, Start, Steps
from losslab.text import cell, count

CLOSING_FRACTION = 0.1
"""Part of a training over which the loss that it came to is averaged."""


@dataclass(frozen=True)
class GradientSquares:
    """Squared norms of the gradient of one network over a small and a large batch, each a mean over batches."""

    b_small: int
    b_big: int
    small: float
    big: float


@dataclass(frozen=True)
class Setting:
    """What a range test did, stated with its answer.

    Attributes:
        optimizer: its class or the method's name.
        loss: name of the loss function.
        lrs: learning rates of the first group: the first and last of a ramp, the candidates of a grid, the one at which
            batch sizes were compared.
        steps: optimizer steps of each training, where none diverged.
        seeds: how often the test was repeated.
        batch_sizes: samples of a step; empty where they could not be counted.
    """

    optimizer: str
    loss: str
    lrs: list[float]
    steps: int
    seeds: int
    batch_sizes: list[int]

    @property
    def sentence(self) -> str:
        """All of it that was the same throughout, in a line."""
        parts = [self.optimizer, self.loss]
        if len(self.batch_sizes) == 1:
            parts.append(f"batches of {self.batch_sizes[0]:,}")
        elif self.batch_sizes:
            parts.append(f"lr {cell(self.lrs[0])}")
        parts += [count(self.steps, "step"), count(self.seeds, "seed")]
        return f"tested with {', '.join(parts)}"


@dataclass(frozen=True)
class Trace:
    """One training, step by step.

    Attributes:
        lr: learning rate of every step.
        loss: mean loss of every step's batch, before the update.
        accuracy: part of the batch that was classified correctly; empty when not measured.
        samples: samples of every step.
        train_seconds: of all steps together.
        seed: of data order and dropout, and of the weights where the test makes them.
        weights_sha256: hash of the weights before the first step.
        micro_batch: samples of a forward pass at most, where larger batches were accumulated.
        gradient_squares: measured after the last step; None where it was not.
    """

    lr: Sequence[float]
    loss: Sequence[float]
    accuracy: Sequence[float]
    samples: Sequence[int]
    train_seconds: float
    seed: int
    weights_sha256: str = ""
    micro_batch: int | None = None
    gradient_squares: GradientSquares | None = None

    def closing_loss(self) -> tuple[float, float]:
        """The loss that the training came to, averaged over its last tenth, and its standard error; inf: diverged."""
        beta = beta_for(len(self.loss), CLOSING_FRACTION)
        # By the average that stops a training, too: in a long one the other is slower and would let the end pass.
        diverged = any(
            steps_before_divergence(self.loss, average) < len(self.loss)
            for average in (beta, STOP_BETA)
        )
        if not self.loss or diverged:
            return float("inf"), 0.0
        smoothed = smooth(without_spikes(self.loss), beta)
        return float(smoothed[-1]), standard_error(np.asarray(self.loss), smoothed, beta)


def closing_losses(traces: Iterable[Trace]) -> list[float]:
    """The loss that each training came to; inf where it diverged."""
    return [trace.closing_loss()[0] for trace in traces]


def trace_of(
    records: Iterable[Record],
    seed: int,
    micro_batch: int | None = None,
    gradient_squares: GradientSquares | None = None,
) -> Trace:
    """The trace in the records of a run."""
    records = list(records)
    parts = [record for record in records if isinstance(record, Steps)]
    samples = list(chain.from_iterable(part.batch_size for part in parts))
    correct = list(chain.from_iterable(part.correct for part in parts))
    return Trace(
        lr=list(chain.from_iterable(part.lr for part in parts)),
        loss=list(chain.from_iterable(part.loss for part in parts)),
        accuracy=[count / size for count, size in zip(correct, samples, strict=True)]
        if correct
        else [],
        samples=samples,
        train_seconds=parts[-1].train_seconds if parts else 0.0,
        seed=seed,
        weights_sha256=next(
            (record.weights_sha256 for record in records if isinstance(record, Start)), ""
        ),
        micro_batch=micro_batch,
        gradient_squares=gradient_squares,
    )
