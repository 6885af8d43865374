"""One optimizer step on the parts of a batch: gradients added up with exact weights, clipped, applied.

The same step serves runs and range tests of anyone's model: it knows a network, an optimizer, a loss and batches.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import nn

from losslab.errors import InvalidInput
from losslab.spec import Precision
from losslab.tasks.losses import Judged, Loss
from losslab.training import distributed
from losslab.training.precision import autocast

Sums = dict[str, torch.Tensor]
"""Metric -> its sums, on the device."""


@dataclass(frozen=True)
class Part:
    """Some samples of a step, as many as are in memory at a time.

    Attributes:
        batch: what the loss takes.
        samples: how many it has, all of which count; 0 in a process that has none of its own and only keeps the others
            company.
    """

    batch: Any
    samples: int


@dataclass(frozen=True)
class StepResult:
    """The results of a step; tensors stay on the device.

    Attributes:
        loss: mean over the step's samples or items; of this process's share where there are several.
        weight: how many items that mean is over; None where they are the samples.
        sums: of each metric.
        gradient_norm: over all weights, before clipping; None where it was not wanted.
    """

    loss: torch.Tensor
    weight: torch.Tensor | None
    sums: Sums
    gradient_norm: torch.Tensor | None


@dataclass
class Stepper:
    """A network and how it is trained, step by step.

    Attributes:
        network: the model, or what torch wraps around it for several processes.
        optimizer: of its weights.
        loss: what is minimised.
        measure: from what the loss judged, and how many samples it counts for, to the sums of metrics.
        precision: of the arithmetic.
        clip_norm: most that the gradient's norm may be.
        scaler: of the loss in fp16.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Loss
    measure: Callable[[Judged, int], Sums] = field(default=lambda judged, samples: {})  # noqa: ARG005
    precision: Precision = "fp32"
    clip_norm: float | None = None
    scaler: torch.amp.GradScaler | None = None

    def step(
        self, parts: Iterable[Part], samples: int, *, with_norm: bool = False
    ) -> StepResult:
        """Do one optimizer step; the learning rates are those that the optimizer has.

        Args:
            parts: of the batch in this process; a generator makes each when it is needed.
            samples: of the whole step, in all processes.
            with_norm: whether the gradient's norm is wanted.
        Raises:
            InvalidInput: when sparse gradients are to be clipped.
        """
        self.optimizer.zero_grad()
        losses: list[torch.Tensor] = []
        sums: list[Sums] = []
        weight: torch.Tensor | None = None
        for part, fraction, is_last, total in self._weighted(parts, samples):
            weight = total
            # Gradients of processes are exchanged once, with the last part.
            with nullcontext() if is_last else distributed.accumulating(self.network):
                with autocast(self.precision, device_of(self.network)):
                    judged = self.loss(self.network, part.batch)
                scaled_loss = judged.loss * _like(fraction, judged.loss)
                self._backward(scaled_loss)
            losses.append(scaled_loss.detach())
            sums.append(self.measure(judged, part.samples))
        norm = self._update(with_norm=with_norm)
        return StepResult(torch.stack(losses).sum(), weight, _added(sums), norm)

    def _weighted(
        self, parts: Iterable[Part], samples: int
    ) -> Iterator[tuple[Part, float | torch.Tensor, bool, torch.Tensor | None]]:
        """Yield each part, the weight of its mean in the step's mean, whether it is the last, and the items of all.

        Processes average their gradients, which divides by their number; multiplying by it first makes that average the
        mean over the whole batch.
        """
        processes = distributed.processes()
        remaining = _samples_here(samples)
        first, parts = _peek(parts)
        if self.loss.weight(first.batch) is None:
            # The number of samples is known beforehand: parts are built and used one at a time.
            for part in parts:
                remaining -= part.samples
                yield part, processes * part.samples / samples, remaining <= 0, None
            return
        # How many items each part has is known only from all of them; the parts wait in memory meanwhile.
        waiting = list(parts)
        weights = [self._items(part) for part in waiting]
        total = distributed.total(torch.stack(weights).sum())
        # In float64: a quotient of whole numbers in float32 would cost a float64 model its last nine digits; MPS has no
        # float64.
        wide = torch.float32 if total.device.type == "mps" else torch.float64
        for index, (part, weight) in enumerate(zip(waiting, weights, strict=True)):
            # Of a step without an item that counts, each part weighs nothing.
            fraction = processes * (weight.to(wide) / (total + (total == 0)))
            yield part, fraction, index == len(waiting) - 1, total

    def _items(self, part: Part) -> torch.Tensor:
        weight = self.loss.weight(part.batch)
        assert weight is not None
        # Batches of a range test may lie elsewhere than the network, and processes add up what is on their devices.
        weight = weight.to(device_of(self.network))
        return weight if part.samples else torch.zeros_like(weight)

    def _backward(self, loss: torch.Tensor) -> None:
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        loss.backward()  # type: ignore[no-untyped-call]

    def _update(self, *, with_norm: bool) -> torch.Tensor | None:
        """Apply the gradients."""
        norm = None
        if self.clip_norm is not None or with_norm:
            # A norm of scaled gradients would be the scale's, and clipping by it would clip nearly all.
            if self.scaler is not None:
                self.scaler.unscale_(self.optimizer)
            norm = self._norm()
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return norm

    def _norm(self) -> torch.Tensor:
        """Measure the gradient's norm; above `clip_norm`, scale the gradient down to it."""
        weights = list(
            chain.from_iterable(group["params"] for group in self.optimizer.param_groups)
        )
        gradients = [parameter.grad for parameter in weights if parameter.grad is not None]
        norm = nn.utils.get_total_norm([_values(gradient) for gradient in gradients])
        if self.clip_norm is not None:
            if any(gradient.is_sparse for gradient in gradients):
                raise InvalidInput(
                    f"`clip_norm` (={self.clip_norm}) scales dense gradients alone, and a layer gives sparse ones; "
                    "leave it out, or give that layer sparse=False"
                )
            nn.utils.clip_grads_with_norm_(weights, self.clip_norm, norm)
        return norm


def _values(gradient: torch.Tensor) -> torch.Tensor:
    """The numbers of a gradient; of a sparse one those that it has, which may name a row twice."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def _like(fraction: float | torch.Tensor, loss: torch.Tensor) -> float | torch.Tensor:
    """A fraction in the precision of the loss, which a float64 tensor would promote."""
    return fraction.to(loss.dtype) if isinstance(fraction, torch.Tensor) else fraction


def _samples_here(samples: int) -> int:
    return len(distributed.share(samples))


def _peek(parts: Iterable[Part]) -> tuple[Part, Iterator[Part]]:
    """The first part, and all of them again."""
    rest = iter(parts)
    first = next(rest)
    return first, chain([first], rest)


def _added(sums: list[Sums]) -> Sums:
    """The sums of several parts, added up."""
    if len(sums) == 1:
        return sums[0]
    added: Sums = {}
    for name in sums[0]:
        added[name] = torch.stack([part[name] for part in sums]).sum(0)
    return added


def device_of(network: nn.Module) -> torch.device:
    """Where a network's weights are."""
    return next(network.parameters()).device
