"""What a loss function returns is read where it is clear; what does not suit cross-entropy is asked about."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from own_network import loader, plain
from torch import nn
from torch.nn import functional as F

import losslab
from losslab.ranges.losses import UserLoss, cross_entropy
from losslab.tasks.losses import CausalLanguageModel, CrossEntropy


def mean_loss(model: nn.Module, batch: Any) -> torch.Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


FORMS: dict[str, Any] = {
    "tensor": mean_loss,
    "shape (1,)": lambda m, b: mean_loss(m, b)[None],
    "dict": lambda m, b: {"loss": mean_loss(m, b), "logits": m(b[0])},
    "dict with accuracy": lambda m, b: {"loss": mean_loss(m, b), "acc": 0.5},
    "object": lambda m, b: SimpleNamespace(loss=mean_loss(m, b)),
    "pair with a float": lambda m, b: (mean_loss(m, b), 0.5),
    "pair with a tensor": lambda m, b: (mean_loss(m, b), torch.tensor([0.5])),
    "pair with None": lambda m, b: (mean_loss(m, b), None),
    "losslab's own": CrossEntropy(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_clear_form_trains_alike(form: str) -> None:
    model, data = plain(), list(loader())
    expected = losslab.find_lr(model, data, "adam", loss_fn=mean_loss, steps=20, seeds=1).curve
    curve = losslab.find_lr(model, data, "adam", loss_fn=FORMS[form], steps=20, seeds=1).curve
    assert curve.loss == expected.loss
    assert set(curve.accuracy) == ({0.5} if "with a" in form else set())


@pytest.mark.parametrize(
    ("loss_fn", "message"),
    [
        (
            lambda m, b: F.cross_entropy(m(b[0]), b[1], reduction="none"),
            r"shape \(16,\); return its mean",
        ),
        (lambda m, b: 0.5, "returned 0.5; return the loss as a tensor"),
        (lambda m, b: None, "returned None"),
        (
            lambda m, b: (mean_loss(m, b), m(b[0])),
            r"\(loss, tensor of 16x3\); the second value must be the accuracy",
        ),
        (lambda m, b: (mean_loss(m, b), 0.5, 0.5), "returned 3 values"),
        (
            lambda m, b: {"a": mean_loss(m, b), "b": 1},
            "a mapping of a, b; it must have a 'loss'",
        ),
        (lambda m, b: mean_loss(m, b).detach(), "without a gradient"),
        (
            nn.CrossEntropyLoss(),
            r"takes outputs and targets; write `loss_fn=lambda model, batch: criterion\(model",
        ),
        (
            nn.CrossEntropyLoss,
            r"is a class; write `loss_fn=lambda model, batch: CrossEntropyLoss\(\)\(model",
        ),
        (
            F.mse_loss,
            r"write `loss_fn=lambda model, batch: mse_loss\(model\(batch\[0\]\).flatten\(\), batch",
        ),
        (
            lambda outputs: outputs,
            r"takes \(outputs\); it is called as loss_fn\(model, batch\)",
        ),
        ("mse", "is 'mse'; give a function"),
    ],
)
def test_what_is_no_loss_is_one_line_that_says_what_to_write(
    loss_fn: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message) as error:
        losslab.find_lr(plain(), loader(), "adam", loss_fn=loss_fn, steps=5, seeds=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "loss_fn",
    [
        cross_entropy,
        F.mse_loss,
        F.l1_loss,
        F.smooth_l1_loss,
        F.huber_loss,
        nn.MSELoss,
        nn.L1Loss(),
    ],
)
def test_what_is_to_be_written_compares_no_row_with_another(loss_fn: Any) -> None:
    """Columns of outputs beside flat targets, whose broadcast would pair every row with every row."""
    model, data = linear(1), pairs(torch.randn(64))
    with pytest.raises(TypeError) as error:
        losslab.find_lr(model, data, "adam", loss_fn=loss_fn, steps=5, seeds=1)
    code = re.search(r"`(?:loss_fn=)?(lambda .*)`", str(error.value))
    assert code
    scope = {"torch": torch, **vars(F), **vars(nn), "criterion": loss_fn}
    advised = eval(code[1], scope)
    inputs, targets = data[0]
    criterion = F.mse_loss if loss_fn is cross_entropy else loss_fn
    if isinstance(criterion, type):
        criterion = criterion()
    expected = criterion(model(inputs)[:, 0], targets)
    assert advised(model, data[0]).item() == pytest.approx(expected.item())


def linear(outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(10, outputs)


INPUTS = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))


def pairs(targets: torch.Tensor) -> list[Any]:
    return list(zip(INPUTS.split(16), targets.split(16), strict=True))


def test_dense_labels_that_are_ignored_count_neither_as_right_nor_as_wrong() -> None:
    inputs, logits = torch.zeros(4, 10), torch.zeros(4, 3, 2)
    logits[:, 1] = 5.0
    labels = torch.ones(4, 2, dtype=torch.int64)
    labels[:, 1] = -100

    class Given(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return logits + 0 * super().forward(images).sum()

    model = Given(10, 1)
    assert float(cross_entropy(model, (inputs, labels))[1]) == 1.0
    loss, accuracy = cross_entropy(model, (inputs, torch.full_like(labels, -100)))
    assert (loss.item(), accuracy.item()) == (0.0, 0.0)


def test_soft_labels_train_and_one_hot_ones_as_their_indices() -> None:
    indices = torch.arange(64) % 4
    hard = losslab.find_lr(linear(4), pairs(indices), "adam", steps=60, seeds=1).curve
    one_hot = losslab.find_lr(
        linear(4), pairs(F.one_hot(indices, 4).float()), "adam", steps=60, seeds=1
    ).curve
    assert one_hot.loss == pytest.approx(hard.loss, rel=1e-5)
    assert one_hot.accuracy == hard.accuracy
    soft = torch.softmax(torch.randn(64, 4, generator=torch.Generator().manual_seed(1)), 1)
    curve = losslab.find_lr(linear(4), pairs(soft), "adam", steps=60, seeds=1).curve
    logits = linear(4)(pairs(soft)[0][0]).detach()
    assert curve.loss[0] == pytest.approx(
        float(-(soft[:16] * logits.log_softmax(1)).sum(1).mean()), rel=1e-5
    )


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (1, torch.randn(64, 1), "a single class is always 0"),
        (1, torch.arange(64) % 2, "a single class is always 0"),
        (4, torch.randn(64, 4), "neither class indices nor probabilities"),
        (4, torch.ones(64, 4), "neither class indices nor probabilities"),
        (4, torch.randn(64), "neither class indices nor probabilities"),
        (4, torch.arange(64) % 7, "a label is 6, but the model has 4 outputs"),
        (4, torch.arange(64)[:, None] % 4, "do not suit cross-entropy"),
        (4, F.one_hot(torch.arange(64) % 4, 4), "do not suit cross-entropy"),
    ],
    ids=[
        "regression",
        "one output",
        "multi-regression",
        "multi-hot",
        "floats",
        "too many",
        "a column",
        "one-hot",
    ],
)
def test_targets_that_are_no_labels_are_asked_about(
    outputs: int, targets: torch.Tensor, message: str
) -> None:
    with pytest.raises(TypeError, match=message) as error:
        losslab.find_lr(linear(outputs), pairs(targets), "adam", steps=5, seeds=1)
    assert "give `loss_fn(model, batch)`" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (
            (torch.zeros(2, 10), torch.zeros(2), torch.zeros(2)),
            r"a tuple of 3, not \(inputs, labels\)",
        ),
        (({"x": torch.zeros(2, 10)}, torch.zeros(2)), "not two tensors"),
        (torch.zeros(2, 10), "a batch is one tensor, not"),
        ((torch.zeros(10), 3), "not two tensors"),
    ],
    ids=["triple", "dict of inputs", "tensor", "a sample"],
)
def test_batches_that_are_no_pair_ask_for_a_loss_fn(batch: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        losslab.find_lr(linear(4), [batch] * 3, "adam", steps=5, seeds=1)


def test_labels_of_a_small_type_are_class_indices_too() -> None:
    labels = torch.arange(64) % 4
    curves = [
        losslab.find_lr(linear(4), pairs(labels.to(kind)), "adam", steps=20, seeds=1).curve.loss
        for kind in (torch.long, torch.uint8, torch.int32)
    ]
    assert curves[0] == curves[1] == curves[2]


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(7, 7)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.table(input_ids) * attention_mask[..., None]


def test_a_loss_that_says_what_its_mean_is_over_is_accumulated_by_it() -> None:
    """Parts with different numbers of tokens give the gradient of the whole batch."""
    ids = torch.arange(48).reshape(8, 6) % 7
    mask = (torch.arange(6) < torch.arange(1, 9)[:, None]).long()
    whole = [{"input_ids": ids, "attention_mask": mask}] * 4
    parts = [
        {"input_ids": ids[k : k + 4], "attention_mask": mask[k : k + 4]} for k in (0, 4)
    ] * 4
    one, two = (
        losslab.find_lr(
            Tokens(),
            data,
            "sgd",
            loss_fn=CausalLanguageModel(),
            accumulate=count,
            steps=40,
            seeds=1,
        )
        for data, count in ((whole, 1), (parts, 2))
    )
    assert two.curve.loss == pytest.approx(one.curve.loss, rel=1e-5)


class Dense(nn.Module):
    """Logits (sample, class, position) of inputs (sample, feature)."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.axes = axes
        self.linear = nn.Linear(10, 3 * torch.Size(axes).numel())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.linear(inputs).reshape(len(inputs), 3, *self.axes)


