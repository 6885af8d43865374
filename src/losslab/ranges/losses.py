"""The loss of a range test: what a user's function returns, read where it is clear and refused where it is not."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from losslab.ranges.batches import outline
from losslab.tasks.losses import Judged, Loss
from losslab.training.step import Sums

LossFn = Callable[[nn.Module, Any], Any]
"""(model, batch) -> loss, (loss, accuracy), or a mapping or an object that has the loss by that name."""

WRITE = "write `loss_fn=lambda model, batch: {}(model(batch[0]), batch[1])`"
OWN_LOSS = "give `loss_fn(model, batch)`"
SQUARES = "`lambda model, batch: torch.nn.functional.mse_loss(model(batch[0]), batch[1])`"
ACCURACIES = ("accuracy", "acc")


def cross_entropy(model: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and accuracy of a classifier on a pair of inputs and labels.

    Labels are class indices, or probabilities of the shape of the outputs (soft labels); their accuracy is that of the
    likeliest class.

    Raises:
        TypeError: when the batch is no such pair, or its targets are something else.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise TypeError(f"a batch is {_kind(batch)}, not (inputs, labels); {OWN_LOSS}")
    if not all(isinstance(part, torch.Tensor) for part in batch):
        raise TypeError(
            f"a batch is {outline(batch)}, not two tensors, (inputs, labels); {OWN_LOSS}"
        )
    device = next(model.parameters()).device
    inputs, labels = batch
    logits = model(inputs.to(device))
    if not isinstance(logits, torch.Tensor):
        raise TypeError(f"the model returns {_kind(logits)}, not logits; {OWN_LOSS}")
    labels = _checked_labels(logits, labels.to(device))
    try:
        loss = F.cross_entropy(logits, labels)
    except (IndexError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise TypeError(
            f"{_pair(logits, labels)} do not suit cross-entropy ({reason}); {OWN_LOSS}"
        ) from error
    classes = labels.argmax(1) if labels.is_floating_point() else labels
    hits = logits.detach().argmax(1) == classes
    return loss, hits.float().mean()


def _checked_labels(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The labels as cross-entropy takes them."""
    shapes = _pair(logits, labels)
    if logits.ndim < 2 or logits.shape[1] < 2:
        raise TypeError(
            f"{shapes}: the cross-entropy of a single class is always 0; {OWN_LOSS}, such as {SQUARES}"
        )
    if not labels.is_floating_point():
        return labels.long()
    if labels.shape != logits.shape or not _are_probabilities(labels):
        raise TypeError(
            f"{shapes}: targets of type {labels.dtype} are neither class indices nor probabilities; {OWN_LOSS}, such "
            f"as {SQUARES}"
        )
    return labels.to(logits.dtype)


def _are_probabilities(labels: torch.Tensor) -> bool:
    totals = labels.sum(1).float()
    # Probabilities of 16 bits sum to one within about a hundredth.
    sum_to_one = torch.allclose(totals, torch.ones_like(totals), atol=1e-2)
    return sum_to_one and bool((labels >= 0).all())


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

    def __call__(self, model: nn.Module, batch: Any) -> Judged:
        """The loss as a scalar tensor, and the accuracy, where there is one, in place of outputs."""
        loss, accuracy = _loss_and_accuracy(self.function(model, batch))
        return Judged(_scalar(loss), _number(accuracy))

    def weight(self, batch: Any) -> torch.Tensor | None:
        """As :class:`Loss` has it."""
        # Only losslab's own losses mean this by the name: a criterion's `weight` is that of its classes.
        if Loss in type(self.function).__mro__:
            return self.function.weight(batch)  # type: ignore[attr-defined, no-any-return]
        return None

    def measure(self, judged: Judged, samples: int) -> Sums:
        """The accuracy, summed over samples."""
        if judged.outputs is None:
            return {}
        accuracy = torch.as_tensor(judged.outputs, dtype=torch.float, device=judged.loss.device)
        return {"accuracy": accuracy * samples}


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
        raise TypeError(f"`loss_fn` is a class; {WRITE.format(f'{function.__name__}()')}")
    if (
        isinstance(function, _Loss)
        or getattr(function, "__module__", "") == "torch.nn.functional"
    ):
        name = getattr(function, "__name__", "criterion")
        raise TypeError(f"`loss_fn` (={name}) takes outputs and targets; {WRITE.format(name)}")
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


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return f"{value!r}"[:60]
    size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    return f"a {type(value).__name__}{size}"


def _pair(logits: torch.Tensor, labels: torch.Tensor) -> str:
    return f"outputs {tuple(logits.shape)} and targets {tuple(labels.shape)}"
