"""Losses: from a model and a batch to the mean loss, the outputs that metrics read, and the number of its items."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from losslab.choice import Choice, check_options, import_attribute
from losslab.errors import InvalidInput
from losslab.tasks import LOSSES
from losslab.tasks.trees import leaves

IGNORED = -100
"""A target that counts in no loss, as torch's cross-entropy has it."""
NOTHING_COUNTS = (
    "no target counts in a part of the data, or in all steps since an evaluation: all are -100, which losses "
    "ignore; give other targets, or leave the part out"
)
TARGET_KEYS = ("labels", "targets", "target", "label")
"""Where a batch that is a mapping holds its targets."""


class Judged(NamedTuple):
    """A batch as the loss sees it."""

    loss: torch.Tensor
    """Scalar, the mean over what :meth:`Loss.weight` counts, with its gradient."""
    outputs: Any = None
    """Of the model, as metrics read them; None where the loss does not tell."""
    targets: Any = None
    """What the outputs are compared with; None likewise."""


class Loss(Protocol):
    """A loss that a run minimises: a mean over samples, or over the items that :meth:`weight` counts."""

    @abstractmethod
    def __call__(self, model: nn.Module, batch: Any) -> Judged:
        """The mean loss of a batch and what metrics read."""

    def weight(self, batch: Any) -> torch.Tensor | None:  # noqa: ARG002
        """How many items the mean over a batch is over; None for its samples."""
        return None

    def total(self, model: nn.Module, batch: Any) -> tuple[Judged, float]:
        """The loss summed over those items, and their number: what evaluations add up."""
        judged = self(model, batch)
        weight = self.weight(batch)
        items = samples_in(batch) if weight is None else float(weight)
        return judged._replace(loss=judged.loss * items), items


def build_loss(choice: Choice) -> Loss:
    """Build the loss that a choice names.

    Raises:
        InvalidInput: an unknown module, attribute or option.
    """
    if choice.name not in LOSSES:
        function = import_attribute(f"loss '{choice.name}'", choice.name)
        return OwnLoss(choice.name, function, choice.options)
    factory = import_attribute(f"loss '{choice.name}'", LOSSES[choice.name])
    try:
        check_options("loss", choice.name, factory, choice.options)
        loss: Loss = factory(**choice.options)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"loss '{choice.name}': {error}") from error
    return loss


def predict(model: nn.Module, inputs: Any) -> Any:
    """The model's outputs; a tuple of inputs is given as positional arguments, a mapping as keywords."""
    if isinstance(inputs, Mapping):
        outputs = model(**inputs)
    elif isinstance(inputs, tuple | list):
        outputs = model(*inputs)
    else:
        outputs = model(inputs)
    return getattr(outputs, "logits", outputs)  # as Hugging Face's models wrap them


def samples_in(batch: Any) -> int:
    """Count the samples of a batch: the length of its first tensor.

    Raises:
        TypeError: when it holds none.
    """
    for leaf in leaves(batch):
        return len(leaf)
    raise TypeError(
        f"a batch is a {type(batch).__name__} without a tensor, so that its samples cannot be counted"
    )


def inputs_and_targets(batch: Any) -> tuple[Any, Any]:
    """The two parts of a batch: a pair, or a mapping one of whose keys is in `TARGET_KEYS`.

    Raises:
        TypeError: when it is neither.
    """
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    if isinstance(batch, Mapping):
        for key in TARGET_KEYS:
            if key in batch:
                return {name: value for name, value in batch.items() if name != key}, batch[key]
    raise TypeError(
        f"a batch is a {type(batch).__name__}, neither (inputs, targets) nor a mapping with one of "
        f"{', '.join(TARGET_KEYS)}; give `loss` as module:function(model, batch)"
    )


def as_indices(targets: torch.Tensor) -> torch.Tensor:
    """Class indices as int64, in which -100 is no class, as it is in bytes (156); probabilities as they are."""
    return targets if targets.is_floating_point() else targets.long()


