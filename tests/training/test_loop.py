"""Training: the same bits each time, what is recorded, and what it must not change."""

from dataclasses import replace
from math import isnan
from typing import Any

import numpy as np
import pytest
import torch
from samples import tiny_data
from torch.nn import functional as F

from losslab.augment import compose, cutout, flip, pad_crop, repeat
from losslab.data.batches import Images, on_device
from losslab.errors import Diverged, InvalidInput
from losslab.models.mlp import mlp
from losslab.randomness import generator, seeded
from losslab.records import Evaluation, Final, Record, Start, Steps, deterministic
from losslab.spec import Run, make_run
from losslab.training.evaluation import Scores, evaluate
from losslab.training.feed import Orders, feed, image_parts
from losslab.training.loop import train
from losslab.training.parts import prepare
from losslab.training.state import TrainState, make_task, new_state
from losslab.training.timeline import Timeline

DATA = tiny_data()


def run(**changes: Any) -> Run:
    fields: dict[str, Any] = {
        "data": "fashion-mnist-sample",
        "model": {"name": "mlp", "hidden": [20], "hidden_dropout": 0.3},
        "optimizer": "adam",
        "lr": 0.01,
        "batch": 32,
        "epochs": 3,
        **changes,
    }
    return make_run(fields)


def of(kind: type[Record], records: list[Record]) -> list[Any]:
    return [record for record in records if isinstance(record, kind)]


def go(spec: Run, **arguments: Any) -> list[Record]:
    return list(train(spec, dataset=DATA, **arguments))


@pytest.mark.parametrize("model", ["mlp(hidden=[20], hidden_dropout=0.3)", "samples:conv_net"])
@pytest.mark.parametrize(
    "optimizer", ["adagrad", "rmsprop", "rmsprop-nesterov", "adadelta", "adam", "sgd"]
)
def test_the_same_run_gives_the_same_bits_and_another_seed_does_not(
    model: str, optimizer: str
) -> None:
    spec = run(model=model, optimizer=optimizer)
    first, again = ([deterministic(record) for record in go(spec)] for _ in range(2))
    assert first == again
    other = of(Final, go(spec.model_copy(update={"seed": 1})))[0]
    assert other.weights_sha256 != first[-1]["weights_sha256"]


def test_training_learns_what_can_be_learnt() -> None:
    records = go(run(epochs=10))
    assert of(Final, records)[0].test_accuracy > 0.95
    losses = [evaluation.train_loss for evaluation in of(Evaluation, records)]
    assert losses[-1] < 0.5 * losses[0]


def test_training_leaves_torchs_random_state_as_it_was() -> None:
    before = torch.get_rng_state()
    go(run(epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_loop_equals_one_written_out_by_hand() -> None:
    """Plain torch, the same draws: order per epoch, dropout per step, coupled L2 on matrices, short last batch."""
    spec = run(weight_decay=1e-3, epochs=2)
    parts = prepare(spec, DATA, "contiguous")
    with seeded(0, "weights"):
        model = mlp(input_shape=(3, 6, 6), classes=3, hidden=(20,), hidden_dropout=0.3)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 1e-3},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.Adam(groups, lr=0.01, fused=True)
    step, losses = 0, []
    for epoch in range(2):
        for indices in torch.randperm(
            len(parts.training), generator=generator(0, "order", epoch)
        ).split(32):
            images, labels = parts.training.batch(indices)
            with seeded(0, "step", step):
                loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(f"{loss.item():.9g}"))
            step += 1
    records = go(spec)
    assert [loss for steps in of(Steps, records) for loss in steps.loss] == losses


@pytest.mark.parametrize("part", [1, 7, 32, 33, 64, 100, 1000])
@pytest.mark.parametrize("steps", [1, 3], ids=["a whole batch", "the short last batch"])
def test_an_accumulated_batch_has_the_loss_and_the_gradient_of_the_large_one(
    part: int, steps: int
) -> None:
    """207 images in batches of 100: two whole ones, and seven images that are left."""
    whole, parts = (
        run(
            model="samples:doubled",
            optimizer="sgd",
            batch=100,
            epochs=None,
            steps=steps,
            max_micro_batch=most,
        )
        for most in (None, part)
    )
    found = []
    for spec in (whole, parts):
        state = new_state(spec, DATA)
        records = go(spec, state=state)
        losses = [loss for record in of(Steps, records) for loss in record.loss]
        correct = [count for record in of(Steps, records) for count in record.correct]
        found.append((losses, correct, [p.grad for p in state.model.parameters()]))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-12)
    assert found[1][1] == found[0][1]
    for large, accumulated in zip(found[0][2], found[1][2], strict=True):
        torch.testing.assert_close(accumulated, large, rtol=1e-12, atol=1e-12)


