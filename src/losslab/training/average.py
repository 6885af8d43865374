"""An average of the weights, taken along the way and evaluated beside the raw ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from losslab.choice import Choice
from losslab.optimizers import at_iterate


@dataclass
class Average:
    """The average of a model's weights and float buffers over steps.

    Attributes:
        choice: `ema(decay)`: each step moves it by (1 - decay) towards the weights; `equal(start)`: the mean over all
            steps after that fraction of the run.
        tensors: name in the model's state -> average so far; buffers of whole numbers are the newest.
        count: steps that are in it.
    """

    choice: Choice
    tensors: dict[str, torch.Tensor]
    count: int = 0

    @torch.no_grad()
    def update(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        step: int,
        total_steps: int,
    ) -> None:
        """Take in the weights after a step: those to evaluate.

        Args:
            model: whose weights they are.
            optimizer: which may hold other weights in the model while it trains.
            step: the step's index.
            total_steps: of the run.
        """
        share = self._share(step, total_steps)
        if share == 0:
            return
        self.count += 1
        with at_iterate(optimizer):
            for name, tensor in model.state_dict().items():
                # A mean of counters, such as the batches that a normalisation layer has seen, means nothing.
                if tensor.is_floating_point():
                    self.tensors[name].lerp_(tensor, share)
                else:
                    self.tensors[name].copy_(tensor)

    def _share(self, step: int, total_steps: int) -> float:
        """The fraction of the way that the average moves towards the newest weights."""
        if self.choice.name == "ema":
            # Early on, a plain mean: else the initial weights would count for a long time.
            return max(1 - float(self.choice.options["decay"]), 1 / (self.count + 1))
        if step < float(self.choice.options["start"]) * total_steps:
            return 0.0
        # Moving a mean of n values by 1/(n + 1) towards the next one makes it the mean of n + 1.
        return 1 / (self.count + 1)

    @contextmanager
    def in_place_of(self, model: nn.Module) -> Iterator[None]:
        """Give the model the average weights within the context; afterwards it has its own again, bit for bit."""
        own = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(self.tensors)
        try:
            yield
        finally:
            model.load_state_dict(own)


def new_average(choice: Choice | None, model: nn.Module) -> Average | None:
    """An average that holds nothing yet; None where none is wanted."""
    if choice is None:
        return None
    return Average(
        choice, {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    )
