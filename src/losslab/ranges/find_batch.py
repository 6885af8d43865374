"""Range tests of batch sizes of anyone's network and data, which are left as they were, bit for bit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from math import ceil, inf, lcm
from typing import Any, Literal, overload

import torch
from torch import nn

from losslab.errors import unknown_name
from losslab.optimizers import Method
from losslab.ranges.arguments import increasing, name_of, positive, whole
from losslab.ranges.batch import BatchRange, find_batch_range, noise_scale
from losslab.ranges.batches import Count, length
from losslab.ranges.branch import CriticalBatch, critical_batch, scaled_rates
from losslab.ranges.curves import STOP_BETA, steps_before_divergence
from losslab.ranges.losses import LossFn, cross_entropy
from losslab.ranges.progress import seed_label
from losslab.ranges.subject import Subject, subject_of
from losslab.ranges.trace import GradientSquares, Setting, Trace
from losslab.ranges.trial import Measured, base_rates
from losslab.training.evaluation import weights_sha256

TOLERANCE = 0.01
"""Part of the smallest size's loss by which that of a branch may be higher."""
JUDGING_BATCHES = 32
"""Batches of the data by whose loss the sizes of a branch are judged."""


@overload
def find_batch(
    model: nn.Module,
    data: Iterable[Any],
    optimizer: torch.optim.Optimizer | Method | str,
    *,
    sizes: Sequence[int],
    lr: float | None = None,
    loss_fn: LossFn = cross_entropy,
    steps: int = 500,
    seeds: int = 3,
    count: Count | None = None,
    clip_norm: float | None = None,
    mode: Literal["steps"] = "steps",
    scaling: str | None = None,
    tolerance: float | None = None,
    progress: bool = True,
) -> BatchRange: ...


@overload
def find_batch(
    model: nn.Module,
    data: Iterable[Any],
    optimizer: torch.optim.Optimizer | Method | str,
    *,
    sizes: Sequence[int],
    lr: float | None = None,
    loss_fn: LossFn = cross_entropy,
    steps: int = 500,
    seeds: int = 3,
    count: Count | None = None,
    clip_norm: float | None = None,
    mode: Literal["branch"],
    scaling: str | None = None,
    tolerance: float | None = None,
    progress: bool = True,
) -> CriticalBatch: ...


