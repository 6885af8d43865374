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


def step_of(draw, size):
    """A random step along the last dimension, and what it is for an error's sake.

    A window with a stride fits the size: where it leaves units over, a unit at the edge is said to see these too, as
    published figures do; so is a hole of a dilated kernel.
    """
    start, end = crop(draw, size)
    amount = draw.randint(1, 3)
    steps = {
        "conv": lambda x: mixed(x, 3, padding=amount),
        "crop": lambda x: x[..., start:end],
        "negative": lambda x: x[..., -(size + amount) : end],
        "pad": lambda x: F.pad(x, (amount, 1)),
        "repeat": lambda x: x.repeat_interleave(2, -1),
        "expand": lambda x: x.unsqueeze(-1).expand(*x.shape, 2).flatten(-2),
        "tile": lambda x: x.repeat(*[1] * (x.dim() - 1), 2),
        "roll": lambda x: x.roll(amount, -1),
        "flip": lambda x: x.flip(-1),
        "join": lambda x: torch.cat([x[..., 1:], x[..., :1]], -1),
        "skip": lambda x: x + x.roll(1, -1),
        "nearest": lambda x: (
            F.interpolate(x, scale_factor=2, mode="nearest") if x.dim() == 3 else x
        ),
        "shuffle": lambda x: F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2) if x.dim() == 4 else x,
        "transposed": lambda x: transposed(x) if x.dim() == 3 else x,
        "pool": lambda x: F.avg_pool1d(x, 2) if x.dim() == 3 else x,
        "strided": lambda x: mixed(x, 3, padding=1, stride=(2, 1)[-1:] if x.dim() == 4 else 2),
    }
    unfit = "strided" if size % 2 == 0 else "pool"
    kind = draw.choice(sorted(steps.keys() - {unfit}))
    return kind, steps[kind]


def transposed(x):
    return F.conv_transpose1d(x, torch.ones(2, 2, 3, dtype=x.dtype), stride=2)


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
        kind, step = step_of(draw, x.shape[-1])
        y = step(x)
        if 3 <= y.shape[-1] <= 80 and min(y.shape[2:]) >= 2:
            steps.append(step)
            kinds.append(kind)
            x = y
    return kinds, Chain(steps)


def support(model, shape, dim):
    """For each output position along a dimension the first and last input position with a gradient."""
    x = torch.ones(1, 2, *shape, dtype=torch.float64, requires_grad=True)
    y = model(x)
    found = []
    for unit in range(y.shape[dim]):
        (gradient,) = torch.autograd.grad(y.select(dim, unit).sum(), x, retain_graph=True)
        others = [other for other in range(x.dim()) if other != dim]
        touched = gradient.abs().sum(others).nonzero().flatten().tolist()
        found.append((touched[0], touched[-1]) if touched else None)
    return found


@pytest.mark.row(28)
@pytest.mark.parametrize("shape", [(11,), (5, 11)], ids=["1d", "2d"])
@pytest.mark.parametrize("part", range(4))
def test_fields_are_the_support_of_the_gradient(shape, part, trials, measured):
    known, cases = 0, trials(60, 500)
    for seed in range(part * cases, (part + 1) * cases):
        kinds, model = chain(seed, shape)
        for axis, seen in count(model, (2, *shape)).output_fields[0]:
            if seen is None:
                continue
            known += 1
            size = shape[axis]
            for unit, expected in enumerate(support(model, shape, 2 + axis)):
                assert clipped(seen.span(unit), size) == expected, (seed, kinds, axis, unit)
    assert known > cases // 2
    measured(f"{known} fields of {cases} chains")


def clipped(span, size):
    """Of a span the positions of the input; the rest is padding."""
    if span is None or span[1] < 0 or span[0] >= size:
        return None
    return max(0, span[0]), min(size - 1, span[1])