@pytest.mark.parametrize("axes", [(), (4,)], ids=["a label a sample", "dense labels"])
def test_labels_that_are_ignored_weigh_nothing_in_an_accumulated_step(
    axes: tuple[int, ...],
) -> None:
    labels = (torch.arange(64 * torch.Size(axes).numel()) % 3).reshape(64, *axes)
    labels[:12] = -100

    def curve(size: int) -> list[float]:
        batches = list(zip(INPUTS.split(size), labels.split(size), strict=True))
        found = losslab.find_lr(
            Dense(axes), batches, "sgd", accumulate=32 // size, steps=30, seeds=1
        )
        return list(found.curve.loss)

    assert curve(16) == pytest.approx(curve(32), rel=1e-5)


def test_labels_that_all_count_weigh_as_samples_do_to_the_bit() -> None:
    by_labels, by_samples = (
        losslab.find_lr(
            plain(), list(loader()), "adam", accumulate=3, steps=20, seeds=1, **options
        ).curve.loss
        for options in ({}, {"loss_fn": mean_loss})
    )
    assert by_labels == by_samples


def test_the_name_of_a_loss_is_stated() -> None:
    found = losslab.find_lr(plain(), loader(), "adam", steps=5, seeds=1)
    assert found.setting is not None
    assert found.setting.loss == "cross_entropy"
    assert UserLoss(cross_entropy).name == "cross_entropy"
    assert UserLoss(CrossEntropy()).name == "CrossEntropy"


@pytest.mark.parametrize("model", [linear(4), nn.Conv1d(1, 4, 10)], ids=["linear", "conv"])
def test_inputs_in_float64_have_a_next_step(model: nn.Module) -> None:
    inputs = INPUTS.double() if isinstance(model, nn.Linear) else INPUTS.double()[:, None]
    batches = list(zip(inputs.split(16), (torch.arange(64) % 4).split(16), strict=True))
    with pytest.raises(RuntimeError, match=r'give float32 arrays \(.astype\("float32"\)\)$'):
        losslab.find_lr(model, batches, "adam", steps=5, seeds=1)


def test_a_batch_of_ignored_labels_alone_has_loss_zero() -> None:
    """As in a run; torch's own mean is no number."""
    model, inputs = nn.Linear(4, 3), torch.randn(6, 4)
    loss, accuracy = cross_entropy(model, (inputs, torch.full((6,), -100)))
    assert (loss.item(), accuracy.item()) == (0.0, 0.0)
