"""What a range test trains: a user's network, data, optimizer and loss, put back after every trial."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from losslab.optimizers import Method, at_iterate
from losslab.randomness import seeded
from losslab.ranges.arguments import bound, check_model, positive
from losslab.ranges.batches import Count, Counter, check_data, steps_of
from losslab.ranges.held_out import HeldOut, items_of
from losslab.ranges.losses import LossFn, UserLoss
from losslab.ranges.progress import Progress, watched
from losslab.ranges.restored import restored, with_draws_of
from losslab.ranges.snapshot import Snapshot
from losslab.ranges.trace import GradientSquares
from losslab.ranges.trial import (
    NOISE_BATCHES,
    Measured,
    lr_ratios,
    measure_gradients,
    train_briefly,
)
from losslab.training.step import Stepper

Result = TypeVar("Result")
NO_BATCH = "`data` has no batch"


@dataclass
class Subject:
    """What a test trains, and how: model, data, optimizer and loss of the user."""

    model: nn.Module
    data: Iterable[Any]
    optimizer: torch.optim.Optimizer
    loss: UserLoss
    counter: Counter
    clip_norm: float | None = None
    scaler: torch.amp.GradScaler | None = None
    held_out: HeldOut | None = None
    lost: tuple[str, ...] = ()
    progress: Progress = field(default_factory=Progress)

    def watched(self, body: Callable[[], Result], *, wanted: bool) -> Result:
        """Call a function that trains, and show how far it is where that is wanted."""
        with watched(wanted=wanted) as self.progress:
            return self.ready(body)

    def ready(self, body: Callable[[], Result]) -> Result:
        """Call a function while a network whose layers take their shapes from a first batch has them."""
        if not any(
            nn.parameter.is_lazy(tensor)
            for tensor in (*self.model.parameters(), *self.model.buffers())
        ):
            return body()

        def with_shapes(_snapshot: Snapshot) -> Result:
            with seeded(0, "range test weights", device=self.device()):
                self._take_shapes()
                return body()

        return self._restored(with_shapes)

    def trial(self, seed: int, body: Callable[[], Result]) -> Result:
        """Call a function: all random draws are those of a seed, and all is put back at the end."""

        def with_draws(snapshot: Snapshot) -> Result:
            return with_draws_of(seed, snapshot, body, self.device())

        return self._restored(with_draws)

    def _take_shapes(self) -> None:
        """One forward pass that trains nothing: every trial then starts from the same weights."""
        batches = list(islice(self.data, 1))
        if not batches:
            raise ValueError(NO_BATCH)
        training = [module for module in self.model.modules() if module.training]
        self.model.eval()
        with torch.no_grad():
            self.loss(self.model, batches[0])
        for module in training:
            module.training = True

    def train(
        self,
        lrs: Sequence[float],
        parts: int,
        *,
        is_counted: bool,
        equal: bool = False,
    ) -> Measured:
        """Train a step for each learning rate, each of so many batches."""
        stepper = Stepper(
            network=self.model,
            optimizer=self.optimizer,
            loss=self.loss,
            measure=self.loss.measure,
            clip_norm=self.clip_norm,
            scaler=self.scaler,
        )
        # Where samples cannot be counted each batch is one, and a step of one batch is the same whatever it counts.
        counter: Count = self.counter if is_counted else _one
        no_single = is_counted and self._has_batch_norm()
        steps = steps_of(self.data, parts, counter, equal=equal, no_single=no_single)
        judge = None
        if self.held_out is not None:
            judge = partial(self.held_out.measure, self.model, self.optimizer)
        return train_briefly(stepper, steps, lrs, judge, progress=self.progress)

    def judged(self, batches: Sequence[Any]) -> float:
        """The mean loss over batches, in evaluation mode."""
        device = self.device()
        with torch.no_grad(), at_iterate(self.optimizer):
            self.model.eval()
            losses = [float(self.loss(self.model, batch).loss) for batch in batches]
        weights = [float(items_of(batch, self.loss, self.counter, device)) for batch in batches]
        return float(np.average(losses, weights=weights))

    def gradient_squares(self, micro_batch: int) -> GradientSquares | None:
        """Measured on batches of full size, in training mode; None with fewer than two."""
        batches = [
            batch
            for batch in islice(self.data, NOISE_BATCHES)
            if self.counter(batch) == micro_batch
        ]
        if len(batches) < 2:
            return None
        # As in the test's training, whatever mode a network that branches is in.
        if not self.model.training:
            self.model.train()
        return measure_gradients(self.model, batches, self.loss.function, samples=micro_batch)

    def batch_size(self) -> int:
        """The samples of the first batch.

        Raises:
            ValueError: when there is no batch, or its samples cannot be told.
        """

        def samples_of_first() -> int:
            batches = list(islice(self.data, 1))
            if not batches:
                raise ValueError(NO_BATCH)
            return self.counter(batches[0])

        return self.trial(0, samples_of_first)

    def full_batches(self, size: int, most: int) -> int:
        """How many of the first batches of an epoch, up to so many, are of a size."""

        def count() -> int:
            return sum(self.counter(batch) == size for batch in islice(self.data, most))

        return self.trial(0, count)

    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.model.parameters()).device

    def with_notes(self, reason: str) -> str:
        """The reason, and what could not be put back."""
        if not self.lost:
            return reason
        note = f"what {', '.join(self.lost)} has drawn cannot be put back"
        return f"{reason}; {note}" if reason else note

    def _restored(self, body: Callable[[Snapshot], Result]) -> Result:
        def noting_what_is_lost(snapshot: Snapshot) -> Result:
            self.lost = tuple(sorted(set(snapshot.lost)))
            return body(snapshot)

        return restored(
            noting_what_is_lost,
            self.model,
            self.optimizer,
            self.data,
            self.loss.function,
            self.scaler,
            None if self.held_out is None else self.held_out.batches,
        )

    def _has_batch_norm(self) -> bool:
        """Whether batch norm will train, which takes more than one sample."""
        return any(
            isinstance(module, _BatchNorm) and (module.training or not self.model.training)
            for module in self.model.modules()
        )


def subject_of(
    model: nn.Module,
    data: Iterable[Any],
    optimizer: torch.optim.Optimizer | Method | str,
    loss_fn: LossFn,
    count: Count | None,
    *,
    clip_norm: float | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> Subject:
    """All that a test is given, checked before anything trains."""
    if not torch.is_grad_enabled():
        raise ValueError(
            "a range test trains `model`, but gradients are switched off here; call it outside of torch.no_grad()"
        )
    check_model(model)
    check_data(data)
    if count is not None and not callable(count):
        raise TypeError(
            f"`count` (={count!r}) must be a function of a batch that returns its samples"
        )
    if scaler is not None and not hasattr(scaler, "unscale_"):
        raise TypeError(f"`scaler` is a {type(scaler).__name__}; give a torch.amp.GradScaler")
    norm = None if clip_norm is None else positive("clip_norm", clip_norm)
    loss = UserLoss(loss_fn)
    owned = bound(optimizer, model)
    lr_ratios(owned)
    return Subject(model, data, owned, loss, Counter(data, count), norm, scaler)


def _one(_batch: Any) -> int:
    """Each batch counts alike where its samples cannot be told."""
    return 1
