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
        raise TypeError(f"a batch is {outline(batch)}, not two tensors, (inputs, labels); {OWN_LOSS}")
    device = next(model.parameters()).device
    inputs, labels = (part.to(device) for part in batch)
    logits = model(inputs)
    if not isinstance(logits, torch.Tensor):
        raise TypeError(f"the model returns {_kind(logits)}, not logits; {OWN_LOSS}")
    labels = _checked_labels(logits, labels)
    try:
        loss = F.cross_entropy(logits, labels)
    except (IndexError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise TypeError(f"{_pair(logits, labels)} do not suit cross-entropy ({reason}); {OWN_LOSS}") from error
    classes = labels.argmax(1) if labels.is_floating_point() else labels
    return loss, (logits.detach().argmax(1) == classes).float().mean()


def _checked_labels(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The labels as cross-entropy takes them."""
    if logits.ndim < 2 or logits.shape[1] < 2:
        raise TypeError(
            f"{_pair(logits, labels)}: the cross-entropy of a single class is always 0; {OWN_LOSS}, such as "
            "`lambda model, batch: torch.nn.functional.mse_loss(model(batch[0]), batch[1])`"
        )
    if not labels.is_floating_point():
        return labels.long()
    are_soft = labels.shape == logits.shape and bool((labels >= 0).all()) and _sum_to_one(labels)
    if not are_soft:
        raise TypeError(
            f"{_pair(logits, labels)}: targets of type {labels.dtype} are neither class indices nor probabilities; "
            f"{OWN_LOSS}, such as `lambda model, batch: torch.nn.functional.mse_loss(model(batch[0]), batch[1])`"
        )
    return labels.to(logits.dtype)


def _sum_to_one(labels: torch.Tensor) -> bool:
    return bool(torch.allclose(labels.sum(1).float(), torch.ones((), device=labels.device), atol=1e-2))


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
        result = self.function(model, batch)
        if isinstance(result, Judged):
            return Judged(self._scalar(result.loss), None)
        if isinstance(result, tuple | list) and not isinstance(result, torch.Size):
            if len(result) != 2:
                raise TypeError(f"`loss_fn` returned {len(result)} values; return a loss or (loss, accuracy)")
            return Judged(self._scalar(result[0]), self._accuracy(result[1]))
        if isinstance(result, Mapping):
            if "loss" not in result:
                raise TypeError(f"`loss_fn` returned a mapping of {', '.join(map(str, result))}; it must have a 'loss'")
            accuracy = next((result[name] for name in ACCURACIES if name in result), None)
            return Judged(self._scalar(result["loss"]), self._accuracy(accuracy))
        if not isinstance(result, torch.Tensor) and isinstance(getattr(result, "loss", None), torch.Tensor):
            return Judged(self._scalar(result.loss), None)
        return Judged(self._scalar(result), None)

    def weight(self, batch: Any) -> torch.Tensor | None:
        """As :class:`Loss` has it."""
        return self.function.weight(batch) if Loss in type(self.function).__mro__ else None  # type: ignore[attr-defined]

    def measure(self, judged: Judged, samples: int) -> Sums:
        """The accuracy, summed over samples."""
        if judged.outputs is None:
            return {}
        return {"accuracy": torch.as_tensor(judged.outputs, dtype=torch.float, device=judged.loss.device) * samples}

    def _scalar(self, loss: Any) -> torch.Tensor:
        if not isinstance(loss, torch.Tensor):
            raise TypeError(f"`loss_fn` returned {_kind(loss)}; return the loss as a tensor with its gradient")
        if loss.numel() != 1:
            raise TypeError(f"`loss_fn` returned a loss of shape {tuple(loss.shape)}; return its mean, `loss.mean()`")
        if not loss.requires_grad and torch.is_grad_enabled():
            raise TypeError("`loss_fn` returned a loss without a gradient; is it detached, or are its weights frozen?")
        return loss.reshape(())

    def _accuracy(self, accuracy: Any) -> Any:
        """A number; None where there is none."""
        if accuracy is None or isinstance(accuracy, int | float):
            return accuracy
        if isinstance(accuracy, torch.Tensor) and accuracy.numel() == 1:
            return accuracy.detach().reshape(())
        raise TypeError(
            f"`loss_fn` returned (loss, {outline(accuracy)}); the second value must be the accuracy, one number, or "
            "be left out"
        )


def _checked_function(function: Any) -> LossFn:
    if isinstance(function, type):
        raise TypeError(f"`loss_fn` is a class; {WRITE.format(f'{function.__name__}()')}")
    if isinstance(function, _Loss) or getattr(function, "__module__", "") == "torch.nn.functional":
        name = getattr(function, "__name__", "criterion")
        raise TypeError(f"`loss_fn` (={name}) takes outputs and targets; {WRITE.format(name)}")
    if not callable(function):
        raise TypeError(f"`loss_fn` is {_kind(function)}; give a function of (model, batch) that returns the loss")
    try:
        signature = inspect.signature(function.forward if isinstance(function, nn.Module) else function)
    except (TypeError, ValueError):
        return function  # type: ignore[no-any-return]
    try:
        signature.bind(None, None)
    except TypeError:
        raise TypeError(f"`loss_fn` takes {signature}; it is called as loss_fn(model, batch)") from None
    return function  # type: ignore[no-any-return]


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return f"{value!r}"[:60]
    size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    return f"a {type(value).__name__}{size}"


def _pair(logits: torch.Tensor, labels: torch.Tensor) -> str:
    return f"outputs {tuple(logits.shape)} and targets {tuple(labels.shape)}"