def test_an_accumulated_batch_has_the_gradient_written_out_by_hand() -> None:
    spec = run(
        model="samples:doubled",
        optimizer="sgd",
        batch=100,
        epochs=None,
        steps=1,
        max_micro_batch=30,
    )
    state, untrained = new_state(spec, DATA), new_state(spec, DATA).model
    training = prepare(spec, DATA, "contiguous").training
    images, labels = training.batch(
        torch.randperm(len(training), generator=generator(0, "order", 0))[:100]
    )
    F.cross_entropy(untrained(images), labels).backward()
    go(spec, state=state)
    for expected, accumulated in zip(
        untrained.parameters(), state.model.parameters(), strict=True
    ):
        torch.testing.assert_close(accumulated.grad, expected.grad, rtol=1e-12, atol=1e-12)


def test_a_cyclical_batch_size_and_lr_train_as_the_timeline_says() -> None:
    spec = run(
        lr="exp_range(base_lr=1e-3, max_lr=1e-2)",
        batch="exp_range(b_min=8, b_max=64, cycles=2)",
        epochs=4,
    )
    records = go(spec)
    steps = list(Timeline(spec, 207).steps())
    assert [size for record in of(Steps, records) for size in record.batch_size] == [
        s.batch_size for s in steps
    ]
    assert [lr for record in of(Steps, records) for lr in record.lr] == [s.lr for s in steps]
    assert [e.samples for e in of(Evaluation, records)] == [207, 414, 621, 828]


def test_training_loss_weights_the_short_last_batch_by_its_size() -> None:
    records = go(run(epochs=1))
    steps = of(Steps, records)
    sizes = [size for record in steps for size in record.batch_size]
    losses = [loss for record in steps for loss in record.loss]
    assert sizes == [32] * 6 + [15]
    assert of(Evaluation, records)[0].train_loss == pytest.approx(
        np.average(losses, weights=sizes), rel=1e-12
    )


def test_the_penalty_is_half_weight_decay_times_the_squared_norm_of_matrices() -> None:
    spec = run(weight_decay=0.02)
    state = new_state(spec, DATA)
    records = go(spec, state=state)
    expected = 0.01 * sum(
        p.double().square().sum().item() for p in state.model.parameters() if p.ndim > 1
    )
    assert of(Evaluation, records)[-1].penalty == pytest.approx(expected, rel=1e-12)


def test_start_states_what_is_worked_on() -> None:
    start = go(run(epochs=1))[0]
    assert isinstance(start, Start)
    assert (
        start.training_images,
        start.validation_images,
        start.test_images,
        start.total_steps,
    ) == (207, 23, 60, 7)
    assert start.parameters == 108 * 20 + 20 + 20 * 3 + 3


def test_the_test_set_is_not_read_when_the_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated: list[int] = []
    whole = evaluate

    def spy(model: torch.nn.Module, images: Images, *judge: Any) -> Scores:
        evaluated.append(len(images))
        return whole(model, images, *judge)

    monkeypatch.setattr("losslab.training.loop.evaluate", spy)
    assert go(run(test=False, epochs=1))[-1].test_loss is None  # type: ignore[union-attr]
    assert evaluated == [23, 23]  # the sample of the training images and the validation images
    go(run(epochs=1))
    assert evaluated[2:] == [23, 23, 60]


def test_without_validation_its_values_are_none() -> None:
    spec = run(data={"name": "fashion-mnist-sample", "validation_fraction": 0}, epochs=1)
    assert of(Evaluation, go(spec))[0].validation_loss is None


@pytest.mark.row(10)
@pytest.mark.parametrize("steps", [0, 3, 12])
def test_divergence_is_reported_at_its_step(steps: int) -> None:
    seen: list[Record] = []
    with pytest.raises(Diverged) as caught:
        seen.extend(train(run(model=f"samples:nan_after(steps={steps})"), dataset=DATA))
    assert caught.value.step == steps
    losses = [loss for record in of(Steps, seen) for loss in record.loss]
    assert [isnan(loss) for loss in losses[: steps + 1]] == [False] * steps + [True]


