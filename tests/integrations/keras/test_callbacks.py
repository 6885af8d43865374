"""The learning rate of every step of a Keras training, and its history."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

import keras
from keras_samples import arrays, network

from losslab.integrations.keras import CyclicalBatchSize, CyclicalLearningRate, StepHistory
from losslab.schedules import Schedule, exp_range, linear_ramp, triangular, triangular2

pytestmark = pytest.mark.frameworks

LOW, HIGH, EPOCHS, STEPS = 1e-4, 1e-2, 3, 8


def triangle(step: int, cycles: int) -> float:
    """The height of a triangle at a step, from the definition: up for half of a cycle, then down."""
    within = (step * cycles / (EPOCHS * STEPS)) % 1
    return 1 - abs(2 * within - 1)


def expected(policy: str, step: int, cycles: int = 2) -> float:
    """The rate by Smith's definitions; the height of exp_range is a tenth at the end."""
    total = EPOCHS * STEPS
    height = {
        "triangular": 1.0,
        "triangular2": 0.5 ** (step * cycles // total),
        "exp_range": 0.1 ** (step / total),
    }[policy]
    return LOW + (HIGH - LOW) * triangle(step, cycles) * height


def fit(policy: Any, **options: Any) -> tuple[CyclicalLearningRate, StepHistory]:
    cycle, history = CyclicalLearningRate(policy), StepHistory()
    data = arrays(STEPS * 16)
    callbacks = [cycle, history]
    network().fit(
        *data, batch_size=16, epochs=EPOCHS, callbacks=callbacks, verbose=0, **options
    )
    return cycle, history


@pytest.mark.parametrize("policy", [triangular, triangular2, exp_range])
def test_the_rate_of_every_step_is_the_schedule_laid_out_over_the_training(
    policy: Any,
) -> None:
    cycle, history = fit(policy(LOW, HIGH, cycles=2))
    rates = [expected(policy.__name__, step) for step in range(EPOCHS * STEPS)]
    assert cycle.lr == pytest.approx(rates, rel=0, abs=1e-12)
    # The optimizer holds the nearest number of float32, which is what Keras computes with.
    assert history.lr == [float(np.float32(lr)) for lr in cycle.lr]
    assert history.batch_size == [16] * EPOCHS * STEPS


def test_a_policy_may_be_text_or_a_schedule_that_has_its_length() -> None:
    by_text, _ = fit("exp_range(1e-4, 1e-2, cycles=2)")
    by_value, _ = fit(exp_range(LOW, HIGH, EPOCHS * STEPS, cycles=2))
    assert by_text.lr == by_value.lr


def test_an_lr_by_epochs_changes_at_the_epochs() -> None:
    cycle, _ = fit({"name": "piecewise", "values": [0.1, 0.01], "epochs": [1]})
    assert cycle.lr == [0.1] * STEPS + [0.01] * 2 * STEPS


def test_a_training_that_goes_on_from_an_epoch_has_that_epochs_rates() -> None:
    whole, _ = fit(triangular(LOW, HIGH))
    rest, _ = fit(triangular(LOW, HIGH), initial_epoch=1)
    assert rest.lr == whole.lr[STEPS:]


def test_lr_and_batch_size_cycle_together() -> None:
    batches = CyclicalBatchSize(*arrays(160), batch="triangular(8, 32, cycles=1)", epochs=2)
    cycle, history = CyclicalLearningRate(triangular(LOW, HIGH, cycles=1)), StepHistory(batches)
    network().fit(batches, epochs=2, shuffle=False, callbacks=[cycle, history], verbose=0)
    assert history.batch_size == list(batches.batch_sizes)
    assert len(cycle.lr) == len(batches.batch_sizes)
    assert max(cycle.lr) == pytest.approx(HIGH, rel=0.2)


def generator() -> Any:
    inputs, labels = arrays(64)
    while True:
        yield inputs, labels


def test_data_of_unknown_length_needs_a_schedule_that_has_its_own() -> None:
    cycle = CyclicalLearningRate(triangular(LOW, HIGH))
    with pytest.raises(ValueError, match="give `steps_per_epoch` to fit"):
        network().fit(generator(), shuffle=False, callbacks=[cycle], verbose=0)
    cycle = CyclicalLearningRate(linear_ramp(LOW, HIGH, 5))
    options = {"steps_per_epoch": 3, "shuffle": False, "verbose": 0}
    network().fit(generator(), callbacks=[cycle], **options)
    schedule: Schedule = linear_ramp(LOW, HIGH, 5)
    assert cycle.lr == [schedule(0), schedule(1), schedule(2)]


def test_steps_of_one_execution_have_the_rate_of_the_first() -> None:
    cycle = CyclicalLearningRate(linear_ramp(0.0, 1.0, 100))
    # Without fit, because on torch Keras refuses such a model there.
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse", steps_per_execution=10)
    cycle.set_model(model)
    cycle.set_params({"epochs": 2, "steps": 50})
    cycle.on_train_begin()
    for epoch in range(2):
        cycle.on_epoch_begin(epoch)
        for batch in range(0, 50, 10):
            cycle.on_train_batch_begin(batch)
    schedule: Schedule = linear_ramp(0.0, 1.0, 100)
    assert cycle.lr == [schedule(step) for step in range(0, 100, 10)]
    history = StepHistory()
    history.set_model(model)
    with pytest.raises(ValueError, match=r"`steps_per_execution` \(=10\) must be 1"):
        history.on_train_begin()


@pytest.mark.parametrize("metric", [keras.metrics.Mean, keras.metrics.AUC])
def test_sizes_are_right_where_a_model_has_a_list_of_metrics_of_its_own(metric: Any) -> None:
    class Own(keras.Sequential):  # type: ignore[misc]
        @property
        def metrics(self) -> list[Any]:
            return [only]

    only = metric()
    model = Own([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    batches = CyclicalBatchSize(*arrays(160), batch="triangular(8, 32, cycles=1)", epochs=2)
    history = StepHistory(batches)
    model.fit(batches, epochs=2, shuffle=False, callbacks=[history], verbose=0)
    assert history.batch_size == list(batches.batch_sizes)
    with pytest.raises(ValueError, match=r"\(Own\) has metrics or a train_step of its own"):
        model.fit(*arrays(), callbacks=[StepHistory()], verbose=0)


@pytest.mark.parametrize(
    "rate",
    [keras.optimizers.schedules.CosineDecay(0.1, 100), lambda: 0.1],
    ids=["schedule", "function"],
)
def test_an_optimizer_that_sets_its_own_rate_is_refused(rate: Any) -> None:
    model = network(keras.optimizers.SGD(rate))
    with pytest.raises(ValueError, match="compile it with a number"):
        model.fit(*arrays(), callbacks=[CyclicalLearningRate("0.1")], verbose=0)
