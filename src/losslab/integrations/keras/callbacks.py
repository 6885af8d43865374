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
    ``exp_range`` comes down to a tenth there. With ``initial_epoch`` it begins where that epoch does. A model with
    ``steps_per_execution`` has, for all steps of an execution, the rate of the first.

    Attributes:
        lr: the learning rate of every step, or execution, so far, as the schedule has it; Keras keeps it in float32.

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
        self._first_step = 0
        self._next_step = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Lay the policy out over the steps of this training."""
        self.lr = []
        self._first_step = self._next_step = 0
        self._schedule = self._laid_out()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin at the epoch's first step, also where training goes on from an earlier one."""
        steps = self.params["steps"]
        self._first_step = epoch * steps if steps else self._next_step

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate of the step that follows, the epoch's `batch`-th."""
        assert self._schedule is not None
        step = self._first_step + batch
        lr = float(self._schedule(step))
        set_lr(self.model.optimizer, lr)
        self.lr.append(lr)
        # Keras calls once for each execution, which may be several steps.
        self._next_step = step + self.model.steps_per_execution

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
    """Learning rate and batch size of every step.

    The rate is read from the optimizer; the size is the dataset's, or else what Keras's loss counts. It also tells a
    :class:`CyclicalBatchSize` which epoch begins, which Keras tells callbacks alone.

    Attributes:
        lr: of every step so far, as the optimizer holds it, in float32.
        batch_size: samples of every step.

    Args:
        batches: the dataset that is trained on, where its batch size varies.
    Raises:
        ValueError: in ``fit``, when Keras runs several steps at once, or when the model counts no samples and there is
            no such dataset.
    """

    def __init__(self, batches: CyclicalBatchSize | None = None) -> None:
        super().__init__()
        self.batches = batches
        self.lr: list[float] = []
        self.batch_size: list[int] = []
        self._seen = 0
        self._first_step = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin a new history, and check that the dataset is laid out over this training."""
        self.lr, self.batch_size = [], []
        steps_at_once = self.model.steps_per_execution
        if steps_at_once > 1:
            raise ValueError(
                f"`steps_per_execution` (={steps_at_once}) must be 1: callbacks are not told of single steps otherwise"
            )
        if self.batches is not None:
            self.batches.check_training(self.params["epochs"], self.params["steps"])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell the dataset the epoch; Keras counts samples anew."""
        self._seen = 0
        if self.batches is not None:
            self._first_step = epoch * self.batches.steps_per_epoch
            self.batches.set_epoch(epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Note what the step was made with."""
        if self.batches is not None:
            self.batch_size.append(self.batches.batch_sizes[self._first_step + batch])
        else:
            self.batch_size.append(self._counted())
        self.lr.append(lr_of(self.model.optimizer))

    def _counted(self) -> int:
        """Samples that Keras's loss has counted since the step before."""
        # The mean of the losses of an epoch, weighted by samples: what it weighed is what the model saw. It comes first
        # among the metrics, unless the model has a list of its own; a train_step of its own may leave it at zero.
        seen = 0
        if type(self.model).metrics is keras.Model.metrics:
            seen = int(keras.ops.convert_to_numpy(self.model.metrics[0].count.value))
        samples = seen - self._seen
        if samples < 1:
            raise ValueError(
                f"`model` ({type(self.model).__name__}) has metrics or a train_step of its own, which count no "
                "samples; train on a CyclicalBatchSize and give it: StepHistory(batches)"
            )
        self._seen = seen
        return samples


def lr_of(optimizer: Any) -> float:
    """The rate that a Keras optimizer holds."""
    # A variable's tensor, and not the variable, which numpy 2 would warn of.
    return float(
        keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(optimizer.learning_rate))
    )


def set_lr(optimizer: Any, lr: float) -> None:
    """Set the rate of a Keras optimizer.

    Raises:
        ValueError: when the optimizer was compiled with a schedule or a function, which sets it itself.
    """
    try:
        optimizer.learning_rate = lr
    except (AttributeError, TypeError):
        raise ValueError(
            f"`optimizer` ({type(optimizer).__name__}) was compiled with a schedule of Keras or a function, which "
            "sets its own rate; compile it with a number, such as learning_rate=1e-3"
        ) from None
