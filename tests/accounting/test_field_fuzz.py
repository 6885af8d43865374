"""Receptive fields of random chains of layers and rearrangements, against the support of the gradient."""

import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from losslab.accounting import count


def crop(draw, size):
    start, end = draw.randint(0, size // 3), draw.randint(0, size // 3)
    return (start, size - end) if size - end - start > 2 else (0, size)


def step_of(draw, size, flat):
    """A random step along the last dimension, and what it is for an error's sake."""
    start, end = crop(draw, size)
    amount, times = draw.randint(1, 3), draw.randint(2, 3)
    steps = {
        "conv": lambda x: mixed(x, 3, padding=amount),
        "dilated": lambda x: mixed(x, 2, padding=amount, dilation=amount + 1),
        "strided": lambda x: mixed(x, 3, padding=1, stride=2 if flat else (1, 2)),
        "sparse": lambda x: mixed(x, 1, stride=times),
        "crop": lambda x: x[..., start:end],
        "negative": lambda x: x[..., -(size + amount) : end],
        "from the end": lambda x: x[..., -max(3, size - start) : -amount],
        "open": lambda x: x[..., None:][..., start:None],
        "step": lambda x: x[..., start::times],
        "step in a crop": lambda x: x[..., -(size - start) : -1 : times],
        "new dimension": lambda x: x[:, None, ..., :end].squeeze(1),
        "narrow": lambda x: x.narrow(-1, start, end - start),
        "chunk": lambda x: x.chunk(2, -1)[amount % 2],
        "pad": lambda x: F.pad(x, (amount, 1)),
        "cut by padding": lambda x: F.pad(x, (-1, amount)),
        "reflect": lambda x: F.pad(x, (1, 2) if flat else (2, 1, 0, 0), mode="reflect"),
        "replicate": lambda x: F.pad(x, (1, 2) if flat else (2, 1, 0, 0), mode="replicate"),
        "circular": lambda x: F.pad(x, (1, 2) if flat else (2, 1, 0, 0), mode="circular"),
        "repeat": lambda x: x.repeat_interleave(times, -1),
        "expand": lambda x: x.unsqueeze(-1).expand(*x.shape, times).flatten(-2),
        "tile": lambda x: x.repeat(*[1] * (x.dim() - 1), 2),
        "roll": lambda x: x.roll(amount, -1),
        "roll back": lambda x: x.roll((-amount, 1), (-1, -1)),
        "flip": lambda x: x.flip(-1),
        "join": lambda x: torch.cat([x[..., 1:], x[..., :1]], -1),
        "skip": lambda x: x + x.roll(1, -1),
        "mirror": lambda x: x + x.flip(-1),
    }
    one_dimension = {
        "nearest": lambda x: F.interpolate(x, scale_factor=2, mode="nearest"),
        "linear": lambda x: F.interpolate(x, scale_factor=2, mode="linear"),
        "transposed": lambda x: transposed(x, amount),
        "pool": lambda x: F.avg_pool1d(x, 2),
        "last pool": lambda x: F.avg_pool1d(x, 3, ceil_mode=True),
    }
    two_dimensions = {
        "shuffle": lambda x: F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2),
        "unshuffle": unshuffled,
        "turn": lambda x: x.transpose(-1, -2),
        "both flipped": lambda x: x.flip(-1, -2),
        "rows": lambda x: x[..., ::2, :],
    }
    steps |= one_dimension if flat else two_dimensions
    kind = draw.choice(sorted(steps))
    return kind, steps[kind]


def transposed(x, padding):
    weight = torch.ones(2, 2, 3, dtype=x.dtype)
    return F.conv_transpose1d(x, weight, stride=2, padding=padding)


def unshuffled(x):
    even = x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2]
    return F.pixel_unshuffle(even, 2).unflatten(1, (2, 4)).sum(2)


def mixed(x, kernel, **options):
    weight = torch.ones(2, 2, *[kernel] * (x.dim() - 2), dtype=x.dtype)
    return (F.conv1d if x.dim() == 3 else F.conv2d)(x, weight, **options)


class Chain(nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.steps, self.norm = steps, nn.Identity()

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return x * 1.0


def chain(seed, shape):
    draw, steps, kinds = random.Random(seed), [], []
    x = torch.zeros(1, 2, *shape)
    while len(steps) < 4:
        kind, step = step_of(draw, x.shape[-1], x.dim() == 3)
        try:
            y = step(x)
        except RuntimeError:  # a kernel or a reflection is larger than what is left
            continue
        if 3 <= y.shape[-1] <= 80 and min(y.shape[2:]) >= 2:
            steps.append(step)
            kinds.append(kind)
            x = y
    return kinds, Chain(steps)


def support(model, shape, dim, axis):
    """For each output position along a dimension the first and last position of an input's axis with a gradient."""
    x = torch.ones(1, 2, *shape, dtype=torch.float64, requires_grad=True)
    y = model(x)
    found = []
    for unit in range(y.shape[dim]):
        (gradient,) = torch.autograd.grad(y.select(dim, unit).sum(), x, retain_graph=True)
        others = [other for other in range(x.dim()) if other != 2 + axis]
        touched = gradient.abs().sum(others).nonzero().flatten().tolist()
        found.append((touched[0], touched[-1]) if touched else None)
    return found


@pytest.mark.row(28)
@pytest.mark.parametrize("shape", [(11,), (7, 11)], ids=["1d", "2d"])
@pytest.mark.parametrize("part", range(4))
def test_fields_are_the_support_of_the_gradient_or_said_to_be_at_most_that(
    shape, part, trials, measured
):
    known, bounds, cases = 0, 0, trials(30, 500)
    for seed in range(part * cases, (part + 1) * cases):
        kinds, model = chain(seed, shape)
        for axis, seen in count(model, (2, *shape)).output_fields[0]:
            if seen is None:
                continue
            known += 1
            bounds += seen.at_most
            turned = kinds.count("turn") % 2
            dim = 2 + (1 - axis if turned else axis)
            supports = support(model, shape, dim, axis)
            largest = max(last - first + 1 for first, last in filter(None, supports))
            where = (seed, kinds, axis, seen.size, largest)
            assert seen.size > largest if seen.at_most else seen.size == largest, where
            for unit, expected in enumerate(supports):
                holds(seen.span(unit), shape[axis], expected, (*where, unit))
    assert known > cases // 2
    measured(f"{known} fields of {cases} chains, {bounds} of them bounds")


def holds(span, size, expected, where):
    """Inside the input a span is what is seen; one that reaches into padding holds that, and perhaps more."""
    claimed = clipped(span, size)
    if span is None or (span[0] >= 0 and span[1] < size):
        assert claimed == expected, where
    elif expected:
        assert claimed[0] <= expected[0], where
        assert claimed[1] >= expected[1], where


def clipped(span, size):
    """Of a span the positions of the input; the rest is padding."""
    if span is None or span[1] < 0 or span[0] >= size:
        return None
    return max(0, span[0]), min(size - 1, span[1])
