"""Range tests of a Keras model: what they find, and that they leave everything as it was."""

import random
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("keras")

import keras
from keras_samples import arrays, network, state
from torch.utils.data import DataLoader, TensorDataset

from losslab.integrations.keras import BatchFinder, LearningRateFinder
from losslab.ranges import progress

pytestmark = pytest.mark.frameworks

QUICK: dict[str, Any] = {"steps": 40, "seeds": 2, "start": 1e-5}


def draws() -> list[float]:
    """The next number of each source of random numbers."""
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("is_trained", [False, True], ids=["fresh", "trained"])
def test_weights_optimizer_metrics_and_random_state_are_bit_equal_afterwards(
    optimizer: str, is_trained: bool
) -> None:
    model, data = network(optimizer), arrays()
    if is_trained:
        model.fit(*data, epochs=1, verbose=0)
    else:
        model.optimizer.build(model.trainable_variables)
        model.train_on_batch(data[0][:1], data[1][:1])
    before = state(model)
    random_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    LearningRateFinder(model, data, **QUICK)
    assert state(model) == before
    BatchFinder(model, data, sizes=[8, 32], steps=10, seeds=1, lr=1e-2)
    assert state(model) == before
    found = draws()
    random.setstate(random_state[0])
    np.random.set_state(random_state[1])
    torch.set_rng_state(random_state[2])
    assert found == draws()


def test_finders_show_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, float]] = []

    def show(shown: progress.Progress) -> None:
        seen.append((shown.done, shown.total))

    monkeypatch.setattr(progress, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(progress, "_display", lambda: nullcontext(show))
    model, data = network(), arrays()
    LearningRateFinder(model, data, steps=20, seeds=2, start=1e-5, end=1e-2)
    assert (seen[0], seen[-1], len(seen)) == ((1, 40), (40, 40), 40)
    seen.clear()
    BatchFinder(model, data, sizes=[8, 32], steps=10, seeds=2, lr=1e-3)
    assert (seen[0], seen[-1], len(seen)) == ((8, 800), (800, 800), 40)
    seen.clear()
    BatchFinder(model, data, sizes=[8, 32], steps=10, seeds=1, lr=1e-3, progress=False)
    assert seen == []


def test_torch_modules_within_a_model_are_put_back() -> None:
    module = torch.nn.BatchNorm1d(8)
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.TorchModuleWrapper(module), keras.layers.Dense(3)]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*arrays(), verbose=0)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    parts = [model, *model.layers, module]
    modes = [part.training for part in parts]
    LearningRateFinder(model, arrays(), **QUICK)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert [part.training for part in parts] == modes


