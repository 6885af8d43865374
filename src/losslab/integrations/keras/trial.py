"""A short training of a Keras model for measuring alone, by its own `train_on_batch`, and what puts it back."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from time import perf_counter
from typing import Any, TypeVar

import keras
import numpy as np
import torch

from losslab.integrations.keras.arrays import Batches
from losslab.integrations.keras.callbacks import lr_of, set_lr
from losslab.randomness import derive_seed
from losslab.ranges.curves import STOP_BETA, steps_before_divergence
from losslab.ranges.progress import Progress
from losslab.ranges.restored import put_back_after, with_draws_of
from losslab.ranges.snapshot import Snapshot, Undo
from losslab.ranges.trace import Trace
from losslab.ranges.trial import FLUSH_STEPS

Result = TypeVar("Result")

SEED_STATE = "seed_generator_state"
"""The variable from which a layer of Keras draws."""


class Subject:
    """A compiled model that a test trains.

    Attributes:
        model: the user's.
        optimizer_name: its class.
        loss_name: as the model was compiled with it.
        progress: is told of every step.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.optimizer_name = type(model.optimizer).__name__
        self.loss_name = _name(model.loss)
        self.progress = Progress()

    def build(self, batches: Iterable[Any]) -> None:
        """Make weights and the optimizer's state where there are none yet; nothing is trained.

        Raises:
            ValueError: when there is no batch.
        """

        def call(_snapshot: Snapshot) -> None:
            batch = next(iter(batches), None)
            if batch is None:
                raise ValueError("`data` has no batch")
            inputs, _targets, _weights = keras.utils.unpack_x_y_sample_weight(batch)
            # Called, and not evaluated: a model with a train_step of its own may have no loss to evaluate.
            if not self.model.built:
                self.model(inputs)

        if not (self.model.built and self.model.optimizer.built):
            self._call_and_put_back(call, batches)
            self.model.optimizer.build(self.model.trainable_variables)

    def lr(self) -> float:
        """The optimizer's learning rate."""
        return lr_of(self.model.optimizer)

    def train(
        self, batches: Iterable[Any], lrs: Sequence[float], seed: int, label: str, work: int = 1
    ) -> Trace:
        """Train a step for each learning rate, or until the loss diverges; put everything back.

        Args:
            batches: to train on.
            lrs: learning rate of each step.
            seed: of the order and of dropout.
            label: what the progress calls this training.
            work: of a step, beside those of other trainings.
        """

        def train_and_seed(snapshot: Snapshot) -> Trace:
            return with_draws_of(seed, snapshot, lambda: self._train(batches, lrs, seed, work))

        with self.progress.part(label, len(lrs) * work):
            return self._call_and_put_back(train_and_seed, batches)

    def _call_and_put_back(
        self, body: Callable[[Snapshot], Result], batches: Iterable[Any]
    ) -> Result:
        """Call a function; put back the data, random state and all that the model and its optimizer hold."""
        modules = self._modules()

        def call(snapshot: Snapshot) -> Result:
            snapshot.undos += [
                self._metrics_reset(),
                _remembered(self._variables()),
                _modes_of(modules),
            ]
            return body(snapshot)

        # Buffers of torch modules are no variables of Keras; a ParameterDict holds what is one.
        of_torch = [
            module
            for module in modules
            if not isinstance(module, keras.Layer | torch.nn.ParameterDict)
        ]
        return put_back_after(call, batches, *of_torch)

    def _modules(self) -> list[torch.nn.Module]:
        """All modules of torch within the model, its layers among them; none on other backends."""
        if not isinstance(self.model, torch.nn.Module):
            return []
        # From every layer on: those in a list, as of a Sequential, are no modules of their owner.
        layers: list[torch.nn.Module] = keras.Layer._flatten_layers(self.model)
        modules = {id(module): module for layer in layers for module in layer.modules()}
        return list(modules.values())

    def _metrics_reset(self) -> Undo:
        """What resets the metrics whose variables the first batch makes, as after `load_model`."""
        known = {id(variable) for metric in self.model.metrics for variable in metric.variables}

        def reset() -> None:
            for metric in self.model.metrics:
                if any(id(variable) not in known for variable in metric.variables):
                    metric.reset_state()

        return reset

    def _train(
        self, batches: Iterable[Any], lrs: Sequence[float], seed: int, work: int
    ) -> Trace:
        if isinstance(batches, Batches):
            batches = Batches(batches.arrays, batches.size, seed)
        self._seed_layers(seed)
        weights_sha256 = _hash(self.model.weights)
        loss: list[float] = []
        accuracy: list[float] = []
        samples: list[int] = []
        began = perf_counter()
        # Rates come first: when they end, no batch is drawn that would train nothing.
        for lr, batch in zip(lrs, _endless(batches), strict=False):
            x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
            set_lr(self.model.optimizer, lr)
            # Keras before 3.14 gives the mean over all batches since the metrics were reset.
            self.model.reset_metrics()
            logs = self.model.train_on_batch(x, y, weights, return_dict=True)
            self.progress.advance(work)
            loss.append(float(logs["loss"]))
            samples.append(len(keras.tree.flatten(x)[0]))
            if "accuracy" in logs:
                accuracy.append(float(logs["accuracy"]))
            is_due = len(loss) % FLUSH_STEPS == 0
            if is_due and steps_before_divergence(loss, STOP_BETA) < len(loss):
                break
        return Trace(
            lr=lrs[: len(loss)],
            loss=loss,
            accuracy=accuracy,
            samples=samples,
            train_seconds=perf_counter() - began,
            seed=seed,
            weights_sha256=weights_sha256,
        )

    def _variables(self) -> list[Any]:
        """All that a step changes: weights, states of layers and metrics, the optimizer's state and rate."""
        owners = [self.model, self.model.optimizer, *self.model.metrics]
        variables: dict[int, Any] = {}
        for owner in owners:
            variables |= {id(variable): variable for variable in owner.variables}
        return list(variables.values())

    def _seed_layers(self, seed: int) -> None:
        """Have dropout differ between seeds: layers draw from states of their own."""
        states = [variable for variable in self.model.variables if SEED_STATE in variable.path]
        for index, state in enumerate(states):
            drawn = derive_seed(seed, "range test layer", index) % 2**31
            state.assign(np.array([drawn, 0]).astype(state.dtype))


def _remembered(variables: Sequence[Any]) -> Undo:
    """What puts variables back."""
    # Copies: a compiled step of JAX gives the memory of the old values away.
    kept = [keras.ops.copy(variable.value) for variable in variables]

    def put_back() -> None:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)

    return put_back


def _modes_of(modules: Sequence[torch.nn.Module]) -> Undo:
    """What puts back whether modules train."""
    modes = [module.training for module in modules]

    def put_back() -> None:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode

    return put_back


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches, epoch after epoch."""
    while True:
        count = 0
        for batch in batches:
            yield batch
            count += 1
        if not count:
            raise ValueError(
                "`data` gave no batch when it was iterated again; give an iterable that begins anew each time"
            )


def _hash(weights: Sequence[Any]) -> str:
    digest = sha256()
    for weight in weights:
        values = keras.ops.convert_to_numpy(weight.value)
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _name(loss: str | Callable[..., Any] | object) -> str:
    """A loss by its name: a text, a function's or an object's class."""
    if isinstance(loss, str):
        return loss
    return getattr(loss, "__name__", None) or type(loss).__name__