@pytest.mark.parametrize("stop_at", [2, 3, 4, 5, 7])
def test_going_on_from_any_record_gives_the_same_bits(stop_at: int) -> None:
    spec = run(model="samples:conv_net", optimizer="rmsprop-nesterov")
    whole = [deterministic(record) for record in go(spec, flush_steps=4)]
    state = new_state(spec, DATA)
    records = train(spec, dataset=DATA, state=state, flush_steps=4)
    first = [deterministic(next(records)) for _ in range(stop_at)]
    records.close()
    assert (
        first
        + [
            deterministic(record)
            for record in train(spec, dataset=DATA, state=state, flush_steps=4)
        ]
        == whole
    )


def test_a_resumed_run_diverges_where_the_unbroken_one_does() -> None:
    # The loss of the last step is a number; the update after it makes the weights none.
    spec = run(epochs=1, optimizer="sgd", lr=3e38, model="mlp(hidden=[20])", batch=207)
    seen: list[Record] = []
    with pytest.raises(Diverged) as whole:
        seen.extend(train(spec, dataset=DATA))
    state = new_state(spec, DATA)
    records = train(spec, dataset=DATA, state=state)
    assert [next(records).kind for _ in range(2)] == ["start", "steps"]
    records.close()
    rest: list[Record] = []
    with pytest.raises(Diverged) as resumed:
        rest.extend(train(spec, dataset=DATA, state=state))
    assert [record.kind for record in rest] == ["evaluation"]
    assert resumed.value.step == whole.value.step == 1


def test_every_metric_of_images_is_told_of_training_as_well() -> None:
    spec = run(epochs=1, metrics=["accuracy", "top_k(k=2)"])
    (evaluation,) = of(Evaluation, go(spec))
    steps = of(Steps, go(spec))
    correct = sum(sum(record.correct) for record in steps)
    assert evaluation.train_accuracy == correct / 207
    assert set(evaluation.metrics) == {"train_top_2", "fit_top_2", "validation_top_2"}
    assert evaluation.train_accuracy <= evaluation.metrics["train_top_2"] <= 1


@pytest.mark.parametrize("batch", [1, 207, 1000])
def test_any_batch_size_trains(batch: int) -> None:
    records = go(run(batch=batch, epochs=1))
    assert sum(size for record in of(Steps, records) for size in record.batch_size) == 207


def test_grey_images_train() -> None:
    final = list(train(run(epochs=1), dataset=tiny_data(channels=1)))[-1]
    assert isinstance(final, Final)


def test_one_class_has_nothing_to_learn() -> None:
    grey = tiny_data(channels=1)
    labels = {
        "train_labels": np.zeros_like(grey.train_labels),
        "test_labels": np.zeros_like(grey.test_labels),
    }
    grey = replace(grey, classes=("all",), **labels)
    with pytest.raises(
        InvalidInput, match="of a single class, whose cross-entropy is always 0"
    ):
        list(train(run(epochs=1), dataset=grey))


def test_batches_are_normalised_as_the_formula_says() -> None:
    images = on_device(DATA, np.arange(5), device=torch.device("cpu"))
    pixels, labels = images.batch(torch.tensor([3, 1]))
    mean, std = (
        np.array(values, dtype=np.float64).reshape(1, -1, 1, 1)
        for values in (DATA.mean, DATA.std)
    )
    expected = (DATA.train_images[[3, 1]] / 255 - mean) / std
    np.testing.assert_allclose(pixels.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert labels.tolist() == DATA.train_labels[[3, 1]].tolist()


def test_evaluation_is_a_mean_over_all_images_and_keeps_the_mode() -> None:
    state: TrainState = new_state(run(), DATA)
    state.model.train()
    images = on_device(DATA, None, device=torch.device("cpu"))
    task = make_task(run())
    scores = evaluate(state.model, images, task.loss, task.metrics)
    loss, accuracy = scores.loss, scores.metrics["accuracy"]
    assert state.model.training
    state.model.eval()
    pixels, labels = images.batch(torch.arange(len(images)))
    logits = state.model(pixels).detach()
    assert loss == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-6)
    assert accuracy == pytest.approx(
        float((logits.argmax(1) == labels).float().mean()), rel=1e-6
    )


