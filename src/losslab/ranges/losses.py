"""The loss of a range test: what a user's function returns, read where it is clear and refused where it is not."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from losslab.ranges.batches import outline
from losslab.spec import CROSS_ENTROPY, Run
from losslab.tasks.losses import (
    IGNORED,
    Judged,
    Loss,
    are_probabilities,
    as_indices,
    build_loss,
    mean_of_counted,
)
from losslab.tasks.samples import advice_on_types
from losslab.training.single_sample import TORCH_SAYS
from losslab.training.step import Sums

LossFn = Callable[[nn.Module, Any], Any]
"""(model, batch) -> loss, (loss, accuracy), or a mapping or an object that has the loss by that name."""

WRITE = "write `loss_fn=lambda model, batch: {}(model(batch[0]), batch[1])`"
# Flat: outputs (batch, 1) and targets (batch,) would broadcast, and compare every row with every other.
WRITE_FLAT = (
    "write `loss_fn=lambda model, batch: {}(model(batch[0]).flatten(), batch[1].flatten())`"
)
BROADCASTING = ("mse", "l1", "smoothl1", "huber", "poissonnll")
"""Losses of torch, as functions and as classes, that only warn where outputs and targets differ in shape."""
OWN_LOSS = "give `loss_fn(model, batch)`"
BATCHES = "give batches, such as DataLoader(TensorDataset(inputs, labels), batch_size=64)"
SQUARES = "`lambda model, batch: torch.nn.functional.mse_loss(model(batch[0]).flatten(), batch[1].flatten())`"
ACCURACIES = ("accuracy", "acc")


def cross_entropy(model: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and accuracy of a classifier on a pair of inputs and labels.

    Labels are class indices, or probabilities of the shape of the outputs (soft labels); their accuracy is that of the
    likeliest class.

    Raises:
        TypeError: when the batch is no such pair, or its targets are something else.
    """
    if isinstance(batch, torch.Tensor):
        raise TypeError(
            f"a batch is one tensor, not (inputs, labels); {BATCHES}, or {OWN_LOSS}"
        )
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise TypeError(f"a batch is {_kind(batch)}, not (inputs, labels); {OWN_LOSS}")
    if not all(isinstance(part, torch.Tensor) for part in batch):
        raise TypeError(
            f"a batch is {outline(batch)}, not two tensors, (inputs, labels); give tensors, or {OWN_LOSS[5:]}"
        )
    device = next(model.parameters()).device
    inputs, labels = batch
    if not labels.ndim:
        raise TypeError(f"a batch is {outline(batch)}, a single sample; {BATCHES}")
    with _telling_what_does_not_fit(model, batch):
        logits = model(inputs.to(device))
    if not isinstance(logits, torch.Tensor):
        raise TypeError(f"the model returns {_kind(logits)}, not logits; {OWN_LOSS}")
    labels = _checked_labels(logits, labels.to(device))
    try:
        # Of labels that are all ignored torch's own mean is no number.
        mean = F.cross_entropy if labels.is_floating_point() else mean_of_counted
        loss = mean(logits, labels)
    except IndexError as error:
        raise TypeError(
            f"{_pair(logits, labels)}: a label is {_beyond(logits, labels)}, but the model has {logits.shape[1]} "
            f"outputs, counted from 0; give it more, number the labels anew, or {OWN_LOSS}"
        ) from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise TypeError(
            f"{_pair(logits, labels)} do not suit cross-entropy ({reason}); {OWN_LOSS}"
        ) from error
    classes = labels.argmax(1) if labels.is_floating_point() else labels
    counted = classes != IGNORED
    hits = (logits.detach().argmax(1) == classes) & counted
    return loss, hits.sum() / counted.sum().clamp(min=1)


def loss_of(run: Run) -> LossFn:
    """The loss of a run as range tests take it; its cross-entropy is theirs, which knows accuracy."""
    return cross_entropy if run.loss == CROSS_ENTROPY else build_loss(run.loss)