def find_batch(
    model: nn.Module,
    data: Iterable[Any],
    optimizer: torch.optim.Optimizer | Method | str,
    *,
    sizes: Sequence[int],
    lr: float | None = None,
    loss_fn: LossFn = cross_entropy,
    steps: int = 500,
    seeds: int = 3,
    count: Count | None = None,
    clip_norm: float | None = None,
    mode: str = "steps",
    scaling: str | None = None,
    tolerance: float | None = None,
    progress: bool = True,
) -> BatchRange | CriticalBatch:
    """The batch sizes between which the loss of a network falls, at equal optimizer steps and one learning rate.

    Every size starts from the weights that the model has. A size is accumulated from the batches that the data yields,
    so that a size trains where one of those fits. All is put back afterwards, as :func:`find_lr` does.

    ``mode="branch"`` finds the critical batch size in its place: from the weights and the state of the optimizer, also
    in the middle of training, each size trains on equal *samples* with its rate scaled, and is judged by the loss that
    it comes to on the same batches.

    Args:
        model: any module.
        data: an iterable of batches that can be iterated anew.
        optimizer: of the model, or a method of losslab.
        sizes: increasing multiples of the size of the data's batches; an epoch must hold the largest, and what it has
            left after steps of a size trains none.
        lr: learning rate; that of the optimizer's first group when None. A method by name has none: give it.
        loss_fn: as in :func:`find_lr`; a mean over the batch.
        steps: optimizer steps at every size.
        seeds: how often the test is repeated.
        count: ``batch -> samples``, for batches whose samples cannot be counted for sure.
        clip_norm: most that the gradient's norm may be, as you train.
        mode: ``steps`` or ``branch``. In a branch, ``lr`` and ``steps`` are those of the smallest size, and the samples
            of its steps are rounded up to a multiple of all sizes.
        scaling: of the rate in a branch, ``linear`` or ``sqrt``; when None linear for SGD, else the square root.
        tolerance: part of the smallest size's loss by which the loss of a branch may be higher; 0.01 when None.
        progress: as in :func:`find_lr`.
    Returns:
        A :class:`BatchRange`; of a branch a :class:`CriticalBatch`.
    Raises:
        ValueError: impossible arguments, or data that cannot be iterated anew.
        TypeError: arguments of the wrong kind, or batches that need a ``loss_fn``.
    """
    if mode not in ("steps", "branch"):
        raise ValueError(unknown_name("mode", str(mode), ("steps", "branch")))
    for name, value in (("scaling", scaling), ("tolerance", tolerance)):
        if value is not None and mode != "branch":
            raise ValueError(f"`{name}` (={value!r}) is for mode='branch'; leave it out")
    steps, seeds, sizes = whole("steps", steps, 2), whole("seeds", seeds, 1), increasing(sizes)
    if lr is None and isinstance(optimizer, str | Method):
        raise ValueError(
            f"`optimizer` (={name_of(optimizer)!r}) is a name, which has no rate: give `lr`, such as 1e-3"
        )
    subject = subject_of(model, data, optimizer, loss_fn, count, clip_norm=clip_norm)
    lr = positive("lr", base_rates(subject.optimizer)[0] if lr is None else lr)
    if mode == "branch":
        if scaling is None:
            scaling = "linear" if isinstance(subject.optimizer, torch.optim.SGD) else "sqrt"
        branches = _Branches(subject, sizes, scaled_rates(lr, sizes, scaling), steps, seeds)
        setting = Setting(
            name_of(optimizer), subject.loss.name, branches.lrs, steps, seeds, sizes
        )
        tolerance = positive("tolerance", TOLERANCE if tolerance is None else tolerance)
        critical = subject.watched(
            lambda: branches.find(scaling, tolerance, setting), wanted=progress
        )
        return replace(critical, reason=subject.with_notes(critical.reason))
    lrs = [lr] * steps
    setting = Setting(name_of(optimizer), subject.loss.name, [lr], steps, seeds, sizes)

    def train_all() -> BatchRange:
        micro_batch = _micro_batch(subject, sizes)
        weights = weights_sha256(model)
        subject.progress.total = seeds * steps * sum(sizes) // micro_batch

        def train(size: int, seed: int) -> Trace:
            def measure() -> tuple[Measured, GradientSquares | None]:
                measured = subject.train(lrs, size // micro_batch, is_counted=True, equal=True)
                return measured, subject.gradient_squares(micro_batch)

            with subject.progress.part(
                f"batch size {size}, {seed_label(seed, seeds)}", steps * size // micro_batch
            ):
                measured, squares = subject.trial(seed, measure)
            return measured.trace(
                lrs,
                seed,
                weights_sha256=weights,
                micro_batch=micro_batch,
                gradient_squares=squares,
            )

        def train_seeds(size: int) -> list[Trace]:
            return [train(size, seed) for seed in range(seeds)]

        return find_batch_range(sizes, train_seeds, setting=setting)

    found = subject.watched(train_all, wanted=progress)
    return replace(found, reason=subject.with_notes(found.reason))


@dataclass
class _Branches:
    """Trainings of several sizes on equal samples, from the weights and optimizer state that a subject has."""

    subject: Subject
    sizes: list[int]
    lrs: list[float]
    steps: int
    seeds: int

    def find(self, scaling: str, tolerance: float, setting: Setting) -> CriticalBatch:
        """Train every size and read the critical one."""
        micro_batch = _micro_batch(self.subject, self.sizes)
        squares = [
            self.subject.trial(seed, partial(self.subject.gradient_squares, micro_batch))
            for seed in range(self.seeds)
        ]
        amount = self._samples() // micro_batch
        self.subject.progress.total = amount * len(self.sizes) * self.seeds
        losses, samples = [], []
        for size, lr in zip(self.sizes, self.lrs, strict=True):
            ends = [self._train(size, lr, seed, micro_batch) for seed in range(self.seeds)]
            losses.append([loss for loss, _ in ends])
            samples.append(max(count for _, count in ends))
        return critical_batch(
            losses,
            sizes=self.sizes,
            lrs=self.lrs,
            samples=samples,
            tolerance=tolerance,
            scaling=scaling,
            noise_scale=noise_scale(squares),
            setting=setting,
        )

    def _train(self, size: int, lr: float, seed: int, micro_batch: int) -> tuple[float, int]:
        """The loss that a size comes to, infinite when it diverges, and its samples."""
        samples = self._samples()

        def measure() -> tuple[float, int]:
            # Drawn before training, and with the draws of the seed: the same batches judge every size.
            batches = list(islice(self.subject.data, JUDGING_BATCHES))
            measured = self.subject.train(
                [lr] * (samples // size), size // micro_batch, is_counted=True, equal=True
            )
            has_diverged = steps_before_divergence(measured.loss, STOP_BETA) < len(
                measured.loss
            )
            loss = inf if has_diverged else self.subject.judged(batches)
            return loss, sum(measured.samples)

        label = f"batch size {size}, {seed_label(seed, self.seeds)}"
        with self.subject.progress.part(label, samples // micro_batch):
            return self.subject.trial(seed, measure)

    def _samples(self) -> int:
        """What each branch trains on: the steps of the smallest size, rounded up to a multiple of all sizes."""
        multiple = lcm(*self.sizes)
        return ceil(self.steps * self.sizes[0] / multiple) * multiple


def _micro_batch(subject: Subject, sizes: Sequence[int]) -> int:
    """The samples of the data's batches, once the sizes, in rising order, are known to suit them.

    Raises:
        ValueError: when sizes are no multiples of these batches, or an epoch cannot hold the largest.
    """
    micro_batch = subject.batch_size()
    if any(size % micro_batch for size in sizes):
        raise ValueError(
            f"`sizes` (={list(sizes)}) must be multiples of the data's batches of {micro_batch} samples"
        )
    needed = sizes[-1] // micro_batch
    batches = length(subject.data)
    if batches is None or batches == needed:
        # Read, because the last one of an epoch may be short.
        batches = subject.full_batches(micro_batch, needed)
    if batches < needed:
        raise ValueError(
            f"`sizes` (={list(sizes)}) exceed the data: an epoch has {batches} batches of {micro_batch}"
        )
    return micro_batch
