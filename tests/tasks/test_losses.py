"""Losses against their formulas, and what their means are over."""

from typing import Any

import pytest
import torch
from torch import nn

from losslab.choice import Choice
from losslab.errors import InvalidInput
from losslab.tasks.losses import OwnLoss, build_loss, like_targets


def loss(text: str, **options: object):
    return build_loss(Choice(name=text, **options))


class Given(nn.Module):
    """A model whose outputs are given."""

    def __init__(self, outputs: torch.Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, *inputs: object, **named: object) -> torch.Tensor:
        return self.outputs


LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3]], dtype=torch.float64)
CLASSES = torch.tensor([0, 2])


def by_hand(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Minus the sum of target probability times log-probability, sample by sample."""
    logs = logits - logits.exp().sum(1, keepdim=True).log()
    return -(targets * logs).sum(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_smoothed_cross_entropy_spreads_a_part_of_each_target_over_all_classes(
    smoothing: float,
) -> None:
    model = Given(LOGITS).train()
    targets = nn.functional.one_hot(CLASSES, 3).double() * (1 - smoothing) + smoothing / 3
    judged = loss("cross_entropy", label_smoothing=smoothing)(model, (None, CLASSES))
    torch.testing.assert_close(judged.loss, by_hand(LOGITS, targets).mean(), rtol=1e-12, atol=0)


def test_an_evaluation_is_not_smoothed() -> None:
    model = Given(LOGITS).eval()
    total, items = loss("cross_entropy", label_smoothing=0.5).total(
        model, (torch.zeros(2), CLASSES)
    )
    assert items == 2
    torch.testing.assert_close(
        total.loss, by_hand(LOGITS, nn.functional.one_hot(CLASSES, 3)).sum(), rtol=1e-12, atol=0
    )


def test_a_dense_cross_entropy_weighs_what_is_not_ignored() -> None:
    targets = torch.tensor([[0, -100], [2, 1]])
    assert loss("cross_entropy").weight((None, targets)) == 3
    assert loss("cross_entropy").weight((None, CLASSES)) is None


@pytest.mark.parametrize("shape", [(3, 1), (3,)])
def test_a_column_of_outputs_is_compared_row_by_row(shape: tuple[int, ...]) -> None:
    outputs, targets = (
        torch.tensor([1.0, 2.0, 4.0]).reshape(shape),
        torch.tensor([1.0, 3.0, 1.0]),
    )
    judged = loss("mse")(Given(outputs), (None, targets))
    assert float(judged.loss) == pytest.approx((0 + 1 + 9) / 3)


def test_outputs_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2\) and targets \(3,\) must be of one shape"):
        like_targets(torch.zeros(3, 2), torch.zeros(3))


def test_binary_cross_entropy_is_over_labels() -> None:
    outputs, targets = torch.tensor([[0.0, 2.0]]), torch.tensor([[1, 0]])
    expected = (torch.tensor(2.0).log() + torch.log1p(torch.tensor(2.0).exp())) / 2
    torch.testing.assert_close(loss("bce")(Given(outputs), (None, targets)).loss, expected)


def test_a_language_model_predicts_the_next_token_where_the_mask_is_one() -> None:
    ids, mask = torch.tensor([[5, 1, 2, 0]]), torch.tensor([[1, 1, 1, 0]])
    logits = torch.randn(
        1, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    batch = {"input_ids": ids, "attention_mask": mask}
    judged = loss("causal_lm")(Given(logits), batch)
    logs = logits[0].float().log_softmax(1)
    torch.testing.assert_close(judged.loss, -(logs[0, 1] + logs[1, 2]) / 2)
    assert loss("causal_lm").weight(batch) == 2


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_mean_over_counted_targets_is_torchs_to_the_bit_and_0_over_none(
    smoothing: float,
) -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 7, generator=random).requires_grad_()
    targets = torch.randint(5, (3, 7), generator=random)
    targets[0, 2:] = -100
    judged = loss("cross_entropy", label_smoothing=smoothing)(Given(logits), (None, targets))
    expected = nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)
    gradients = [torch.autograd.grad(of, logits)[0] for of in (judged.loss, expected)]
    torch.testing.assert_close(judged.loss, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)
    nothing = loss("cross_entropy")(Given(logits), (None, torch.full_like(targets, -100)))
    nothing.loss.backward()
    assert (float(nothing.loss.detach()), float(logits.grad.abs().sum())) == (0.0, 0.0)


def test_a_sequence_that_is_masked_whole_counts_for_nothing() -> None:
    ids = torch.tensor([[5, 1, 2, 0]])
    total, items = loss("causal_lm").total(
        Given(torch.randn(1, 4, 6)), {"input_ids": ids, "labels": torch.full_like(ids, -100)}
    )
    assert (float(total.loss), items) == (0.0, 0.0)


def test_an_evaluation_is_a_mean_over_the_classes_that_count() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    batch = (torch.zeros(4), torch.tensor([0, -100, 2, 1]))
    total, items = loss("cross_entropy").total(Given(logits).eval(), batch)
    assert items == 3
    torch.testing.assert_close(
        total.loss / items, nn.functional.cross_entropy(logits, batch[1])
    )


def test_every_position_of_probabilities_counts_in_an_evaluation() -> None:
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    model, batch = Given(logits).eval(), (torch.zeros(2), logits.softmax(1).flip(0))
    total, items = loss("cross_entropy").total(model, batch)
    assert items == 8
    torch.testing.assert_close(total.loss / items, loss("cross_entropy")(model, batch).loss)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_targets_are_not_rounded_to_16_bits(dtype: torch.dtype) -> None:
    outputs, targets = torch.tensor([1000.0], dtype=dtype), torch.tensor([1003.0])
    assert float(loss("mse")(Given(outputs), (None, targets)).loss) == 9
    far = loss("mse")(Given(outputs), (None, torch.tensor([1e5])))
    assert torch.isfinite(far.loss)
    label = torch.tensor([0.3])
    judged = loss("bce")(Given(torch.zeros(1, dtype=dtype)), (None, label))
    expected = nn.functional.binary_cross_entropy_with_logits(torch.zeros(1), label)
    torch.testing.assert_close(judged.loss, expected)


def test_a_tuple_of_inputs_is_given_by_position_and_a_mapping_by_name() -> None:
    class Sum(nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return left + 2 * right

    one, other, targets = torch.ones(2, 1), torch.full((2, 1), 3.0), torch.full((2,), 7.0)
    for inputs in ((one, other), {"right": other, "left": one}):
        assert loss("mse")(Sum(), (inputs, targets)).loss == 0
    assert loss("mse")(Sum(), {"left": one, "right": other, "labels": targets}).loss == 0


def test_a_loss_of_ones_own_is_a_function_of_model_and_batch() -> None:
    judged = loss("samples:mean_output", factor=2.0)(
        Given(torch.tensor([1.0, 3.0])), torch.zeros(2)
    )
    assert (float(judged.loss), judged.outputs, judged.targets) == (4.0, None, None)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(name="cross_entropy", label_smoothing=1.5), "label_smoothing"),
        (Choice(name="cross_entropy", smoothing=0.5), "label_smoothing"),
        (Choice(name="samples:no_such_loss"), "no_such_loss"),
    ],
)
def test_a_wrong_choice_is_one_line(choice: Choice, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        build_loss(choice)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("shape", [(4,), (4, 2)])
def test_class_156_counts_in_every_integer_type(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    """In uint8, -100 is 156."""
    logits = torch.randn(4, 157, *shape[1:], generator=torch.Generator().manual_seed(0))
    targets = torch.full(shape, 156, dtype=dtype)
    batch = (torch.zeros(4), targets)
    expected = nn.functional.cross_entropy(logits, targets.long())
    torch.testing.assert_close(loss("cross_entropy")(Given(logits), batch).loss, expected)
    total, items = loss("cross_entropy").total(Given(logits), batch)
    assert items == targets.numel()
    torch.testing.assert_close(total.loss / items, expected)
    assert loss("cross_entropy").weight(batch) == (targets.numel() if len(shape) > 1 else None)


def test_bytes_of_a_text_count_alike_and_a_mask_takes_them_out() -> None:
    ids = torch.tensor([[1, 156, 156, 7]], dtype=torch.uint8)
    assert loss("causal_lm").weight(ids) == 3
    mask = torch.tensor([[1, 1, 1, 0]])
    assert loss("causal_lm").weight({"input_ids": ids, "attention_mask": mask}) == 2
    assert loss("causal_lm").weight({"input_ids": ids, "labels": ids}) == 3


class Weighted(nn.CrossEntropyLoss):
    """A criterion of a user's own, whose `weight` is that of its classes."""

    def forward(self, model: nn.Module, batch: Any) -> torch.Tensor:
        return super().forward(model(batch[0]), batch[1])


def test_the_weights_of_classes_are_no_weight_of_a_batch() -> None:
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    own = OwnLoss("own", Weighted(weight=weights), {})
    batch = (torch.zeros(2), CLASSES)
    assert own.weight(batch) is None
    total, items = own.total(Given(LOGITS), batch)
    expected = nn.functional.cross_entropy(LOGITS, CLASSES, weight=weights)
    torch.testing.assert_close(total.loss / items, expected)