def inputs_and_classes(batch: Any) -> tuple[Any, torch.Tensor]:
    """The two parts of a batch whose targets are classes."""
    inputs, targets = inputs_and_targets(batch)
    return inputs, as_indices(targets)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross-entropy of classes.

    The model gives logits (sample, class, ...); targets are class indices (sample, ...), or probabilities of the shape
    of the logits. A class index of -100 is ignored. With one class a sample, a batch must not be all -100, and its
    parts weigh by their samples, ignored ones included; a run finds such classes beforehand, and its means are over
    the others.

    Args:
        label_smoothing: fraction of each target that is spread over all classes, in training alone, so that losses of
            evaluations compare whatever it is; 0 <= label_smoothing < 1.

    Reference:
        Szegedy et al. 2015, arXiv:1512.00567, section 7.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"`label_smoothing` (={self.label_smoothing}) must be at least 0 and below 1"
            )

    def __call__(self, model: nn.Module, batch: Any) -> Judged:
        """As :class:`Loss` has it."""
        inputs, targets = inputs_and_classes(batch)
        logits = predict(model, inputs)
        # By the model's mode, which is also how its dropout knows that it is evaluated.
        smoothing = self.label_smoothing if model.training else 0.0
        self.check_outputs(logits)
        mean = mean_of_counted if self.counts(targets) else F.cross_entropy
        return Judged(mean(logits, targets, label_smoothing=smoothing), logits, targets)

    def check_outputs(self, logits: torch.Tensor) -> None:
        """Raise ValueError when the outputs are of too few classes."""
        if logits.ndim < 2 or logits.shape[1] < 2:
            raise ValueError(
                f"outputs {tuple(logits.shape)} are of a single class, whose cross-entropy is always 0; give `loss` "
                "mse for numbers, bce for yes-or-no labels, or data of two classes or more"
            )

    def counts(self, targets: torch.Tensor) -> bool:
        """Whether a mean is over the targets that are not -100, and not over the samples."""
        return _is_dense(targets)

    def weight(self, batch: Any) -> torch.Tensor | None:
        """As :class:`Loss` has it."""
        targets = inputs_and_classes(batch)[1]
        # One target a sample, or probabilities: the mean is over samples, and no part of a batch waits for the others.
        if not self.counts(targets):
            return None
        items: torch.Tensor = (targets != IGNORED).sum()
        return items

    def total(self, model: nn.Module, batch: Any) -> tuple[Judged, float]:
        """Sum at once: a mean times its number would round twice."""
        inputs, targets = inputs_and_classes(batch)
        logits = predict(model, inputs)
        # Of probabilities every position has its own.
        items = (
            logits.numel() // logits.shape[1]
            if targets.is_floating_point()
            else int((targets != IGNORED).sum())
        )
        return Judged(F.cross_entropy(logits, targets, reduction="sum"), logits, targets), items


def mean_of_counted(
    logits: torch.Tensor, targets: torch.Tensor, *, label_smoothing: float = 0.0
) -> torch.Tensor:
    """The mean over the targets that are not -100; 0 where all are -100, of which torch's own mean is NaN."""
    counted = (targets != IGNORED).sum().clamp(min=1)
    total = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing)
    return total / counted


def are_probabilities(targets: torch.Tensor) -> bool:
    """Whether targets (sample, class, ...) are from 0 up and add up to 1 over the classes."""
    totals = targets.sum(1).float()
    # Probabilities of 16 bits sum to one within about a hundredth.
    sum_to_one = torch.allclose(totals, torch.ones_like(totals), atol=1e-2)
    return sum_to_one and bool((targets >= 0).all())


def _is_dense(targets: torch.Tensor) -> bool:
    """Whether a sample has several class indices."""
    return targets.ndim > 1 and not targets.is_floating_point()


