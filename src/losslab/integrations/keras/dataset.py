"""A Keras dataset whose batch size follows a policy."""

import os
import threading
from itertools import islice
from math import ceil
from typing import Any

import keras

from losslab.choice import Choice
from losslab.integrations.keras.arrays import Arrays, Order
from losslab.integrations.torch.course import PolicyLike, is_closed, lay_out, policy_of
from losslab.policies import BATCH_POLICIES, Horizon, batch_schedule
from losslab.policies.sizes import Size, batches
from losslab.schedules import whole


class CyclicalBatchSize(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no types
    """Batches of arrays in memory whose size follows a policy, for ``fit(batches, epochs=..., shuffle=False)``.

    ``fit`` has a :class:`StepHistory` of this dataset among its callbacks, which tells it the epoch. Size and samples
    of a batch follow from its step alone, so that workers, threads or processes, change nothing.

    Keras gives every epoch the same number of batches. One of its epochs is therefore ``steps_per_epoch`` steps here, a
    share of the training, and not exactly one pass over the samples: each pass has its own order, its last batch is
    what is left of it, and the next one begins within the same epoch. All epochs together are at least that
    many passes, by some steps more where the steps are no multiple of the epochs.

    Attributes:
        batch_sizes: samples of every step of the training.
        steps_per_epoch: batches of a Keras epoch.

    Args:
        x: inputs: an array, or a structure of arrays, with the samples along the first axis.
        y: targets, likewise.
        batch: a number, a policy such as ``"triangular(16, 64)"``, or a schedule from the step to a size.
        epochs: epochs of the training, as given to ``fit``.
        sample_weight: weights of the samples.
        seed: of the orders.
        shuffle: whether passes have random orders; ``fit`` itself is not to shuffle.
        options: ``workers``, ``use_multiprocessing`` and ``max_queue_size`` of a ``PyDataset``.
    Raises:
        ValueError: arrays of different length, or a policy that is not known; in ``fit``, batches that come out of
            order, or an epoch that is not told.
    Example:
        >>> samples = keras.ops.zeros((100, 4))
        >>> batches = CyclicalBatchSize(samples, batch="triangular(8, 32, cycles=1)", epochs=2)
        >>> batches.steps_per_epoch, batches.batch_sizes[:4]
        (7, (32, 22, 17, 14))
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        *,
        batch: PolicyLike,
        epochs: int,
        sample_weight: Any = None,
        seed: int = 0,
        shuffle: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._arrays = Arrays(x, y, sample_weight)
        self._order = Order(self._arrays.samples, seed, shuffle=shuffle)
        self._epochs = epochs
        ends = _laid_out(batch, self._arrays.samples, epochs)
        self.batch_sizes = tuple(samples for samples, _seen in ends)
        self.steps_per_epoch = len(ends) // epochs
        self._starts = [0, *(seen for _samples, seen in ends)]
        self._epoch = 0
        self._is_running = False
        self._is_told = False
        self._has_begun_untold = False
        self._delivered_all = self._has_passed = False
        self._last: dict[tuple[int, int], int] = {}

    @keras.utils.PyDataset.workers.getter  # type: ignore[untyped-decorator]  # keras has no types
    def workers(self) -> int:
        """Threads or processes that fetch batches."""
        # Keras asks once, as a fit, an evaluation or a prediction begins: its first epoch needs no telling.
        self._has_passed = self._has_begun_untold = False
        return int(super().workers)

    @property
    def num_batches(self) -> int:
        """Batches of a Keras epoch."""
        return self.steps_per_epoch

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """The batch of a step of this epoch."""
        self._check_order(index)
        step = self._epoch * self.steps_per_epoch + index
        number, start = divmod(self._starts[step], self._arrays.samples)
        return self._arrays.batch(self._order(number)[start : start + self.batch_sizes[step]])

    def set_epoch(self, epoch: int) -> None:
        """Have the next batches be those of an epoch, from 0."""
        self._epoch = epoch
        self._is_running = self._is_told = True
        self._delivered_all = False
        self._last.clear()

    def on_epoch_begin(self) -> None:
        """Raise ValueError when no callback has told of the epoch that begins."""
        # Workers may have fetched all of this epoch already, so that the one before counts by its end; the batch that
        # builds a model is no epoch.
        if self._has_passed and not self._is_told and self._epochs > 1:
            raise ValueError(
                "an epoch begins that this dataset was not told of; give StepHistory(batches) to the callbacks of fit"
            )
        self._has_begun_untold = not self._is_told
        self._is_running, self._is_told = True, False

    def on_epoch_end(self) -> None:
        """Note that batches may be taken in any order again."""
        # An end without a beginning is how Keras begins to validate again within a fit: no epoch has passed then.
        self._has_passed = self._is_running and self._delivered_all
        self._delivered_all = False
        self._is_running = False
        self._last.clear()

    def check_training(self, epochs: int, steps: int) -> None:
        """Raise ValueError when a training is not what these batches are laid out for, or would not get them in order.

        ``fit`` builds a model that has no metrics yet on a first batch. What its workers have fetched by then it gives
        out again, before the batches of the first epoch.
        """
        has_leftovers = self._has_begun_untold and (
            self.workers > 1 or self.use_multiprocessing
        )
        self._has_begun_untold = False
        if has_leftovers:
            raise ValueError(
                "fit built the model on a batch, and would train first on others that workers fetched meanwhile; "
                "build it before: model.test_on_batch(*batches[0])"
            )
        if (epochs, steps) != (self._epochs, self.steps_per_epoch):
            raise ValueError(
                f"fit has `epochs` (={epochs}) of {steps} steps, but the batches are laid out for {self._epochs} of "
                f"{self.steps_per_epoch}; give both the same epochs, and fit no `steps_per_epoch`"
            )

    def _check_order(self, index: int) -> None:
        # A worker takes batches in increasing order, unless `fit` shuffles them: a step's size would be another's then.
        worker = (os.getpid(), threading.get_ident())
        if self._is_running and index < self._last.get(worker, -1):
            raise ValueError(
                "fit shuffles the batches, whose sizes are in order; give it `shuffle=False`: samples are shuffled here"
            )
        self._last[worker] = index
        self._delivered_all |= index == self.steps_per_epoch - 1


def _laid_out(batch: PolicyLike, samples: int, epochs: int) -> list[tuple[int, int]]:
    """Of every step its samples and those seen by then; the steps are the fewest by which so many epochs are seen
    and which epochs divide."""
    course = lay_out(lr=1.0, batch=batch, dataset_size=samples, epochs=epochs)
    steps = epochs * ceil(course.total_steps / epochs)
    while True:
        # Over these steps, so that cycles end where the training ends.
        size = _size_over(steps, batch, samples, epochs)
        ends = list(islice(batches(size, samples), steps))
        if ends[-1][1] >= epochs * samples:
            return ends
        steps += epochs


def _size_over(steps: int, batch: PolicyLike, samples: int, epochs: int) -> Size:
    """The scheduled size of each step."""
    if is_closed(batch):
        return whole(batch)
    policy = policy_of("batch", BATCH_POLICIES, batch)
    number_or_choice = policy if isinstance(policy, Choice) else int(policy)
    return batch_schedule(number_or_choice, Horizon(steps, samples, float(epochs)))
