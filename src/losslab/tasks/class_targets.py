"""Cross-entropy of a run, whose targets are looked at once before it trains, so that no step waits for the device."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from losslab.errors import InvalidInput
from losslab.tasks.losses import (
    IGNORED,
    CrossEntropy,
    Loss,
    are_probabilities,
    as_indices,
    inputs_and_targets,
)
from losslab.tasks.samples import Parts, Read, Tensors, first_batch

PIECE = 2**20
"""Targets that are looked at together."""


@dataclass(frozen=True)
class RunCrossEntropy(CrossEntropy):
    """Cross-entropy on the data of a run.

    Args:
        has_ignored: whether a training target may be -100, so that a mean is over the others.
        largest: the largest class index of the data; -1 if there is none.
        part: where it was found.
    """

    has_ignored: bool = False
    largest: int = -1
    part: str = ""

    def counts(self, targets: torch.Tensor) -> bool:
        """As :class:`CrossEntropy` has it."""
        is_masked = self.has_ignored and not targets.is_floating_point()
        return is_masked or super().counts(targets)

    def check_outputs(self, logits: torch.Tensor) -> None:
        """Raise ValueError when the outputs are of too few classes."""
        super().check_outputs(logits)
        outputs = logits.shape[1]
        if self.largest >= outputs:
            raise ValueError(
                f"a class index of `{self.part}` is {self.largest}, but the network has {outputs} outputs; classes "
                "are counted from 0: put every class into `train`, number them anew, or give the network more outputs"
            )


def on_data(loss: Loss, parts: Parts, *, is_tested: bool) -> Loss:
    """The loss of a run on its data, whose targets are checked; of other losses than cross-entropy the same.

    Args:
        loss: of the run.
        parts: of its data.
        is_tested: whether the run reads the test set, which is left alone otherwise.
    Raises:
        InvalidInput: when targets are neither class indices nor probabilities.
    """
    if not isinstance(loss, CrossEntropy):
        return loss
    # What is read sample by sample cannot be looked at beforehand.
    has_ignored = isinstance(parts.training, Read)
    largest, where = -1, ""
    named = {"train": parts.training, "validation": parts.validation}
    if is_tested:
        named["test"] = parts.test
    for part, samples in named.items():
        targets = _targets(samples)
        if targets is None:
            continue
        if targets.is_floating_point():
            _check_probabilities(part, targets)
            continue
        # In pieces: as int64, masks of bytes would take many times their memory.
        for piece in torch.split(targets.reshape(-1), PIECE):
            indices = as_indices(piece)
            is_ignored = indices == IGNORED
            if part == "train":
                has_ignored = has_ignored or bool(is_ignored.any())
            smallest, highest = torch.aminmax(indices.masked_fill(is_ignored, 0))
            _check_index(part, int(smallest))
            if int(highest) > largest:
                largest, where = int(highest), part
    return RunCrossEntropy(
        loss.label_smoothing, has_ignored=has_ignored, largest=largest, part=where
    )


def _targets(samples: Any) -> torch.Tensor | None:
    """The targets of a part: all where they are tensors, those of one sample where they are read."""
    if isinstance(samples, Read):
        tree = first_batch(replace(samples, workers=0), 1)
    elif isinstance(samples, Tensors):
        tree = samples.tree
    else:
        return None  # images, whose labels were checked when they were loaded
    try:
        targets = inputs_and_targets(tree)[1]
    except TypeError:
        return None  # the loss says at the first batch what is wrong
    return targets if isinstance(targets, torch.Tensor) and targets.numel() else None


def _check_probabilities(part: str, targets: torch.Tensor) -> None:
    if targets.ndim < 2 or not are_probabilities(targets):
        kind = str(targets.dtype).removeprefix("torch.")
        raise InvalidInput(
            f"`{part}` of the data has targets {kind} {tuple(targets.shape)}, which are neither class indices nor "
            "probabilities, as `loss` (=cross_entropy) takes them; give `loss` mse for numbers, bce for yes-or-no "
            "labels, or whole numbers for classes"
        )


def _check_index(part: str, smallest: int) -> None:
    if smallest < 0:
        raise InvalidInput(
            f"`{part}` of the data has a class index {smallest}; classes are counted from 0, and {IGNORED} is "
            "what counts in no loss: number them anew, or give `loss` mse for numbers"
        )
