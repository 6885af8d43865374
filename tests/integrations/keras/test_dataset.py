"""A dataset whose batch size follows a policy: the model sees the schedule, whatever fetches the batches."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

from keras_samples import arrays, network, watched

from losslab.integrations.keras import CyclicalBatchSize, StepHistory
from losslab.schedules import linear_ramp

pytestmark = pytest.mark.frameworks


def fit(batches: CyclicalBatchSize, epochs: int, **options: Any) -> tuple[list[int], list[int]]:
    """The sizes that a layer of the model saw, and those that the history has."""
    model, seen = watched()
    if batches.workers > 1:
        model.test_on_batch(*batches[0])
    history = StepHistory(batches)
    model.fit(
        batches, epochs=epochs, callbacks=[history], verbose=0, **{"shuffle": False} | options
    )
    return seen.sizes, history.batch_size


@pytest.mark.parametrize(
    "policy", ["triangular(8, 40)", "triangular2(8, 40)", "exp_range(8, 40)", 16]
)
@pytest.mark.parametrize(
    "workers",
    [
        {"workers": 0},
        {"workers": 2},
        {"workers": 2, "use_multiprocessing": True, "max_queue_size": 3},
    ],
    ids=["no workers", "two threads", "two processes"],
)
def test_the_model_sees_the_schedule_whatever_fetches(policy: Any, workers: Any) -> None:
    batches = CyclicalBatchSize(*arrays(150), batch=policy, epochs=3, **workers)
    seen, history = fit(batches, 3)
    assert seen == history == list(batches.batch_sizes)
    assert len(seen) == 3 * batches.steps_per_epoch


def test_sizes_are_the_ramp_and_passes_end_with_what_is_left() -> None:
    batches = CyclicalBatchSize(np.zeros((20, 1)), batch=linear_ramp(2, 6, 5), epochs=2)
    # 2 3 4 5 6 of the ramp are the 20 samples of a pass; then 6 each, and 2 are left. Nine steps are no two epochs.
    assert batches.batch_sizes == (2, 3, 4, 5, 6, 6, 6, 6, 2, 6)
    assert batches.steps_per_epoch == 5


def test_every_pass_has_each_sample_once_and_an_order_of_its_own() -> None:
    rows = np.arange(100)
    batches = CyclicalBatchSize(rows, batch="triangular(8, 40)", epochs=2, seed=1)
    order: list[int] = []
    for epoch in range(2):
        batches.set_epoch(epoch)
        order += [int(row) for (batch,) in batches for row in batch]
    first, second = order[:100], order[100:200]
    assert sorted(first) == list(range(100))
    assert set(second) <= set(range(100))
    assert first[: len(second)] != second
    assert 200 <= len(order) < 200 + 2 * 40


def test_inputs_targets_and_weights_stay_together_in_any_structure() -> None:
    rows = np.arange(30)
    batches = CyclicalBatchSize(
        {"a": rows, "b": rows * 2}, rows * 3, sample_weight=rows * 4, batch=7, epochs=1
    )
    for inputs, targets, weights in batches:
        assert (inputs["b"] == 2 * inputs["a"]).all()
        assert (targets == 3 * inputs["a"]).all()
        assert (weights == 4 * inputs["a"]).all()


def test_the_order_can_be_kept() -> None:
    batches = CyclicalBatchSize(np.arange(10), batch=4, epochs=1, shuffle=False)
    assert [list(batch) for (batch,) in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_training_that_goes_on_from_an_epoch_sees_that_epochs_sizes() -> None:
    batches = CyclicalBatchSize(*arrays(150), batch="triangular(8, 40)", epochs=3)
    seen, _ = fit(batches, 3, initial_epoch=1)
    assert seen == list(batches.batch_sizes[batches.steps_per_epoch :])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_that_fit_would_shuffle_are_refused(workers: int) -> None:
    batches = CyclicalBatchSize(
        *arrays(150), batch="triangular(4, 16)", epochs=3, workers=workers
    )
    with pytest.raises(ValueError, match="give it `shuffle=False`"):
        fit(batches, 3, shuffle=True)


@pytest.mark.parametrize("use_multiprocessing", [False, True])
def test_leftovers_of_the_batch_that_builds_a_model_are_refused_once(
    use_multiprocessing: bool,
) -> None:
    options = {"workers": 2, "use_multiprocessing": use_multiprocessing}
    batches = CyclicalBatchSize(*arrays(150), batch="triangular(8, 40)", epochs=2, **options)
    model, seen = watched()
    history = StepHistory(batches)
    with pytest.raises(ValueError, match=r"build it before: model.test_on_batch"):
        model.fit(batches, epochs=2, shuffle=False, callbacks=[history], verbose=0)
    assert seen.sizes == []
    model.fit(batches, epochs=2, shuffle=False, callbacks=[history], verbose=0)
    assert seen.sizes == list(batches.batch_sizes)


def test_an_epoch_that_no_callback_tells_of_is_refused() -> None:
    batches = CyclicalBatchSize(*arrays(150), batch="triangular(8, 40)", epochs=3)
    with pytest.raises(ValueError, match=r"give StepHistory\(batches\) to the callbacks"):
        network().fit(batches, epochs=3, shuffle=False, verbose=0)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_dataset_can_be_evaluated_and_predicted_as_often_as_one_likes(workers: int) -> None:
    options: dict[str, Any] = {"batch": "triangular(8, 40)", "epochs": 2, "workers": workers}
    batches = CyclicalBatchSize(*arrays(150), **options)
    model = network()
    model.test_on_batch(*batches[0])
    for method in (model.predict, model.predict, model.evaluate, model.evaluate, model.predict):
        method(batches, verbose=0)
    history = StepHistory(batches)
    fit_options: dict[str, Any] = {"epochs": 2, "shuffle": False, "verbose": 0}
    validated = CyclicalBatchSize(*arrays(150), **options)
    model.fit(batches, callbacks=[history], validation_data=validated, **fit_options)
    for method in (model.predict, model.evaluate, model.predict):
        method(batches, verbose=0)
    model.fit(batches, callbacks=[history], validation_data=batches, **fit_options)
    assert history.batch_size == list(batches.batch_sizes)
    with pytest.raises(ValueError, match=r"give StepHistory\(batches\) to the callbacks"):
        model.fit(batches, **fit_options)


def test_other_epochs_than_it_is_laid_out_for_are_refused() -> None:
    batches = CyclicalBatchSize(*arrays(150), batch="triangular(8, 40)", epochs=3)
    with pytest.raises(ValueError, match="give both the same epochs"):
        fit(batches, 4)


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="the arrays have 5 and 6 samples"):
        CyclicalBatchSize(np.zeros(5), np.zeros(6), batch=2, epochs=1)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0, 1, 2], r"give numpy.asarray\(...\)"),
        (3, "single values"),
        ("table", r"\.to_numpy\(\)"),
    ],
    ids=["list", "number", "pandas"],
)
def test_what_is_no_array_is_refused_by_name(targets: Any, message: str) -> None:
    if targets == "table":
        targets = pytest.importorskip("pandas").DataFrame({"a": [0, 1, 2]})
    with pytest.raises(TypeError, match=message):
        CyclicalBatchSize(np.zeros((3, 2)), targets, batch=2, epochs=1)


def test_weights_without_targets_are_refused() -> None:
    weights = np.ones(5)
    with pytest.raises(ValueError, match="give targets to samples that have weights"):
        CyclicalBatchSize(np.zeros(5), None, sample_weight=weights, batch=2, epochs=1)