def _widest(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both in the precision of the outputs, at least float32: 16 bits would round the targets, too."""
    dtype = torch.promote_types(outputs.dtype, torch.float32)
    return outputs.to(dtype), targets.to(dtype)


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """Mean squared error; outputs and targets may differ by an axis of length one, and in nothing else."""

    def __call__(self, model: nn.Module, batch: Any) -> Judged:
        """As :class:`Loss` has it."""
        inputs, targets = inputs_and_targets(batch)
        outputs = like_targets(predict(model, inputs), targets)
        return Judged(F.mse_loss(*_widest(outputs, targets)), outputs, targets)


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """Cross-entropy of independent yes-or-no labels: logits and targets in [0, 1], of one shape."""

    def __call__(self, model: nn.Module, batch: Any) -> Judged:
        """As :class:`Loss` has it."""
        inputs, targets = inputs_and_targets(batch)
        logits = like_targets(predict(model, inputs), targets)
        return Judged(
            F.binary_cross_entropy_with_logits(*_widest(logits, targets)),
            logits,
            targets,
        )


@dataclass(frozen=True)
class CausalLanguageModel(Loss):
    """Cross-entropy of each token given those before it; the mean is over the tokens that are predicted.

    A batch is token ids (sample, position), or a mapping with `input_ids` and, where wanted, `attention_mask` and
    `labels`. Without labels the ids are the targets, and positions whose mask is 0 count in no loss. Targets are
    shifted here: the model sees all positions and gives logits (sample, position, token).
    """

    def __call__(self, model: nn.Module, batch: Any) -> Judged:
        """As :class:`Loss` has it."""
        inputs = batch
        if isinstance(batch, Mapping):
            # A model that is given labels computes a loss of its own beside this one.
            inputs = {key: value for key, value in batch.items() if key != "labels"}
        targets = _next_tokens(batch)
        logits = predict(model, inputs)[:, :-1]
        loss = mean_of_counted(logits.flatten(0, 1).float(), targets.flatten())
        # Metrics take outputs as torch's losses do, with the class (here the token) as the second axis.
        return Judged(loss, logits.transpose(1, 2), targets)

    def weight(self, batch: Any) -> torch.Tensor | None:
        """As :class:`Loss` has it."""
        return (_next_tokens(batch) != IGNORED).sum()


def _next_tokens(batch: Any) -> torch.Tensor:
    """The token after every position but the last; -100 where it counts in no loss."""
    if not isinstance(batch, Mapping):
        labels = as_indices(batch[0] if isinstance(batch, tuple | list) else batch)
    elif "labels" in batch:
        labels = as_indices(batch["labels"])
    else:
        labels, mask = as_indices(batch["input_ids"]), batch.get("attention_mask")
        if mask is not None:
            labels = labels.masked_fill(mask == 0, IGNORED)
    return labels[:, 1:]


@dataclass(frozen=True)
class OwnLoss(Loss):
    """A function of the user's: ``(model, batch) -> loss``, ``(loss, outputs)`` or ``(loss, outputs, targets)``.

    Its mean is over the samples, unless the function has an attribute `weight`: a function of the batch.
    """

    name: str
    function: Callable[..., Any]
    options: Mapping[str, Any]

    def __call__(self, model: nn.Module, batch: Any) -> Judged:
        """As :class:`Loss` has it."""
        judged = self.function(model, batch, **self.options)
        if isinstance(judged, torch.Tensor):
            judged = (judged,)
        if (
            not isinstance(judged, tuple)
            or not 1 <= len(judged) <= 3
            or not isinstance(judged[0], torch.Tensor)
        ):
            raise TypeError(
                f"loss '{self.name}' gave {type(judged).__name__}, not a tensor or (tensor, outputs)"
            )
        if judged[0].numel() != 1:
            raise TypeError(
                f"loss '{self.name}' gave a tensor of shape {tuple(judged[0].shape)}; take its mean"
            )
        loss, *rest = judged
        if len(rest) == 1:
            rest.append(_targets_or_none(batch))
        return Judged(loss.reshape(()), *rest)

    def weight(self, batch: Any) -> torch.Tensor | None:
        """As :class:`Loss` has it."""
        weight = getattr(self.function, "weight", None)
        # A criterion's is a tensor, the weights of its classes.
        return torch.as_tensor(weight(batch)) if callable(weight) else None


def _targets_or_none(batch: Any) -> Any:
    try:
        return inputs_and_targets(batch)[1]
    except TypeError:
        return None


def like_targets(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Reshape outputs to the shape of the targets.

    Broadcasting (n, 1) against (n,) would compare every output with every target, in silence.

    Raises:
        ValueError: when the shapes differ by more than axes of length one.
    """
    if len(outputs) != len(targets) or _long_axes(outputs) != _long_axes(targets):
        raise ValueError(
            f"outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)} must be of one shape"
        )
    return outputs.reshape(targets.shape)


def _long_axes(tensor: torch.Tensor) -> list[int]:
    """The lengths of a sample's axes but those of length one."""
    return [length for length in tensor.shape[1:] if length != 1]
