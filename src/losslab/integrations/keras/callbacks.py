"""Callbacks of ``fit``: a learning rate that follows a policy step by step, and a history by step."""

from typing import Any

import keras

from losslab.integrations.keras.dataset import CyclicalBatchSize
from losslab.integrations.torch.course import PolicyLike, is_closed, laid_out_lr
from losslab.policies import Horizon
from losslab.schedules import Schedule


class CyclicalLearningRate(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Set the learning rate of every step by a policy that is laid out over the training.

    ``fit`` tells how many steps the training has, so that the last cycle ends where it ends, and the decay of
    ``exp_range`` comes down to a tenth there. With ``initial_epoch`` it begins where that epoch does.

    Attributes:
        lr: the learning rate of every step so far, as the schedule has it; Keras keeps it in float32.

    Args:
        policy: ``exp_range(1e-4, 1e-2)``, ``triangular`` or ``triangular2`` of :mod:`losslab.schedules`, any other
            schedule or policy, as text too.
    Raises:
        ValueError: in ``fit``, when the number of steps is not known or the optimizer has a schedule of its own.
    Example:
        >>> from losslab.schedules import exp_range
        >>> CyclicalLearningRate(exp_range(1e-4, 1e-2, cycles=3)).lr
        []

    Reference:
        Smith 2015, arXiv:1506.01186, section 3.
    """

    def __init__(self, policy: PolicyLike) -> None:
        super().__init__()
        self.policy = policy
        self.lr: list[float] = []
        self._schedule: Schedule | None = None
        self._step = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Lay the policy out over the steps of this training."""
        self.lr = []
        self._step = 0
        self._schedule = self._laid_out()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin at the epoch's first step, also where training goes on from an earlier one."""
        steps = self.params["steps"]
        if steps:
            self._step = epoch * steps

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate of the step that follows."""
        assert self._schedule is not None
        lr = float(self._schedule(self._step))
        set_lr(self.model.optimizer, lr)
        self.lr.append(lr)
        self._step += 1

    def _laid_out(self) -> Schedule:
        epochs, steps = self.params["epochs"], self.params["steps"]
        if is_closed(self.policy):
            return self.policy
        if not steps:
            raise ValueError(
                f"`policy` (={self.policy!r}) is laid out over the training, whose steps this data does not tell; "
                "give `steps_per_epoch` to fit, or `steps` to the schedule"
            )
        total = epochs * steps
        # A step stands for a sample: lengths in epochs are then whole numbers of steps.
        return laid_out_lr(self.policy, Horizon(total, steps, float(epochs), range(total + 1)))


class StepHistory(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Learning rate and batch size of every step, read from the optimizer and from Keras's own count of samples.

    It also tells a :class:`CyclicalBatchSize` which epoch begins, which Keras tells callbacks alone.

    Attributes:
        lr: of every step so far, as the optimizer holds it, in float32.
        batch_size: samples that the loss of every step was averaged over.

    Args:
        batches: the dataset that is trained on, where its batch size varies.
    """

    def __init__(self, batches: CyclicalBatchSize | None = None) -> None:
        super().__init__()
        self.batches = batches
        self.lr: list[float] = []
        self.batch_size: list[int] = []
        self._seen = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin a new history, and check that the dataset is laid out over this training."""
        self.lr, self.batch_size = [], []
        if self.batches is not None:
            self.batches.check_training(self.params["epochs"], self.params["steps"])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell the dataset the epoch; Keras counts samples anew."""
        self._seen = 0
        if self.batches is not None:
            self.batches.set_epoch(epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Note what the step was made with."""
        model = self.model
        # The mean of the losses of an epoch, weighted by samples: what it weighed is what the model saw.
        seen = int(keras.ops.convert_to_numpy(model.metrics[0].count.value))
        self.batch_size.append(seen - self._seen)
        self._seen = seen
        self.lr.append(lr_of(model.optimizer))


def lr_of(optimizer: Any) -> float:
    """The rate that a Keras optimizer holds."""
    # A variable's tensor, and not the variable, which numpy 2 would warn of.
    return float(
        keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(optimizer.learning_rate))
    )


def set_lr(optimizer: Any, lr: float) -> None:
    """Set the rate of a Keras optimizer.

    Raises:
        ValueError: when the optimizer was compiled with a schedule of Keras, which sets it itself.
    """
    try:
        optimizer.learning_rate = lr
    except TypeError:
        raise ValueError(
            f"`optimizer` ({type(optimizer).__name__}) was compiled with a schedule of Keras, which sets its own rate; "
            "compile it with a number, such as learning_rate=1e-3"
        ) from None