def _checked_labels(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The labels as cross-entropy takes them."""
    shapes = _pair(logits, labels)
    if logits.ndim < 2 or logits.shape[1] < 2:
        raise TypeError(
            f"{shapes}: the cross-entropy of a single class is always 0; {OWN_LOSS}, such as {SQUARES}"
        )
    if not labels.is_floating_point():
        return labels.long()
    if labels.shape != logits.shape or not are_probabilities(labels):
        raise TypeError(
            f"{shapes}: targets of type {labels.dtype} are neither class indices nor probabilities; {OWN_LOSS}, such "
            f"as {SQUARES}"
        )
    return labels.to(logits.dtype)


class UserLoss(Loss):
    """A loss function as the user gives it.

    Args:
        function: as :data:`LossFn`. One of losslab's own losses says by its ``weight`` what its mean is over.
    Raises:
        TypeError: when it is none.
    """

    def __init__(self, function: LossFn) -> None:
        self.function = _checked_function(function)
        self.name = str(getattr(function, "__name__", type(function).__name__))
        # Losses of losslab's say themselves what does not fit.
        self._is_known_to_fit = function is cross_entropy or _is_own(function)

    def __call__(self, model: nn.Module, batch: Any) -> Judged:
        """The loss as a scalar tensor, and the accuracy, where there is one, in place of outputs."""
        if self._is_known_to_fit:
            result = self.function(model, batch)
        else:
            with _telling_what_does_not_fit(model, batch, self.name):
                result = self.function(model, batch)
            # What has worked once fits: a later error is a fault, and its own message is the best.
            self._is_known_to_fit = True
        loss, accuracy = _loss_and_accuracy(result)
        return Judged(_scalar(loss), _number(accuracy))

    def weight(self, batch: Any) -> torch.Tensor | None:
        """As :class:`Loss` has it."""
        # Only losslab's own losses mean this by the name: a criterion's `weight` is that of its classes.
        if _is_own(self.function):
            return self.function.weight(batch)  # type: ignore[attr-defined, no-any-return]
        # Labels that are ignored weigh nothing in the mean of several batches. What is no pair is refused by the loss.
        if self.function is cross_entropy and _is_pair(batch):
            labels = as_indices(batch[1])
            return None if labels.is_floating_point() else (labels != IGNORED).sum()
        return None

    def measure(self, judged: Judged, samples: int) -> Sums:
        """The accuracy, summed over samples."""
        if judged.outputs is None:
            return {}
        accuracy = torch.as_tensor(judged.outputs, dtype=torch.float, device=judged.loss.device)
        return {"accuracy": accuracy * samples}


def _is_pair(batch: Any) -> bool:
    is_sequence = isinstance(batch, tuple | list) and len(batch) == 2
    return is_sequence and all(isinstance(part, torch.Tensor) for part in batch)


def _is_own(function: LossFn) -> bool:
    return Loss in type(function).__mro__


@contextmanager
def _telling_what_does_not_fit(
    model: nn.Module, batch: Any, loss_name: str | None = None
) -> Iterator[None]:
    """Add model and batch to an error that torch or Python raises in a forward pass, in one line; its type stays."""
    try:
        yield
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        # A class of its own, such as that of memory, tells what it is, and may take other arguments.
        if type(error).__module__ != "builtins":
            raise
        reason = " ".join(str(error).split())
        if TORCH_SAYS in reason:
            advice = (
                "batch norm cannot train on a single sample: give `data` batches of two or more"
            )
        else:
            loss = f", `loss_fn` (={loss_name})" if loss_name else ""
            kind = type(model).__name__
            advice = (
                f"`model` ({kind}){loss} and a batch of `data`, {outline(batch)}, do not fit"
                f"{advice_on_types(reason)}"
            )
        raise type(error)(f"{reason}; {advice}") from error


def _loss_and_accuracy(result: Any) -> tuple[Any, Any]:
    """The two in what a loss function returned, whatever they are; the accuracy is None where there is none."""
    if isinstance(result, torch.Tensor):
        return result, None
    if isinstance(result, Judged):
        return result.loss, None
    if isinstance(result, tuple | list):
        if len(result) != 2:
            raise TypeError(
                f"`loss_fn` returned {len(result)} values; return a loss or (loss, accuracy)"
            )
        return result[0], result[1]
    if isinstance(result, Mapping):
        if "loss" not in result:
            raise TypeError(
                f"`loss_fn` returned a mapping of {', '.join(map(str, result))}; it must have a 'loss'"
            )
        accuracies = [result[name] for name in ACCURACIES if name in result]
        return result["loss"], accuracies[0] if accuracies else None
    return getattr(result, "loss", result), None


def _scalar(loss: Any) -> torch.Tensor:
    if not isinstance(loss, torch.Tensor):
        raise TypeError(
            f"`loss_fn` returned {_kind(loss)}; return the loss as a tensor with its gradient"
        )
    if loss.numel() != 1:
        raise TypeError(
            f"`loss_fn` returned a loss of shape {tuple(loss.shape)}; return its mean, `loss.mean()`"
        )
    if loss.is_complex():
        raise TypeError(f"`loss_fn` returned a loss of type {loss.dtype}; return a real one")
    if not loss.requires_grad and torch.is_grad_enabled():
        raise TypeError(
            "`loss_fn` returned a loss without a gradient; is it detached, or are its weights frozen?"
        )
    return loss.reshape(())


def _number(accuracy: Any) -> Any:
    """The accuracy as one number, or None."""
    if accuracy is None or isinstance(accuracy, int | float):
        return accuracy
    if isinstance(accuracy, torch.Tensor) and accuracy.numel() == 1:
        return accuracy.detach().reshape(())
    raise TypeError(
        f"`loss_fn` returned (loss, {outline(accuracy)}); the second value must be the accuracy, one number, or be "
        "left out"
    )


def _checked_function(function: Any) -> LossFn:
    if isinstance(function, type):
        raise TypeError(f"`loss_fn` is a class; {_write(function, f'{function.__name__}()')}")
    if (
        isinstance(function, _Loss)
        or getattr(function, "__module__", "") == "torch.nn.functional"
    ):
        name = getattr(function, "__name__", "criterion")
        raise TypeError(
            f"`loss_fn` (={name}) takes outputs and targets; {_write(function, name)}"
        )
    if not callable(function):
        raise TypeError(
            f"`loss_fn` is {_kind(function)}; give a function of (model, batch) that returns the loss"
        )
    called = function.forward if isinstance(function, nn.Module) else function
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):
        return function  # type: ignore[no-any-return]  # written in C: it tells nothing of its arguments
    try:
        signature.bind(None, None)
    except TypeError:
        raise TypeError(
            f"`loss_fn` takes {signature}; it is called as loss_fn(model, batch)"
        ) from None
    return function  # type: ignore[no-any-return]


def _write(criterion: Any, call: str) -> str:
    """What to write for a function of outputs and targets."""
    name = str(getattr(criterion, "__name__", type(criterion).__name__))
    bare = name.lower().replace("_", "").removesuffix("loss")
    return (WRITE_FLAT if bare in BROADCASTING else WRITE).format(call)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return f"{value!r}"[:60]
    size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    return f"a {type(value).__name__}{size}"


def _beyond(logits: torch.Tensor, labels: torch.Tensor) -> int:
    """The label that is furthest from being a class of the outputs."""
    largest, smallest = int(labels.max()), int(labels.min())
    return largest if largest >= logits.shape[1] else smallest


def _pair(logits: torch.Tensor, labels: torch.Tensor) -> str:
    return f"outputs {tuple(logits.shape)} and targets {tuple(labels.shape)}"
