"""A short training of anyone's network for measuring alone: one lr a step, optional accumulation."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from torch import nn

from losslab.optimizers.modes import switch
from losslab.ranges.batches import Counter
from losslab.ranges.curves import STOP_BETA, steps_before_divergence
from losslab.ranges.losses import LossFn, UserLoss
from losslab.ranges.progress import Progress
from losslab.ranges.trace import GradientSquares, Trace
from losslab.training import distributed
from losslab.training.step import Part, Stepper, StepResult

FLUSH_STEPS = 10
NOISE_BATCHES = 16
"""Batches of a measurement of the gradient's noise."""


PIECE = 2**20
"""Values of a gradient that are widened at a time: a wide copy of all would take more memory than training."""


@dataclass
class Measured:
    """What a trial has measured so far; values stay on the device until they are flushed."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    train_seconds: float = 0.0

    def trace(
        self,
        lrs: Sequence[float],
        seed: int,
        *,
        weights_sha256: str = "",
        micro_batch: int | None = None,
        gradient_squares: GradientSquares | None = None,
    ) -> Trace:
        """The trace of these steps, at the learning rates that were planned for them."""
        steps = len(self.loss)
        return Trace(
            lr=lrs[:steps],
            loss=self.loss,
            accuracy=self.accuracy if len(self.accuracy) == steps else [],
            samples=self.samples,
            train_seconds=self.train_seconds,
            seed=seed,
            weights_sha256=weights_sha256,
            micro_batch=micro_batch,
            gradient_squares=gradient_squares,
        )


def train_briefly(
    stepper: Stepper,
    steps: Iterable[Sequence[Part]],
    lrs: Sequence[float],
    judge: Callable[[int], StepResult] | None = None,
    *,
    progress: Progress | None = None,
) -> Measured:
    """Train a step for each learning rate, or until the loss diverges.

    A network that is in training mode keeps the mode of each of its modules, so that frozen ones stay frozen; one that
    is in evaluation mode as a whole is put into training mode.

    Args:
        stepper: its network is trained in place; the optimizer's groups keep the ratios of their learning rates to that
            of the first.
        steps: for each step the batches that it accumulates.
        lrs: learning rate of the first group at each step.
        judge: from a step's samples to what is measured before it, in place of the loss of its batch.
        progress: is told of every batch.
    """
    ratios = lr_ratios(stepper.optimizer)
    measured = Measured()
    pending: list[StepResult] = []
    if not stepper.network.training:
        stepper.network.train()
    switch(stepper.optimizer, "train")
    began = perf_counter()
    # `lrs` come first: when they end, no batch is drawn that would train nothing.
    for lr, parts in zip(lrs, steps, strict=False):
        set_lrs(stepper.optimizer, [lr * ratio for ratio in ratios])
        samples = sum(part.samples for part in parts)
        # Every process has batches of its own; the step's mean is over all of them.
        judged = None if judge is None else judge(samples)
        result = stepper.step(parts, samples * distributed.processes())
        pending.append(result if judged is None else judged)
        measured.samples.append(samples)
        if progress is not None:
            progress.advance(len(parts))
        if len(pending) == FLUSH_STEPS:
            _flush(pending, measured)
            if steps_before_divergence(measured.loss, STOP_BETA) < len(measured.loss):
                break
    _flush(pending, measured)
    measured.train_seconds = perf_counter() - began
    return measured


def lr_ratios(optimizer: torch.optim.Optimizer) -> list[float]:
    """The learning rate of each parameter group in units of the first one's.

    Where a scheduler has set a rate to 0, as the first step of a warm-up does, the rates that it began with count.
    """
    groups = optimizer.param_groups
    if any(group.get("lr") is None for group in groups):
        raise ValueError(
            f"`optimizer` ({type(optimizer).__name__}) sets its own learning rates: a group's lr is None, so that "
            "there is none to test"
        )
    if len(groups) == 1:
        return [1.0]
    rates = base_rates(optimizer)
    if not rates[0] > 0:
        raise ValueError(
            f"the lr of the first parameter group (={rates[0]}) must be positive: groups keep their ratios to it"
        )
    return [rate / rates[0] for rate in rates]


def base_rates(optimizer: torch.optim.Optimizer) -> list[float]:
    """The learning rates of the groups, or those that a scheduler began with where it has set one to 0."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    were_scheduled = all("initial_lr" in group for group in optimizer.param_groups)
    if all(rates) or not were_scheduled:
        return rates
    # All of them, and not only the zeros: rates of different moments have no ratio.
    return [float(group["initial_lr"]) for group in optimizer.param_groups]


def set_lrs(optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> None:
    """Set the rate of each group; one that is a tensor, as compiled steps want it, stays that tensor."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def measure_gradients(
    model: nn.Module, batches: Sequence[Any], loss_fn: LossFn, *, samples: int | None = None
) -> GradientSquares:
    """Mean squared norm of the gradient over each batch, and that of the gradient over all of them.

    A weight that a batch does not use has a gradient of zeros there.

    Args:
        model: its weights stay as they are; in training mode the averages of batch norm move; gradients are lost.
        batches: of equal size, two or more.
        loss_fn: as :data:`LossFn`.
        samples: of a batch; counted when None.
    """
    loss = UserLoss(loss_fn)
    size = Counter(batches)(batches[0]) if samples is None else samples
    weights = [p for p in model.parameters() if p.requires_grad]
    # A sum in float64 takes the memory of two gradients; to keep that of every batch would take one for each.
    sums = [torch.zeros(p.numel(), dtype=_wide(p), device=p.device) for p in weights]
    squares = []
    for batch in batches:
        model.zero_grad(set_to_none=True)
        loss(model, batch).loss.backward()  # type: ignore[no-untyped-call]
        square = 0.0
        for p, total in zip(weights, sums, strict=True):
            if p.grad is not None:
                gradient = p.grad.to_dense().flatten()
                for part, addend in zip(
                    torch.split(total, PIECE), torch.split(gradient, PIECE), strict=True
                ):
                    part += addend
                square += _square(gradient)
        squares.append(square)
    model.zero_grad(set_to_none=True)
    count = len(batches)
    big = sum(map(_square, sums)) / count**2
    return GradientSquares(size, size * count, sum(squares) / count, big)


def _square(values: torch.Tensor) -> float:
    """The sum of squares, in the wide type."""
    squares = [piece.to(_wide(values)).square().sum() for piece in torch.split(values, PIECE)]
    return float(torch.stack(squares).sum())


def _wide(weights: torch.Tensor) -> torch.dtype:
    """The type in which gradients are summed; some devices have no float64."""
    return torch.float32 if weights.device.type == "mps" else torch.float64


def _flush(pending: list[StepResult], measured: Measured) -> None:
    """Read the pending values from the device; under DistributedDataParallel their means over all ranks."""
    if not pending:
        return
    columns = [torch.stack([result.loss for result in pending])]
    if all("accuracy" in result.sums for result in pending):
        sums = torch.stack([result.sums["accuracy"] for result in pending])
        columns.append(sums.to(columns[0].dtype))
    # One tensor, so that the device is waited for once.
    values = torch.stack(columns)
    if distributed.processes() > 1:
        torch.distributed.all_reduce(values)
        values = values / distributed.processes()
    losses, *correct = values.tolist()
    measured.loss += losses
    if correct:
        counts = measured.samples[-len(pending) :]
        measured.accuracy += [
            right / count for right, count in zip(correct[0], counts, strict=True)
        ]
    pending.clear()
