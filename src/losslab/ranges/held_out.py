"""Batches that are not trained on, and that judge a range test between its steps."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from losslab.optimizers import at_iterate
from losslab.randomness import seeded
from losslab.ranges.batches import CannotCount, Counter
from losslab.ranges.losses import UserLoss
from losslab.training.step import StepResult


@dataclass(frozen=True)
class HeldOut:
    """Held-out batches and the loss that judges a network on them.

    Attributes:
        batches: read anew at every step.
        loss: as in training.
        counter: counts the samples of a batch.
    """

    batches: Iterable[Any]
    loss: UserLoss
    counter: Counter

    @torch.no_grad()
    def measure(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, samples: int
    ) -> StepResult:
        """The mean loss and accuracy in evaluation mode, in the form of a step's result.

        Args:
            model: the mode of each module is restored.
            optimizer: of the model; weights are those that it says to evaluate.
            samples: of the training step, over which accuracies are summed.
        Raises:
            ValueError: when there is no batch.
        """
        modes = [(module, module.training) for module in model.modules()]
        device = next(model.parameters()).device
        losses, accuracies, counts = [], [], []
        # torch's own draws are the same at every step, such as a loader's order, and none of those that training draws.
        with seeded(0, "range test validation", device=device), at_iterate(optimizer):
            model.eval()
            for batch in self.batches:
                judged = self.loss(model, batch)
                losses.append(judged.loss.double())
                counts.append(items_of(batch, self.loss, self.counter, device))
                if judged.outputs is not None:
                    accuracies.append(torch.as_tensor(judged.outputs, device=device).double())
        for module, training in modes:
            module.training = training
        if not losses:
            raise ValueError("`validation` has no batch")
        weights = torch.stack(counts)
        sums = {}
        if len(accuracies) == len(losses):
            sums["accuracy"] = samples * _mean(accuracies, weights)
        return StepResult(_mean(losses, weights), None, sums, None)


def items_of(
    batch: Any, loss: UserLoss, counter: Counter, device: torch.device
) -> torch.Tensor:
    """What the mean over a batch counts for among others: its items, its samples, or 1 where neither can be told."""
    items = loss.weight(batch)
    if items is not None:
        return items.to(device).double()
    try:
        samples = counter(batch)
    except CannotCount:
        samples = 1  # batches whose samples cannot be told count alike, as in training
    return torch.tensor(samples, dtype=torch.float64, device=device)


def _mean(values: list[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
    return (torch.stack(values) * weights).sum() / weights.sum()