def test_inverted_dropout_and_scaled_weights_predict_the_same() -> None:
    """Training with inverted dropout, or plain dropout and weights times the keep probability at test time.

    A plain network's weights W relate to an inverted one's V by W = V / keep: both then see the same units in training,
    and at test time plain scales W by keep, which is V again.
    """
    torch.manual_seed(0)
    keep, images = 0.8, torch.randn(40, 7, dtype=torch.float64)
    inverted = torch.nn.Linear(7, 3).double()
    plain_weight = inverted.weight / keep
    torch.manual_seed(1)
    dropped = F.dropout(images, p=1 - keep)
    mask = dropped != 0
    torch.testing.assert_close(
        inverted(dropped),
        (images * mask) @ plain_weight.T + inverted.bias,
        rtol=1e-12,
        atol=1e-12,
    )
    scaled = images @ (keep * plain_weight).T + inverted.bias
    torch.testing.assert_close(
        inverted(F.dropout(images, p=1 - keep, training=False)), scaled, rtol=1e-12, atol=1e-12
    )


AUGMENT = {"augment": ["pad_crop(padding=1)", "flip", "cutout(size=2)"], "repeats": 4}


def no_turns() -> torch.Tensor:
    raise AssertionError("no flip alternates")


def test_copies_are_augmented_and_their_labels_stay_with_them() -> None:
    spec = run(**AUGMENT, max_micro_batch=9)
    images = prepare(spec, DATA, "contiguous").training
    indices = torch.tensor([3, 1, 4, 9, 5])
    parts = list(image_parts(spec, images, indices, no_turns, step=7))
    assert [part.samples for part in parts] == [9, 9, 2]
    pixels, labels = (
        torch.cat(column) for column in zip(*(part.batch for part in parts), strict=True)
    )
    assert torch.equal(labels, images.labels[indices].repeat(4))
    assert len(pixels.unique(dim=0)) == 20
    augment = compose(repeat(4), pad_crop(1), flip(), images.normalization, cutout(2))
    assert torch.equal(pixels, augment(images.pixels[indices], generator(0, "augment", 7)))


def test_flips_that_alternate_show_both_sides_of_each_image_in_two_epochs() -> None:
    spec = run(augment=["pad_crop(padding=1)", "flip(alternate=True)"], epochs=3, batch=50)
    images = prepare(spec, DATA, "contiguous").training
    assert isinstance(images, Images)
    # A bright column left of the middle stays there wherever a crop begins, unless the image is mirrored.
    pixels = torch.zeros_like(images.pixels)
    pixels[:, :, :, 1] = 255
    images = replace(images, pixels=pixels)
    sides = torch.zeros(3, len(images), dtype=torch.int64)
    timeline = Timeline(spec, len(images))
    orders = Orders(spec.seed, len(images), torch.device("cpu"))
    for step, parts in feed(spec, images, timeline, 0, torch.device("cpu")):
        (part,) = parts
        columns = part.batch[0].sum((1, 2)).argmax(1)
        sides[step.epoch, orders.positions(step)] = (columns >= 3).long()
    assert torch.equal(sides[0], sides[2])
    assert torch.equal(sides[0] + sides[1], torch.ones_like(sides[0]))
    assert 0.3 < sides[0].double().mean() < 0.7
    copies = spec.model_copy(update={"repeats": 2})
    _, parts = next(feed(copies, images, timeline, 0, torch.device("cpu")))
    (part,) = parts
    first, second = (part.batch[0].sum((1, 2)).argmax(1) >= 3).long().chunk(2)
    assert torch.equal(first + second, torch.ones_like(first))


def gradient(spec: Run) -> torch.Tensor:
    """What one step of SGD at lr 1 subtracts from the weights, in float64, dropout aside."""
    state = new_state(spec, DATA)
    state.model.double()
    before = torch.nn.utils.parameters_to_vector(state.model.parameters()).detach().clone()
    list(train(spec, dataset=DATA, state=state))
    return before - torch.nn.utils.parameters_to_vector(state.model.parameters()).detach()


