"""Receptive fields along one axis, and of stacks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from losslab.accounting import Field, count, gradient_support, stack_receptive_field
from losslab.errors import InvalidInput

windows = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 3), st.integers(1, 3))
steps = st.lists(
    st.tuples(st.sampled_from(["windowed", "transposed"]), windows), min_size=1, max_size=4
)


def read_by(kind, unit, kernel, stride, padding, dilation):
    """The units that one unit reads, tap by tap."""
    if kind == "windowed":
        return {unit * stride - padding + tap * dilation for tap in range(kernel)}
    taps = (unit + padding - tap * dilation for tap in range(kernel))
    return {tap // stride for tap in taps if tap % stride == 0}


@given(steps, st.integers(0, 20))
def test_a_field_is_what_following_every_tap_back_gives(layers, unit):
    field, units = Field(), {unit}
    for kind, window in layers:
        field = getattr(field, kind)(*window)
    for kind, window in reversed(layers):
        units = set().union(*(read_by(kind, one, *window) for one in units))
    assert field.span(unit) == ((min(units), max(units)) if units else None)


@given(steps, steps, st.integers(0, 12))
def test_merged_fields_hold_both(one, two, unit):
    fields = []
    for layers in (one, two):
        field = Field()
        for kind, window in layers:
            field = getattr(field, kind)(*window)
        fields.append(field)
    merged = fields[0].merged(fields[1])
    assert (merged is None) == (fields[0].stride != fields[1].stride)
    if merged:
        seen = [position for field in fields for position in field.span(unit) or ()]
        assert merged.span(unit) == ((min(seen), max(seen)) if seen else None)


@pytest.mark.parametrize(
    ("kernel", "layers"), [(3, 1), (3, 2), (3, 3), (5, 3), (7, 2), (1, 4), (2, 5)]
)
def test_stacked_convolutions_see_nf_minus_n_plus_1(kernel, layers):
    expected = stack_receptive_field(kernel, layers)
    side = 2 * expected + 1
    stack = nn.Sequential(*(nn.Conv2d(1, 1, kernel) for _ in range(layers)))
    for parameter in stack.parameters():
        nn.init.ones_(parameter)
    image = torch.zeros(1, 1, side, side, requires_grad=True)
    output = stack(image)
    middle = output.shape[-1] // 2
    output[0, 0, middle, middle].backward()
    seen = image.grad[0, 0] != 0
    assert seen.any(0).sum() == seen.any(1).sum() == expected
    assert seen.sum() == expected**2
    assert [field.size for _, field in count(stack, (1, side, side)).output_fields[0]] == [
        expected
    ] * 2


def test_three_layers_of_5x5_see_13x13():
    assert stack_receptive_field(5, 3) == 3 * 5 - 3 + 1


@pytest.mark.parametrize(("kernel", "layers"), [(0, 3), (3, 0)])
def test_a_stack_needs_a_kernel_and_a_layer(kernel, layers):
    with pytest.raises(ValueError, match="must be at least 1"):
        stack_receptive_field(kernel, layers)


def test_stride_padding_and_centre_of_a_strided_layer():
    field = Field().windowed(3, 2, 1).windowed(5, 2, 2)
    assert (field.size, field.stride, field.padding, field.centre) == (
        3 + 4 * 2,
        4,
        1 + 2 * 2,
        0.0,
    )


class Applied(nn.Module):
    """A function of its module and the input."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.function(self, x)


def size_of(model, shape):
    """The size of the field of the output's last axis; None where it is unbounded."""
    span = count(model, shape).output_fields[0][0][-1]
    return None if span is None else span.size


@pytest.mark.parametrize("layer", [nn.Hardswish, nn.PReLU, nn.LogSigmoid, nn.RReLU])
def test_a_pointwise_layer_leaves_the_field_as_it_is(layer):
    assert size_of(nn.Sequential(nn.Conv1d(1, 1, 3), layer()), (1, 9)) == 3


@pytest.mark.parametrize(
    ("scale", "size"), [(3.2, None), (2.5, None), (3, 1), (3.0, 1), (None, 1)]
)
def test_a_scale_that_is_not_whole_claims_no_field(scale, size):
    options = {"size": 12} if scale is None else {"scale_factor": scale}
    model = Applied(lambda _, x: nn.functional.interpolate(x, **options))
    assert size_of(model, (1, 4)) == size


def test_what_is_computed_from_all_of_the_input_reaches_all_results():
    weight = nn.Parameter(torch.ones(1, 1, 3))
    biased = Applied(
        lambda self, x: nn.functional.conv1d(x, self.weight, x.mean((0, 1, 2)).reshape(1)),
        weight=weight,
    )
    filled = Applied(
        lambda self, x: self.conv(x) + torch.zeros_like(x[:, :, :6]).fill_(x.sum()),
        conv=nn.Conv1d(1, 1, 3),
    )
    assert (size_of(biased, (1, 8)), size_of(filled, (1, 8))) == (None, None)


@pytest.mark.parametrize("pad", [nn.ReflectionPad1d, nn.ReplicationPad1d])
def test_a_long_mirrored_edge_is_not_taken_for_zeros(pad):
    assert size_of(pad(2), (1, 500)) == 1
    assert size_of(pad(2), (1, 5000)) is None


def test_a_running_sum_in_place_reaches_views_that_were_there_before():
    def summed(self, x):
        y = self.conv(x)
        view = y.view(1, 1, -1)
        y.cumsum_(2)
        return view

    assert size_of(Applied(summed, conv=nn.Conv1d(1, 1, 3)), (1, 8)) is None


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([nn.Conv2d(1, 1, 3), nn.MaxPool2d(2)], "max pooling"),
        ([nn.Conv2d(1, 1, 3), nn.Tanh(), nn.Conv2d(1, 1, 3)], "no gradient arrives"),
    ],
)
def test_gradient_support_says_where_it_shows_nothing(layers, says):
    with pytest.raises(InvalidInput, match=says):
        gradient_support(lambda: nn.Sequential(*layers), (1, 10, 10))


def test_each_side_has_its_own_scale():
    model = Applied(lambda _, x: nn.functional.interpolate(x, scale_factor=(2, 4)))
    fields = count(model, (1, 4, 4)).output_fields[0]
    assert [field.units for _, field in fields] == [8, 16]


def test_a_view_as_another_type_claims_no_field():
    model = Applied(lambda _, x: x.to(torch.complex64).view(torch.float32))
    assert count(model, (1, 4)).output_shapes == ((1, 1, 8),)
    assert size_of(model, (1, 4)) is None