class OwnStep(keras.Model):  # type: ignore[misc]
    """Trains without a compiled loss."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def train_step(self, data: Any) -> dict[str, Any]:
        inputs, labels, _weights = keras.utils.unpack_x_y_sample_weight(data)
        self.zero_grad()
        losses = keras.losses.sparse_categorical_crossentropy(
            labels, self(inputs), from_logits=True
        )
        loss = keras.ops.mean(losses)
        loss.backward()
        weights = self.trainable_weights
        with torch.no_grad():
            self.optimizer.apply([weight.value.grad for weight in weights], weights)
        return {"loss": loss}


@pytest.mark.parametrize("is_built", [False, True], ids=["unbuilt", "built"])
def test_a_model_with_a_train_step_of_its_own_needs_no_loss(is_built: bool) -> None:
    inputs, labels = arrays()
    model = OwnStep()
    if is_built:
        model(inputs[:2])
    model.compile("sgd")
    assert LearningRateFinder(model, (inputs, labels), **QUICK).mode == "ramp"
    assert model.built
    assert not model.dense.bias.numpy().any()


def test_metrics_of_a_loaded_model_are_empty_afterwards(tmp_path: Path) -> None:
    trained = network()
    trained.fit(*arrays(), verbose=0)
    trained.save(tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    LearningRateFinder(model, arrays(), **QUICK)
    for metric in model.metrics:
        for variable in metric.variables:
            assert not keras.ops.convert_to_numpy(variable.value).any(), variable.path


def test_training_goes_on_as_without_the_test() -> None:
    histories = []
    for is_tested in (False, True):
        model, data = network(), arrays()
        model.fit(*data, epochs=1, verbose=0)
        if is_tested:
            LearningRateFinder(model, data, **QUICK)
        keras.utils.set_random_seed(1)
        histories.append(model.fit(*data, epochs=2, verbose=0).history["loss"])
    assert histories[0] == histories[1]


def test_all_is_put_back_when_the_data_fails() -> None:
    class Failing:
        def __iter__(self) -> Iterator[Any]:
            inputs, labels = arrays()
            yield inputs[:16], labels[:16]
            if model.optimizer.iterations > 5:
                raise RuntimeError("no more")

    model = network()
    model.fit(*arrays(), batch_size=100, verbose=0)
    before = state(model)
    with pytest.raises(RuntimeError, match="no more"):
        LearningRateFinder(model, Failing(), **QUICK)
    assert state(model) == before


def test_the_range_of_sgd_holds_the_rates_that_train_best() -> None:
    model, data = network("sgd", dropout=0.0), arrays(600)
    found = LearningRateFinder(model, data, steps=150, seeds=2, start=1e-5, end=100.0)
    assert found.found, found.reason
    weights = model.get_weights()
    losses = {}
    for lr in (1e-5, found.suggestion, 50.0):
        model.set_weights(weights)
        model.optimizer.learning_rate = lr
        losses[lr] = model.fit(*data, epochs=2, verbose=0).history["loss"][-1]
    assert min(losses, key=losses.get) == found.suggestion


def test_the_losses_of_a_ramp_are_those_of_keras_at_these_rates() -> None:
    model = network("sgd", dropout=0.0)
    inputs, labels = arrays()
    batches = [(inputs[:50], labels[:50]), (inputs[50:90], labels[50:90])]
    weights = model.get_weights()
    found = LearningRateFinder(model, batches, steps=6, seeds=1, start=1e-3, end=1e-1)
    model.set_weights(weights)
    expected = []
    for step, lr in enumerate(np.geomspace(1e-3, 1e-1, 6)):
        model.optimizer.learning_rate = float(lr)
        model.reset_metrics()
        expected.append(model.train_on_batch(*batches[step % 2])[0])
    assert found.curve.loss == expected
    assert found.curve.lr == pytest.approx(np.geomspace(1e-3, 1e-1, 6), rel=1e-12)
    assert found.setting.batch_sizes == [50]


def test_seeds_differ_in_order_and_dropout_and_share_their_weights() -> None:
    model, data = network(), arrays()
    found = BatchFinder(model, data, sizes=[8, 16], steps=12, seeds=3, lr=1e-3)
    assert len(set(found.weights_sha256)) == 1
    assert found.curve.loss_low != found.curve.loss_high


def test_batch_sizes_have_equal_steps_from_equal_weights() -> None:
    firsts: dict[int, list[Any]] = {}

    class Watching(keras.Model):  # type: ignore[misc]
        def train_on_batch(self, x: Any, y: Any = None, *rest: Any, **options: Any) -> Any:
            sizes.append(len(x))
            if self.optimizer.iterations == 0:
                firsts.setdefault(len(x), []).append([w.tobytes() for w in self.get_weights()])
            return super().train_on_batch(x, y, *rest, **options)

    sizes: list[int] = []
    inner = network()
    model = Watching(inner.inputs[0], inner.outputs[0])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    BatchFinder(model, arrays(160), sizes=[8, 40], steps=12, seeds=2)
    assert sizes == [8] * 24 + [40] * 24
    (weights,) = {tuple(w) for of_size in firsts.values() for w in of_size}
    assert len(firsts[8]) == len(firsts[40]) == 2
    assert weights


@pytest.mark.parametrize("kind", ["PyDataset", "DataLoader", "list"])
def test_batches_of_every_kind_are_taken_and_left_as_they_were(kind: str) -> None:
    inputs, labels = arrays(96)
    loader = DataLoader(
        TensorDataset(torch.from_numpy(inputs), torch.from_numpy(labels)),
        32,
        shuffle=True,
        generator=torch.Generator().manual_seed(3),
    )

    class Three(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            part = slice(32 * index, 32 * (index + 1))
            return inputs[part], labels[part]

    data = {"PyDataset": Three(), "DataLoader": loader, "list": list(Three())}[kind]
    before = loader.generator.get_state()
    found = LearningRateFinder(network(), data, **QUICK)
    assert found.setting.batch_sizes == [32]
    assert torch.equal(loader.generator.get_state(), before)


def test_a_model_without_weights_is_built_on_the_first_batch_and_trains_nothing() -> None:
    model = keras.Sequential([keras.layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    LearningRateFinder(model, arrays(), **QUICK)
    assert model.built
    assert int(model.optimizer.iterations) == 0
    assert not model.layers[0].bias.numpy().any()


def uncompiled() -> keras.Model:
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])


def scheduled() -> keras.Model:
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
    return network(keras.optimizers.SGD(schedule))


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (uncompiled, arrays, "is not compiled; call model.compile"),
        (scheduled, arrays, "was compiled with a schedule of Keras"),
        (network, lambda: (arrays()[0], arrays()[1][:7]), "the arrays have 7 and 200 samples"),
        (network, lambda: iter([arrays()]), "is an iterator, which a test would use up"),
        (network, list, "`data` has no batch"),
    ],
    ids=["uncompiled", "schedule", "lengths", "iterator", "empty"],
)
def test_what_cannot_be_tested_is_refused_in_one_line(
    model: Any, data: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LearningRateFinder(model(), data(), **QUICK)


def test_sizes_need_arrays_that_hold_the_largest() -> None:
    with pytest.raises(TypeError, match=r"give arrays \(x, y\) as a tuple"):
        BatchFinder(network(), [arrays()], sizes=[8, 16])
    with pytest.raises(ValueError, match="exceed the data of 200 samples"):
        BatchFinder(network(), arrays(), sizes=[8, 400])