@pytest.mark.parametrize("micro", [8, 10, 32])
def test_micro_batches_of_copies_give_the_gradient_of_the_whole(
    micro: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = Images.augmented

    def double(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        pixels, labels = single(*arguments)
        return pixels.double(), labels

    monkeypatch.setattr(Images, "augmented", double)
    fields = {
        "model": "mlp(hidden=[20])",
        "optimizer": "sgd",
        "lr": 1.0,
        "batch": 8,
        "steps": 1,
        "epochs": None,
    }
    whole = run(**fields, **AUGMENT)
    parts = whole.model_copy(update={"max_micro_batch": micro})
    torch.testing.assert_close(gradient(parts), gradient(whole), rtol=1e-12, atol=1e-12)


def test_copies_leave_the_epoch_and_its_counts_as_they_were() -> None:
    once, copied = (of(Evaluation, go(run(**changes))) for changes in ({}, AUGMENT))
    for name in ("step", "epoch", "samples"):
        assert [getattr(record, name) for record in once] == [
            getattr(record, name) for record in copied
        ]
    records = go(run(**AUGMENT))
    steps = of(Steps, records)
    assert [size for record in steps for size in record.batch_size][:7] == [32] * 6 + [15]
    counts = [
        (count, size)
        for record in steps
        for count, size in zip(record.correct, record.batch_size, strict=True)
    ]
    assert all(0 <= count <= size and (4 * count).is_integer() for count, size in counts)
    assert (
        of(Evaluation, records)[0].train_accuracy == sum(count for count, _ in counts[:7]) / 207
    )


def test_copies_without_augmentation_train_as_one_does() -> None:
    fields = {"model": "mlp(hidden=[20])", "epochs": 1}
    once, copied = (go(run(**fields, repeats=repeats)) for repeats in (1, 3))
    for one, three in zip(of(Steps, once), of(Steps, copied), strict=True):
        assert three.loss == pytest.approx(one.loss, rel=1e-5)
        assert three.correct == pytest.approx(one.correct)


def test_evaluation_never_augments() -> None:
    spec = run(**AUGMENT, lr=1e-30, epochs=1)
    plain = spec.model_copy(update={"augment": (), "repeats": 1})
    for augmented, original in zip(
        of(Evaluation, go(spec)), of(Evaluation, go(plain)), strict=True
    ):
        assert augmented.train_loss != original.train_loss
        assert augmented.fit_loss == pytest.approx(original.fit_loss, rel=1e-12)
        assert augmented.validation_loss == pytest.approx(original.validation_loss, rel=1e-12)


@pytest.mark.parametrize("stop_at", [2, 4, 7])
def test_going_on_with_augmentation_gives_the_same_bits(stop_at: int) -> None:
    spec = run(model="samples:conv_net", **AUGMENT, max_micro_batch=50)
    whole = [deterministic(record) for record in go(spec, flush_steps=4)]
    state = new_state(spec, DATA)
    records = train(spec, dataset=DATA, state=state, flush_steps=4)
    first = [deterministic(next(records)) for _ in range(stop_at)]
    records.close()
    before = torch.get_rng_state()
    assert (
        first
        + [
            deterministic(record)
            for record in train(spec, dataset=DATA, state=state, flush_steps=4)
        ]
        == whole
    )
    assert torch.equal(torch.get_rng_state(), before)


def test_an_augmentation_that_does_not_suit_the_images_is_refused_before_the_first_step() -> (
    None
):
    with pytest.raises(
        InvalidInput, match=r"`augment`: `size` \(=7\) must not exceed the images' 6x6 pixels"
    ):
        go(run(augment=["cutout(size=7)"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"augment": ["cutot"]},
            r"`augment\[0\]` \(='cutot'\): unknown augmentation 'cutot'; did you mean 'cutout'",
        ),
        (
            {"augment": ["flip", "cutout(size=0)"]},
            r"`augment\[1\]` .*`size` \(=0\) must be a whole number",
        ),
        (
            {"augment": ["cutout", "flip"]},
            r"`augment`: `flip\(alternate=False\)` must come before `cutout",
        ),
        ({"repeats": 0}, r"`repeats` \(=0\): must be greater than 0"),
    ],
)
def test_wrong_augmentations_are_refused_by_the_spec(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        run(**changes)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("mlp(hidden=[4], classes=2)", "Target 2 is out of bounds"),
        ("samples:wants_one_channel", "expected input.* to have 1 channels"),
    ],
)
def test_a_network_that_the_data_does_not_suit_is_one_line_with_both(
    model: str, why: str
) -> None:
    with pytest.raises(
        InvalidInput, match=rf"`model` .*images are 3x6x6 .* in 3 classes: \w+: .*{why}"
    ):
        list(train(run(model=model), dataset=DATA))
