"""The learning-rate range test of anyone's network and data, which are left as they were, bit for bit."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from losslab.optimizers import Method
from losslab.ranges.arguments import name_of, positive, whole
from losslab.ranges.batches import CannotCount, Count, Counter, check_data
from losslab.ranges.held_out import HeldOut
from losslab.ranges.losses import LossFn, cross_entropy
from losslab.ranges.lr import LrRange, check_ramp, confirmed, find_lr_range
from losslab.ranges.lr_rules import check_rule
from losslab.ranges.progress import seed_label
from losslab.ranges.race import STEPS_PER_SEED, Race, race
from losslab.ranges.subject import Subject, subject_of
from losslab.ranges.trace import Setting, Trace
from losslab.schedules import exponential_ramp


def find_lr(
    model: nn.Module,
    data: Iterable[Any],
    optimizer: torch.optim.Optimizer | Method | str,
    *,
    loss_fn: LossFn = cross_entropy,
    start: float = 1e-9,
    end: float = 10.0,
    steps: int = 300,
    seeds: int = 3,
    mode: str = "ramp",
    candidates: int = 10,
    rule: str | None = None,
    confirm: bool = False,
    count: Count | None = None,
    accumulate: int = 1,
    clip_norm: float | None = None,
    scaler: torch.amp.GradScaler | None = None,
    validation: Iterable[Any] | None = None,
    progress: bool = True,
) -> LrRange:
    """The learning rates between which the loss of a network falls, and one to train with.

    Model, optimizer, data, loss and all random state are afterwards what they were before, whatever ends the test.
    Every seed starts from the weights that the model has; what differs is the order of the data and dropout, as far as
    torch, numpy or Python draw them. A network in training mode keeps the mode of each module, so that frozen batch
    norm stays frozen; one that is in evaluation mode as a whole is put into training mode for the test.

    Args:
        model: any module.
        data: an iterable of batches that can be iterated anew, such as a DataLoader.
        optimizer: of the model, or a method of losslab such as ``"adam"``. The groups of an optimizer keep the ratios
            of their learning rates; results are those of the first group.
        loss_fn: ``(model, batch) -> loss``, ``(loss, accuracy)`` or a mapping with ``loss``; cross-entropy of (inputs,
            labels) when absent.
        start: lowest learning rate.
        end: highest learning rate; a ramp stops before it when the loss diverges.
        steps: optimizer steps of a ramp, or of each candidate of a grid. A ramp may be too short to show a range: of 20
            ramps of 100 steps that were measured, 10 found none.
        seeds: how often the test is repeated.
        mode: ``ramp``, one training whose lr rises exponentially, or ``grid``, one training for each candidate.
        candidates: learning rates of a grid.
        rule: of the suggestion, a name in ``losslab.ranges.RULES``.
        confirm: let nine rates race about the end of the range and suggest the winner, which does not depend on
            ``steps``; costs at most 1,875 optimizer steps more for each seed.
        count: ``batch -> samples``, for batches whose samples cannot be counted for sure.
        accumulate: batches of a step, as you train; the gradient is that of all their samples.
        clip_norm: most that the gradient's norm may be, as you train.
        scaler: of the loss in float16; autocast belongs into ``loss_fn``.
        validation: batches that judge in place of those trained on, such as a held-out DataLoader or ``[batch]``. All
            of them are read before every step, in evaluation mode, which takes time; small ones will do.
        progress: show how far the test is and the time left, on a terminal or in a notebook.
    Raises:
        ValueError: impossible arguments, or data that cannot be iterated anew.
        TypeError: arguments of the wrong kind, or batches that need a ``loss_fn``.
    Example:
        >>> model = nn.Linear(4, 3)
        >>> data = [(torch.randn(8, 4), torch.randint(3, (8,))) for _ in range(5)]
        >>> find_lr(model, data, "adam", steps=50, seeds=1).mode
        'ramp'

    Reference:
        Smith 2015, arXiv:1506.01186, section 3.3.
    """
    steps, seeds, candidates = (
        whole("steps", steps, 2),
        whole("seeds", seeds, 1),
        whole("candidates", candidates, 2),
    )
    start, end = positive("start", start), positive("end", end)
    check_ramp(start, end, steps, seeds, candidates)
    check_rule(mode, rule)
    if confirm and rule is not None:
        raise ValueError(
            f"`rule` (={rule!r}) is no rule of a race, which `confirm` asks for; leave one out"
        )
    accumulate = whole("accumulate", accumulate, 1)
    subject = subject_of(
        model, data, optimizer, loss_fn, count, clip_norm=clip_norm, scaler=scaler
    )
    if validation is not None:
        check_data(validation, "validation")
        subject.held_out = HeldOut(validation, subject.loss, Counter(validation, count))
    points = steps if mode == "ramp" else candidates
    rate = exponential_ramp(start, end, points)
    rates = [rate(point) for point in range(points)]
    plans = [rates] if mode == "ramp" else [[lr] * steps for lr in rates]

    def train_all() -> tuple[int | None, list[Trace], Race | None]:
        batch_size = _batch_size(subject, is_needed=accumulate > 1)

        def train(lrs: list[float], seed: int) -> Trace:
            body = partial(subject.train, lrs, accumulate, is_counted=batch_size is not None)
            with subject.progress.part(seed_label(seed, seeds), len(lrs) * accumulate):
                return subject.trial(seed, body).trace(lrs, seed)

        racing = STEPS_PER_SEED if confirm else 0
        subject.progress.total = (len(plans) * steps + racing) * seeds * accumulate
        traces = []
        for seed in range(seeds):
            traces += [train(lrs, seed) for lrs in plans]
        lr_max = find_lr_range(traces, mode=mode, rule=rule).lr_max if confirm else None
        if lr_max is None:
            return batch_size, traces, None

        def train_constant(rates: Sequence[float], steps: int) -> list[list[Trace]]:
            traces = []
            for lr in rates:
                traces.append([train([lr] * steps, seed) for seed in range(seeds)])
            return traces

        return batch_size, traces, race(lr_max, train_constant)

    batch_size, traces, raced = subject.watched(train_all, wanted=progress)
    setting = Setting(
        optimizer=name_of(optimizer),
        loss=subject.loss.name if validation is None else f"{subject.loss.name} of validation",
        lrs=[start, end] if mode == "ramp" else rates,
        steps=steps,
        seeds=seeds,
        batch_sizes=[] if batch_size is None else [batch_size * accumulate],
    )
    found = find_lr_range(traces, mode=mode, rule=rule, setting=setting)
    found = confirmed(found, raced) if confirm else found
    return replace(found, reason=subject.with_notes(found.reason))


def _batch_size(subject: Subject, *, is_needed: bool) -> int | None:
    """The samples of a batch; None where they cannot be told and nothing depends on them."""
    try:
        return subject.batch_size()
    except CannotCount:
        if is_needed:
            raise
        return None
