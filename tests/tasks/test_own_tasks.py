"""Runs on a user's own data, loss and metrics: what they record, and that they give the same bits."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples
import torch
from torch import nn

from losslab import data
from losslab.choice import Choice
from losslab.data.task_data import TaskData
from losslab.errors import InvalidInput, OutOfMemory
from losslab.records import Evaluation, Final, Record, Start, Steps, deterministic
from losslab.spec import Run, make_run
from losslab.tasks.losses import Judged
from losslab.tasks.metrics import build_metric
from losslab.tasks.samples import Read, Selection
from losslab.training.checkpoint import load_newest, save_checkpoint
from losslab.training.evaluation import sums_of
from losslab.training.loop import train
from losslab.training.state import new_state

REGRESSION = {
    "data": "samples:table",
    "model": "mlp(hidden=[16])",
    "loss": "mse",
    "optimizer": "adam",
    "lr": 0.01,
}
LANGUAGE = {
    "data": "samples:tokens",
    "model": "samples:reader",
    "loss": "causal_lm",
    "optimizer": "adam",
    "lr": 0.01,
}


def run(base: dict[str, Any] = REGRESSION, **fields: object) -> Run:
    return make_run({**base, "batch": 32, "epochs": 3, **fields})


def records(spec: Run, **options: Any) -> list[Record]:
    return list(train(spec, **options))


def last(kind: type, found: list[Record]) -> Any:
    return [record for record in found if isinstance(record, kind)][-1]


def test_regression_learns_and_speaks_of_its_own_metrics() -> None:
    found = records(run(metrics=["mae", "r2"], epochs=20))
    evaluation, final = last(Evaluation, found), last(Final, found)
    assert (evaluation.train_accuracy, evaluation.validation_accuracy, final.test_accuracy) == (
        None,
        None,
        None,
    )
    assert evaluation.metrics.keys() == {
        f"{part}_{name}" for part in ("train", "fit", "validation") for name in ("mae", "r2")
    }
    assert final.metrics.keys() == {"test_mae", "test_r2"}
    assert final.metrics["test_r2"] > 0.5
    assert all(record.correct == [] for record in found if isinstance(record, Steps))


def test_parts_are_split_and_counted_as_images_are() -> None:
    start = last(Start, records(run(steps=1, epochs=None)))
    assert (start.training_images, start.validation_images, start.test_images) == (270, 30, 100)


def test_a_fraction_of_data_with_its_own_validation_is_refused() -> None:
    table = samples.table()
    data = TaskData(table.train, validation=table.test, name="mine")
    fraction = {"name": "samples:table", "validation_fraction": 0.2}
    with pytest.raises(
        InvalidInput, match="left out: mine names its own 100 validation samples"
    ):
        records(run(data=fraction), dataset=data)


def test_losses_and_metrics_are_those_of_the_whole_part() -> None:
    spec = run(metrics=["mae"], steps=5, epochs=None)
    dataset = data.load("samples:table")
    state = new_state(spec, dataset)
    final = last(Final, records(spec, dataset=dataset, state=state))
    state.model.eval()
    inputs, targets = (torch.from_numpy(part) for part in dataset.test)
    errors = (state.model(inputs)[:, 0] - targets).detach().double()
    assert final.test_loss == pytest.approx(float(errors.square().mean()), rel=1e-6)
    assert final.metrics["test_mae"] == pytest.approx(float(errors.abs().mean()), rel=1e-6)


def test_a_language_model_learns_behind_its_mask() -> None:
    found = records(run(LANGUAGE, metrics=["accuracy", "perplexity"], epochs=10))
    evaluation = last(Evaluation, found)
    assert evaluation.validation_accuracy > 0.6
    assert evaluation.metrics["validation_perplexity"] < 6


@pytest.mark.parametrize("base", [REGRESSION, LANGUAGE], ids=["regression", "language"])
@pytest.mark.parametrize("stop_at", [2, 4, 7])
def test_going_on_from_disk_gives_the_same_bits(
    tmp_path: Path, base: dict[str, Any], stop_at: int
) -> None:
    spec = run(base, average="ema(decay=0.9)", clip_norm=1.0)
    whole = [deterministic(record) for record in records(spec, flush_steps=4)]
    dataset = data.load(spec.data.name)
    state = new_state(spec, dataset)
    begun = train(spec, dataset=dataset, state=state, flush_steps=4)
    first = [deterministic(next(begun)) for _ in range(stop_at)]
    save_checkpoint(tmp_path, state, rows=stop_at)
    begun.close()
    fresh = new_state(spec, dataset)
    load_newest(tmp_path, fresh)
    rest = [
        deterministic(record)
        for record in records(spec, dataset=dataset, state=fresh, flush_steps=4)
    ]
    assert first + rest == whole


def update(spec: Run, micro_batch: int | None) -> torch.Tensor:
    """What one step of SGD at lr 1 subtracts from the weights, in float64."""
    spec = spec.model_copy(update={"max_micro_batch": micro_batch})
    dataset = data.load(spec.data.name)
    state = new_state(spec, dataset)
    state.model.double()
    before = nn.utils.parameters_to_vector(state.model.parameters()).detach().clone()
    list(train(spec, dataset=dataset, state=state))
    return before - nn.utils.parameters_to_vector(state.model.parameters()).detach()


@pytest.mark.parametrize("micro_batch", [1, 5, 31])
def test_a_batch_in_parts_weighs_tokens_as_the_whole_does(micro_batch: int) -> None:
    """Sequences have 3 to 11 predicted tokens: weighing parts by sequences would be wrong in the first digit."""
    language = {
        **LANGUAGE,
        "model": "samples:still_reader",
        "loss": "samples:masked_loss",
        "metrics": [],
        "optimizer": "sgd",
        "lr": 1.0,
    }
    spec = run(language, steps=1, epochs=None)
    torch.testing.assert_close(
        update(spec, micro_batch), update(spec, None), rtol=1e-12, atol=1e-14
    )


def test_the_loss_of_a_step_is_the_mean_over_its_tokens() -> None:
    whole, parts = (
        last(Steps, records(run(LANGUAGE, steps=1, epochs=None, max_micro_batch=size)))
        for size in (None, 8)
    )
    assert parts.loss == pytest.approx(whole.loss, rel=1e-2)  # dropout differs between them
    spec = run({**LANGUAGE, "model": "samples:still_reader"}, steps=1, epochs=None)
    whole, parts = (
        last(Steps, records(spec.model_copy(update={"max_micro_batch": size})))
        for size in (None, 8)
    )
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_map_style_dataset_gives_the_records_of_the_same_tensors(workers: int) -> None:
    tensors = [deterministic(record) for record in records(run(), flush_steps=4)]
    read = [
        deterministic(record)
        for record in records(run(data="samples:rows"), data_workers=workers, flush_steps=4)
    ]
    assert read == tensors


def test_what_a_dataset_draws_depends_on_no_worker() -> None:
    spec = run(data="samples:noisy_rows", model="samples:table_network")
    alone, two = (
        [deterministic(record) for record in records(spec, data_workers=count)]
        for count in (0, 2)
    )
    assert alone == two


def test_what_a_dataset_draws_is_new_in_each_epoch() -> None:
    from losslab.tasks.samples import samples_of

    dataset = data.load("samples:noisy_rows").train
    samples = samples_of(dataset, "train", None, seed=0, device=torch.device("cpu"), workers=0)
    position = torch.tensor([3])
    first, second, again = (
        batch[0]
        for batch in samples.batches([Selection(epoch, position) for epoch in (0, 1, 0)])
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_reading_leaves_the_random_state_of_this_process_alone() -> None:
    spec = run(data="samples:noisy_rows", model="samples:table_network", steps=2, epochs=None)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    records(spec)
    assert torch.equal(torch.rand(3), expected)


def test_augmentations_are_for_images() -> None:
    with pytest.raises(InvalidInput, match="`augment`"):
        records(run(augment=["flip"]))


def test_a_model_that_does_not_suit_the_data_is_one_line() -> None:
    with pytest.raises(InvalidInput, match=r"`model` \(=samples:narrow\).*float32 \(300, 8\)"):
        records(run(model="samples:narrow"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"metrics": ["accuracy"]},
            r"^`metrics` \(=accuracy\) cannot judge outputs \(32,\) float32 and targets \(32,\) float32: "
            "ValueError: the outputs are of a single class, or of none; choose mae or r2 for numbers",
        ),
        (
            {"data": "samples:tiny_data", "loss": "cross_entropy", "metrics": ["mae"]},
            r"^`metrics` \(=mae\) cannot judge outputs \(32, 3\) float32 and targets \(32,\) int64: "
            "ValueError.*; choose accuracy, top_k or f1 for classes",
        ),
        (
            {"metrics": ["samples:broken_metric"]},
            r"^`metrics` \(=broken_metric\) cannot judge .*: LookupError: no such thing",
        ),
    ],
    ids=["accuracy of numbers", "mae of classes", "an own one"],
)
def test_a_metric_that_does_not_suit_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        records(run(**fields))


def test_a_metric_for_which_memory_lacks_is_not_to_blame() -> None:
    with pytest.raises(OutOfMemory):
        records(run(metrics=["samples:large_metric"]))


def test_inputs_in_float64_are_told_apart() -> None:
    inputs, targets = samples.table().train
    with pytest.raises(InvalidInput, match=r'give float32 arrays \(.astype\("float32"\)\)$'):
        records(run(), dataset=TaskData((inputs.astype("float64"), targets)))


def test_a_loss_without_outputs_needs_no_metrics() -> None:
    spec = run(loss="samples:squared_error", metrics=["mae"])
    with pytest.raises(InvalidInput, match="metrics"):
        records(spec)
    assert last(Evaluation, records(spec.model_copy(update={"metrics": ()}))).metrics is None


def masked(sequences: int, masked_from: int) -> dict[str, np.ndarray[Any, Any]]:
    """Sequences whose labels count in the first ones alone."""
    ids = np.random.default_rng(0).integers(0, 17, (sequences, 6))
    labels = ids.copy()
    labels[masked_from:] = -100
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "labels": labels}


def test_a_step_without_a_target_that_counts_changes_the_loss_of_no_other() -> None:
    spec = run(LANGUAGE, batch=1, epochs=2)
    found = records(spec, dataset=TaskData(train=masked(20, 10), validation=masked(4, 4)))
    losses = [value for record in found if isinstance(record, Steps) for value in record.loss]
    assert losses.count(0.0) == 20
    counted = [value for value in losses[20:] if value]
    assert last(Evaluation, found).train_loss == pytest.approx(sum(counted) / 10)


def test_a_part_in_which_no_target_counts_is_named() -> None:
    parts = TaskData(train=masked(20, 0), validation=masked(4, 4))
    with pytest.raises(InvalidInput, match="no target counts in a part of the data"):
        records(run(LANGUAGE, batch=4), dataset=parts)


def test_training_metrics_are_over_all_outputs_of_a_loss_that_flattens_them() -> None:
    """In batches of 32 sequences, whose loss gives the 3 to 11 tokens of each that count."""
    fields = {"loss": "own_task:token_loss", "metrics": ["top_k(k=5)"], "lr": 1e-12}
    spec = run({**LANGUAGE, "model": "samples:still_reader", **fields}, epochs=1)
    data = samples.tokens()
    found = last(Evaluation, records(spec, dataset=TaskData(data.train, validation=data.train)))
    assert found.metrics["train_top_5"] == pytest.approx(found.metrics["validation_top_5"])
    assert found.metrics["train_top_5"] == pytest.approx(found.metrics["fit_top_5"])


def test_targets_may_be_a_mapping_longer_than_its_batch() -> None:
    measure = build_metric(Choice(name="samples:columns_error"))
    targets = {"left": torch.ones(1), "right": torch.zeros(1)}
    judged = Judged(torch.tensor(0.0), torch.ones(1), targets)
    (whole,) = sums_of({"error": measure}, judged, 1).values()
    (nothing,) = sums_of({"error": measure}, judged, 0).values()
    assert (whole.tolist(), nothing.tolist()) == ([1.0, 1.0], [0.0, 0.0])


def perturbed(spec: Run) -> list[Any]:
    """The rows of a run that begins with other global states than those at hand."""
    torch.rand(7), np.random.rand(7), random.random()
    return [deterministic(record) for record in train(spec)]


def test_what_a_loss_draws_follows_from_the_seed_in_evaluations_too() -> None:
    fields = {**REGRESSION, "data": "samples:tiny_data", "loss": "samples:noisy_loss"}
    spec = run({**fields, "model": "mlp(hidden=[8])"}, average="ema")
    assert perturbed(spec) == perturbed(spec) != perturbed(spec.model_copy(update={"seed": 1}))


def test_what_an_optimizer_draws_follows_from_the_seed() -> None:
    fields = {**REGRESSION, "data": "samples:tiny_data", "loss": "cross_entropy"}
    spec = run({**fields, "model": "mlp(hidden=[8])", "optimizer": "samples:Shaking"})
    assert perturbed(spec) == perturbed(spec) != perturbed(spec.model_copy(update={"seed": 1}))


@pytest.mark.parametrize("workers", [0, 2])
def test_copies_of_a_sample_and_batches_draw_numbers_of_their_own(workers: int) -> None:
    read = Read(
        samples.Drawn(), np.arange(8), samples.with_noise, workers, 0, torch.device("cpu")
    )
    positions = torch.tensor([3, 3, 3])
    selections = [
        Selection(0, positions, torch.tensor(copies)) for copies in ([0, 1, 1], [0, 1, 2])
    ]
    first, second = (batch[0] for batch in read.batches(selections))
    assert torch.equal(first[:2], second[:2])
    assert len({tuple(row.tolist()) for row in second}) == 3
    (later,) = read.batches([Selection(1, positions)])
    assert not torch.equal(later[0][0], first[0])
