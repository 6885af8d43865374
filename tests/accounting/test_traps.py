"""Small networks that counters get wrong: multiplications by brute force, receptive fields by gradient support."""

import warnings
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from losslab.accounting import count


def loops(*ranges):
    """Multiplications of a loop nest, counted by running it."""
    return sum(1 for _ in product(*map(range, ranges)))


def conv_loops(out_channels, in_channels, kernel, space, groups=1):
    return loops(out_channels, *space, in_channels // groups, *kernel)


class Net(nn.Module):
    """A network from a function of (itself, inputs) and named parts."""

    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, nn.Parameter(part) if isinstance(part, Tensor) else part)

    def forward(self, *inputs):
        return self.run(self, *inputs)


def weight(*shape):
    return torch.rand(shape)


def attention(self, x):
    q, k, v = self.qkv(x).chunk(3, dim=-1)
    return self.out(F.scaled_dot_product_attention(q, k, v))


def heads(self, x):
    q, k, v = (
        part(x).unflatten(-1, (2, 4)).transpose(1, 2) for part in (self.q, self.k, self.v)
    )
    return (F.softmax(q @ k.transpose(-1, -2), dim=-1) @ v).transpose(1, 2).flatten(2)


def tied(self, x):
    return F.linear(self.embed(x), self.embed.weight)


def shift_by_slices(self, x):
    return self.conv(x[..., 2:, 1:])


def written_into_zeros(self, x):
    y = torch.zeros_like(x)
    y[..., 1:, :] = x[..., :-1, :]
    return self.conv(y)


C = nn.Conv2d
S = nn.Sequential
EXACT, WHOLE, UNKNOWN = "exact", "whole", "unknown"

# id: (factory, input shape, multiplications, receptive field)
TRAPS = {
    "conv": (lambda: C(3, 4, 3), (3, 9, 9), conv_loops(4, 3, (3, 3), (7, 7)), EXACT),
    "conv padded": (lambda: C(3, 4, 3, padding=1), (3, 9, 9), conv_loops(4, 3, (3, 3), (9, 9)), EXACT),
    "conv same": (lambda: C(2, 2, 5, padding="same"), (2, 9, 9), conv_loops(2, 2, (5, 5), (9, 9)), EXACT),
    "conv even same": (lambda: C(2, 2, 4, padding="same"), (2, 11, 11), conv_loops(2, 2, (4, 4), (11, 11)), EXACT),
    "conv strided": (lambda: C(3, 4, 3, stride=2), (3, 11, 11), conv_loops(4, 3, (3, 3), (5, 5)), EXACT),
    "conv not square": (lambda: C(3, 4, (1, 5), (2, 1), (0, 2)), (3, 8, 12), conv_loops(4, 3, (1, 5), (4, 12)), EXACT),
    "conv grouped": (lambda: C(4, 8, 3, groups=2), (4, 9, 9), conv_loops(8, 4, (3, 3), (7, 7), 2), EXACT),
    "conv depthwise": (lambda: C(6, 6, 3, groups=6), (6, 9, 9), conv_loops(6, 6, (3, 3), (7, 7), 6), EXACT),
    "depthwise multiplier": (lambda: C(3, 9, 3, groups=3), (3, 9, 9), conv_loops(9, 3, (3, 3), (7, 7), 3), EXACT),
    "conv dilated": (lambda: C(2, 2, 3, dilation=2), (2, 13, 13), conv_loops(2, 2, (3, 3), (9, 9)), EXACT),
    "conv dilated strided": (
        lambda: S(C(2, 2, 3, stride=2, dilation=3), C(2, 2, 2, dilation=2)),
        (2, 23, 23),
        conv_loops(2, 2, (3, 3), (9, 9)) + conv_loops(2, 2, (2, 2), (7, 7)),
        EXACT,
    ),
    "conv 1d": (lambda: nn.Conv1d(3, 5, 4), (3, 12), conv_loops(5, 3, (4,), (9,)), EXACT),
    "conv 3d": (lambda: nn.Conv3d(2, 3, (2, 3, 3)), (2, 5, 7, 8), conv_loops(3, 2, (2, 3, 3), (4, 5, 6)), EXACT),
    "conv without bias": (lambda: C(3, 4, 3, bias=False), (3, 9, 9), conv_loops(4, 3, (3, 3), (7, 7)), EXACT),
    "conv circular": (
        lambda: C(2, 2, 3, padding=1, padding_mode="circular"), (2, 9, 9), conv_loops(2, 2, (3, 3), (9, 9)), UNKNOWN
    ),
    "conv reflect": (
        lambda: C(2, 2, 3, padding=1, padding_mode="reflect"), (2, 9, 9), conv_loops(2, 2, (3, 3), (9, 9)), EXACT
    ),
    "conv replicate": (
        lambda: C(2, 2, 3, padding=1, padding_mode="replicate"), (2, 9, 9), conv_loops(2, 2, (3, 3), (9, 9)), EXACT
    ),
    "conv functional": (
        lambda: Net(lambda self, x: F.conv2d(x, self.w), w=weight(4, 3, 3, 3)),
        (3, 9, 9), conv_loops(4, 3, (3, 3), (7, 7)), EXACT,
    ),
    "conv with its own weights twice": (
        lambda: Net(lambda self, x: self.c(self.c(x)), c=C(3, 3, 3)),
        (3, 11, 11), conv_loops(3, 3, (3, 3), (9, 9)) + conv_loops(3, 3, (3, 3), (7, 7)), EXACT,
    ),
    "conv weight normed": (
        lambda: nn.utils.parametrizations.weight_norm(C(3, 4, 3)),
        (3, 9, 9), conv_loops(4, 3, (3, 3), (7, 7)), EXACT,
    ),
    "conv standardised weights": (
        lambda: Net(lambda self, x: F.conv2d(x, self.w - self.w.mean((1, 2, 3), keepdim=True)), w=weight(4, 3, 3, 3)),
        (3, 9, 9), conv_loops(4, 3, (3, 3), (7, 7)), EXACT,
    ),
    "transposed": (
        lambda: nn.ConvTranspose2d(3, 4, 3), (3, 7, 7), loops(3, 7, 7, 4, 3, 3), EXACT
    ),
    "transposed strided": (
        lambda: nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1), (3, 7, 7), loops(3, 7, 7, 4, 4, 4), EXACT
    ),
    "transposed odd": (
        lambda: nn.ConvTranspose2d(2, 2, 3, stride=2, output_padding=1), (2, 8, 8), loops(2, 8, 8, 2, 3, 3), EXACT
    ),
    "transposed grouped": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=3, groups=2), (4, 6, 6), loops(4, 6, 6, 3, 3, 3), EXACT
    ),
    "transposed dilated": (
        lambda: nn.ConvTranspose2d(2, 2, 3, dilation=2), (2, 9, 9), loops(2, 9, 9, 2, 3, 3), EXACT
    ),
    "transposed 1d": (lambda: nn.ConvTranspose1d(3, 2, 5, stride=2), (3, 9), loops(3, 9, 2, 5), EXACT),
    "transposed 3d": (
        lambda: nn.ConvTranspose3d(2, 3, 2, stride=2), (2, 4, 5, 6), loops(2, 4, 5, 6, 3, 2, 2, 2), EXACT
    ),
    "down and up": (
        lambda: S(C(1, 2, 3, 2, 1), nn.ConvTranspose2d(2, 2, 4, 2, 1), C(2, 1, 3, padding=1)),
        (1, 24, 24),
        conv_loops(2, 1, (3, 3), (12, 12)) + loops(2, 12, 12, 2, 4, 4) + conv_loops(1, 2, (3, 3), (24, 24)),
        EXACT,
    ),
    "max pool": (lambda: S(C(2, 3, 3), nn.MaxPool2d(2)), (2, 12, 12), conv_loops(3, 2, (3, 3), (10, 10)), EXACT),
    "max pool overlapping": (
        lambda: S(nn.MaxPool2d(3, 2, 1), C(2, 3, 3)), (2, 17, 17), conv_loops(3, 2, (3, 3), (7, 7)), EXACT
    ),
    "average pool": (
        lambda: S(nn.AvgPool2d((2, 3)), C(2, 3, 2)), (2, 12, 15), conv_loops(3, 2, (2, 2), (5, 4)), EXACT
    ),
    "pool 1d": (
        lambda: S(nn.MaxPool1d(3, 2), nn.AvgPool1d(2), nn.Conv1d(2, 2, 2)), (2, 23), conv_loops(2, 2, (2,), (4,)), EXACT
    ),
    "pool 3d": (
        lambda: S(nn.AvgPool3d(2), nn.Conv3d(1, 2, 2)), (1, 8, 8, 8), conv_loops(2, 1, (2, 2, 2), (3, 3, 3)), EXACT
    ),
    "pool rounded up": (
        lambda: S(nn.MaxPool2d(3, 2, ceil_mode=True), C(2, 2, 1)),
        (2, 10, 10), conv_loops(2, 2, (1, 1), (5, 5)), EXACT,
    ),
    "adaptive pool that divides": (
        lambda: S(nn.AdaptiveAvgPool2d(3), C(2, 2, 1)), (2, 9, 12), conv_loops(2, 2, (1, 1), (3, 3)), EXACT
    ),
    "adaptive pool that does not": (
        lambda: S(nn.AdaptiveAvgPool2d(4), C(2, 2, 1)), (2, 9, 9), conv_loops(2, 2, (1, 1), (4, 4)), UNKNOWN
    ),
    "global pool": (
        lambda: S(C(2, 3, 3), nn.AdaptiveAvgPool2d(1), C(3, 3, 1)),
        (2, 9, 9), conv_loops(3, 2, (3, 3), (7, 7)) + loops(3, 3), WHOLE,
    ),
    "mean for a pool": (
        lambda: Net(lambda self, x: self.fc(x.mean((2, 3))), fc=nn.Linear(3, 4)), (3, 5, 7), loops(4, 3), WHOLE
    ),
    "squeeze and excite": (
        lambda: Net(
            lambda self, x: self.c(x) * torch.sigmoid(self.s(x.mean((2, 3), keepdim=True))),
            c=C(3, 3, 3, 1, 1), s=C(3, 3, 1),
        ),
        (3, 8, 8), conv_loops(3, 3, (3, 3), (8, 8)) + loops(3, 3), WHOLE,
    ),
    "residual": (
        lambda: Net(lambda self, x: x + self.b(self.a(x)), a=C(2, 2, 3, padding=1), b=C(2, 2, 3, padding=1)),
        (2, 11, 11), 2 * conv_loops(2, 2, (3, 3), (11, 11)), EXACT,
    ),
    "residual in place": (
        lambda: Net(lambda self, x: self.a(x).mul_(2).add_(self.b(x)), a=C(2, 2, 3, padding=1), b=C(2, 2, 1)),
        (2, 11, 11), conv_loops(2, 2, (3, 3), (11, 11)) + conv_loops(2, 2, (1, 1), (11, 11)), EXACT,
    ),
    "strided residual": (
        lambda: Net(lambda self, x: self.a(x) + self.b(x), a=C(2, 2, 3, 2, 1), b=C(2, 2, 1, 2)),
        (2, 11, 11), conv_loops(2, 2, (3, 3), (6, 6)) + conv_loops(2, 2, (1, 1), (6, 6)), EXACT,
    ),
    "shortcut by slices": (
        lambda: Net(lambda self, x: self.a(x) + F.pad(x[..., ::2, ::2], (0, 0, 0, 0, 1, 1)), a=C(2, 4, 3, 2, 1)),
        (2, 11, 11), conv_loops(4, 2, (3, 3), (6, 6)), EXACT,
    ),
    "branches": (
        lambda: Net(
            lambda self, x: torch.cat([self.a(x), self.b(x), F.max_pool2d(x, 3, 1, 1)], 1),
            a=C(2, 3, 5, padding=2), b=C(2, 1, 1),
        ),
        (2, 11, 11), conv_loops(3, 2, (5, 5), (11, 11)) + conv_loops(1, 2, (1, 1), (11, 11)), EXACT,
    ),
    "dense block": (
        lambda: Net(
            lambda self, x: self.b(torch.cat([x, self.a(x)], 1)), a=C(2, 3, 3, padding=1), b=C(5, 2, 3, padding=1)
        ),
        (2, 11, 11), conv_loops(3, 2, (3, 3), (11, 11)) + conv_loops(2, 5, (3, 3), (11, 11)), EXACT,
    ),
    "shifted slices": (
        lambda: Net(shift_by_slices, conv=C(2, 2, 3)), (2, 12, 12), conv_loops(2, 2, (3, 3), (8, 9)), EXACT
    ),
    "written into zeros": (
        lambda: Net(written_into_zeros, conv=C(2, 2, 3)), (2, 12, 12), conv_loops(2, 2, (3, 3), (10, 10)), UNKNOWN
    ),
    "causal padding": (
        lambda: Net(lambda self, x: self.c(F.pad(x, (4, 0))), c=nn.Conv1d(2, 2, 3, dilation=2)),
        (2, 16), conv_loops(2, 2, (3,), (16,)), EXACT,
    ),
    "nearest upsampling": (
        lambda: S(C(1, 2, 3), nn.Upsample(scale_factor=2), C(2, 2, 3)),
        (1, 12, 12), conv_loops(2, 1, (3, 3), (10, 10)) + conv_loops(2, 2, (3, 3), (18, 18)), EXACT,
    ),
    "bilinear upsampling": (
        lambda: S(C(1, 2, 3), nn.Upsample(scale_factor=2, mode="bilinear"), C(2, 2, 3)),
        (1, 12, 12), conv_loops(2, 1, (3, 3), (10, 10)) + conv_loops(2, 2, (3, 3), (18, 18)), EXACT,
    ),
    "bilinear upsampling by 3": (
        lambda: S(nn.Upsample(scale_factor=3, mode="bilinear"), C(2, 2, 2)),
        (2, 8, 8), conv_loops(2, 2, (2, 2), (23, 23)), EXACT,
    ),
    "aligned corners": (
        lambda: S(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), C(2, 2, 2)),
        (2, 8, 8), conv_loops(2, 2, (2, 2), (15, 15)), UNKNOWN,
    ),
    "pixel shuffle": (
        lambda: S(C(2, 8, 3), nn.PixelShuffle(2), C(2, 2, 3)),
        (2, 12, 12), conv_loops(8, 2, (3, 3), (10, 10)) + conv_loops(2, 2, (3, 3), (18, 18)), EXACT,
    ),
    "pixel unshuffle": (
        lambda: S(nn.PixelUnshuffle(2), C(8, 2, 3)), (2, 14, 14), conv_loops(2, 8, (3, 3), (5, 5)), EXACT
    ),
    "batch norm": (
        lambda: S(C(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()), (2, 9, 9), conv_loops(3, 2, (3, 3), (7, 7)), EXACT
    ),
    "instance norm": (
        lambda: S(C(2, 3, 3), nn.InstanceNorm2d(3)), (2, 9, 9), conv_loops(3, 2, (3, 3), (7, 7)), WHOLE
    ),
    "group norm": (
        lambda: S(C(2, 4, 3), nn.GroupNorm(2, 4)), (2, 9, 9), conv_loops(4, 2, (3, 3), (7, 7)), WHOLE
    ),
    "channels last mlp": (
        lambda: Net(
            lambda self, x: self.f(self.n(self.c(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2),
            c=C(2, 4, 3, padding=1), n=nn.LayerNorm(4), f=nn.Linear(4, 6),
        ),
        (2, 9, 9), conv_loops(4, 2, (3, 3), (9, 9)) + loops(9, 9, 6, 4), EXACT,
    ),
    "window attention views": (
        lambda: Net(lambda self, x: self.c(x.unflatten(2, (2, 4)).flatten(2, 3)), c=C(2, 2, 3)),
        (2, 8, 8), conv_loops(2, 2, (3, 3), (6, 6)), UNKNOWN,
    ),
    "rolled": (
        lambda: Net(lambda self, x: self.c(x.roll(1, -1)), c=C(2, 2, 3)),
        (2, 8, 8), conv_loops(2, 2, (3, 3), (6, 6)), EXACT,
    ),
    "transposed image added": (
        lambda: Net(lambda self, x: x + x.transpose(2, 3) + self.c(x), c=C(2, 2, 1)),
        (2, 8, 8), conv_loops(2, 2, (1, 1), (8, 8)), UNKNOWN,
    ),
    "softmax over pixels": (
        lambda: Net(lambda self, x: self.c(x).flatten(2).softmax(-1), c=C(2, 2, 1)),
        (2, 6, 6), conv_loops(2, 2, (1, 1), (6, 6)), WHOLE,
    ),
    "cumulative sum": (
        lambda: S(nn.Conv1d(2, 2, 3), Net(lambda self, x: x.cumsum(-1))), (2, 9), loops(2, 7, 2, 3), UNKNOWN
    ),
    "linear": (lambda: nn.Linear(5, 7), (5,), loops(7, 5), WHOLE),
    "linear on three dimensions": (lambda: nn.Linear(5, 7), (2, 3, 5), loops(2, 3, 7, 5), None),
    "linear without bias": (lambda: nn.Linear(5, 7, bias=False), (5,), loops(7, 5), WHOLE),
    "linear functional": (
        lambda: Net(lambda self, x: F.linear(x, self.w, self.b), w=weight(4, 6), b=weight(4)), (6,), loops(4, 6), WHOLE
    ),
    "matmul by a parameter": (lambda: Net(lambda self, x: x @ self.w, w=weight(6, 4)), (3, 6), loops(3, 4, 6), None),
    "matrix and vector": (lambda: Net(lambda self, x: x @ self.w, w=weight(6)), (3, 6), loops(3, 6), None),
    "low rank weights": (
        lambda: Net(lambda self, x: x @ (self.a @ self.b), a=weight(6, 2), b=weight(2, 5)),
        (6,), loops(6, 5, 2) + loops(5, 6), WHOLE,
    ),
    "einsum": (
        lambda: Net(lambda self, x: torch.einsum("bchw,cd->bdhw", x, self.w), w=weight(3, 5)),
        (3, 4, 6), loops(4, 6, 5, 3), EXACT,
    ),
    "einsum batched": (
        lambda: Net(lambda self, x, y: torch.einsum("bij,bkj->bik", x, y)), [(3, 4), (5, 4)], loops(3, 5, 4), None
    ),
    "bmm": (lambda: Net(lambda self, x, y: torch.bmm(x, y)), [(3, 4), (4, 5)], loops(3, 5, 4), None),
    "baddbmm": (
        lambda: Net(lambda self, x, y, z: torch.baddbmm(z, x, y)), [(3, 4), (4, 5), (3, 5)], loops(3, 5, 4), None
    ),
    "bilinear": (
        lambda: Net(lambda self, x, y: self.f(x, y), f=nn.Bilinear(3, 4, 5)), [(3,), (4,)], loops(5, 3, 4), None
    ),
    "embedding": (lambda: nn.Embedding(10, 4), "7:int64", 0, None),
    "embedding tied to its output": (lambda: Net(tied, embed=nn.Embedding(10, 4)), "7:int64", loops(7, 10, 4), None),
    "embedding bag": (lambda: nn.EmbeddingBag(10, 4), "7:int64", 0, None),
    "attention": (
        lambda: Net(attention, qkv=nn.Linear(4, 12), out=nn.Linear(4, 4)),
        (5, 4), loops(5, 12, 4) + 2 * loops(5, 5, 4) + loops(5, 4, 4), None,
    ),
    "attention by hand": (
        lambda: Net(heads, q=nn.Linear(8, 8), k=nn.Linear(8, 8), v=nn.Linear(8, 8)),
        (5, 8), 3 * loops(5, 8, 8) + 2 * loops(2, 5, 5, 4), None,
    ),
    "multi-head attention": (
        lambda: Net(lambda self, x: self.a(x, x, x)[0], a=nn.MultiheadAttention(8, 2, batch_first=True)),
        (5, 8), loops(5, 24, 8) + 2 * loops(2, 5, 5, 4) + loops(5, 8, 8), None,
    ),
    "cross attention": (
        lambda: Net(
            lambda self, x, y: self.a(x, y, y, need_weights=False)[0], a=nn.MultiheadAttention(8, 2, batch_first=True)
        ),
        [(5, 8), (3, 8)], loops(5, 8, 8) + loops(3, 16, 8) + 2 * loops(2, 5, 3, 4) + loops(5, 8, 8), None,
    ),
    "transformer layer": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        (5, 8), loops(5, 24, 8) + 2 * loops(2, 5, 5, 4) + loops(5, 8, 8) + 2 * loops(5, 16, 8), None,
    ),
    "rnn": (lambda: nn.RNN(4, 3, batch_first=True), (6, 4), loops(6, 3, 4) + loops(6, 3, 3), None),
    "lstm": (lambda: nn.LSTM(4, 3, batch_first=True), (6, 4), loops(6, 12, 4) + loops(6, 12, 3), None),
    "lstm of two layers, both ways": (
        lambda: nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True),
        (6, 4), 2 * (loops(6, 12, 4) + loops(6, 12, 3)) + 2 * (loops(6, 12, 6) + loops(6, 12, 3)), None,
    ),
    "gru": (lambda: nn.GRU(4, 3, batch_first=True), (6, 4), loops(6, 9, 4) + loops(6, 9, 3), None),
    "lstm projected": (
        lambda: nn.LSTM(4, 3, proj_size=2, batch_first=True),
        (6, 4), loops(6, 12, 4) + loops(6, 12, 2) + loops(6, 2, 3), None,
    ),
    "lstm cell": (
        lambda: Net(lambda self, x: self.c(x)[0], c=nn.LSTMCell(4, 3)), (4,), loops(12, 4) + loops(12, 3), None
    ),
    "class token and positions": (
        lambda: Net(
            lambda self, x: self.f(torch.cat([self.t.expand(len(x), -1, -1), x], 1) + self.p),
            t=weight(1, 1, 4), p=weight(1, 6, 4), f=nn.Linear(4, 3),
        ),
        (5, 4), loops(6, 3, 4), None,
    ),
    "learned queries": (
        lambda: Net(lambda self, x: self.f(self.q) @ x.transpose(1, 2), q=weight(3, 4), f=nn.Linear(4, 4)),
        (5, 4), loops(3, 4, 4) + loops(3, 5, 4), None,
    ),
    "lazy": (
        lambda: S(nn.LazyConv2d(3, 3), nn.Flatten(), nn.LazyLinear(2)),
        (2, 5, 5), loops(3, 3, 3, 2, 3, 3) + loops(2, 27), WHOLE,
    ),
    "unused part": (
        lambda: Net(lambda self, x: self.a(x), a=nn.Linear(3, 4), spare=nn.Linear(5, 6)), (3,), loops(4, 3), WHOLE
    ),
    "parameter list": (
        lambda: Net(lambda self, x: sum(x @ w for w in self.w), w=nn.ParameterList([weight(3, 2) for _ in range(3)])),
        (3,), 3 * loops(2, 3), WHOLE,
    ),
    "two heads": (
        lambda: Net(lambda self, x: (self.a(x), self.b(x)), a=nn.Linear(3, 4), b=nn.Linear(3, 2)),
        (3,), loops(4, 3) + loops(2, 3), WHOLE,
    ),
}  # fmt: skip


WORKS_ON_WEIGHTS = {"low rank weights", "learned queries"}
"""A larger batch does not repeat products of parameters alone."""

NOT_SEEN_BY_TORCH = {"bilinear", "matrix and vector"}
"""torch's counter has no rule for bilinear forms and for the product of a matrix and a vector."""


@pytest.fixture(params=TRAPS, ids=lambda name: name.replace(" ", "-"))
def trap(request):
    return made(request.param)


def made(name):
    torch.manual_seed(0)
    make, *expected = TRAPS[name]
    return name, make(), *expected


def real_inputs(shape, batch=1):
    if isinstance(shape, str):
        return [torch.zeros((batch, int(shape.partition(":")[0])), dtype=torch.int64)]
    shapes = shape if isinstance(shape, list) else [shape]
    return [torch.randn(batch, *sizes) for sizes in shapes]


def test_there_are_at_least_sixty_traps():
    assert len(TRAPS) >= 60


def test_multiplications_equal_the_loops_that_count_them(trap):
    name, model, shape, macs, _ = trap
    ledger = count(model, shape)
    assert ledger.status == "complete"
    assert ledger.macs == macs
    if name not in WORKS_ON_WEIGHTS:
        assert count(model, shape, batch_size=3).macs == 3 * macs


def test_parameters_are_those_of_the_model_and_rows_sum_to_totals(trap):
    _, model, shape, *_ = trap
    ledger = count(model, shape)
    initialised = (
        model
        if not any(map(nn.parameter.is_lazy, model.parameters()))
        else materialised(model, shape)
    )
    assert ledger.parameters == sum(p.numel() for p in initialised.parameters())
    for number in ("parameters", "macs", "activations"):
        assert sum(int(getattr(row, number)) for row in ledger.rows) == getattr(ledger, number)


def materialised(model, shape):
    run_real(model, shape)
    return model


def run_real(model, shape):
    with warnings.catch_warnings(action="ignore"):
        return model.eval()(*real_inputs(shape))


def test_every_printed_formula_evaluates_to_its_number(trap):
    _, model, shape, *_ = trap
    for row in count(model, shape).rows:
        for text in row.work.values():
            for formula in text.split("; "):
                expression, _, value = formula.rpartition(" = ")
                assert eval(expression or value.replace(",", "")) == int(value.replace(",", ""))


def test_the_output_has_the_shape_that_the_real_model_gives(trap):
    _, model, shape, *_ = trap
    output = run_real(model, shape)
    first = output if isinstance(output, Tensor) else output[0]
    assert count(model, shape).output_shapes[0] == tuple(first.shape)


def test_torchs_own_counter_agrees(trap):
    name, model, shape, macs, _ = trap
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run_real(model, shape)
    if name not in NOT_SEEN_BY_TORCH and not isinstance(model, nn.modules.rnn.RNNBase):
        assert counter.get_total_flops() == 2 * macs


def gradient_support(model, shape):
    """First and last input position, per axis, that the middle unit of the output depends on."""
    for tensor in [*model.parameters(), *model.buffers()]:
        tensor.data = tensor.data.abs() + 0.1 if tensor.is_floating_point() else tensor.data
    (images,) = real_inputs(shape, batch=64)
    images.requires_grad_()
    with warnings.catch_warnings(action="ignore"):
        output = model.eval().double()(images.double())
    output = output if isinstance(output, Tensor) else output[0]
    space = output.shape[2:] if output.dim() > 2 else ()
    middle = tuple(size // 2 for size in space)
    (gradient,) = torch.autograd.grad(
        output[(slice(None), slice(None), *middle)].pow(2).sum(), images
    )
    touched = gradient.abs().sum((0, 1)) if gradient.dim() > 2 else gradient.abs().sum(0)
    places = touched.nonzero()
    return middle, touched.shape, places.min(0).values.tolist(), places.max(0).values.tolist()


@pytest.mark.parametrize("name", [name for name, (*_, field) in TRAPS.items() if field])
def test_receptive_fields_are_the_support_of_the_gradient(name):
    _, model, shape, _, field = made(name)
    (fields,) = count(model, shape).output_fields[:1]
    if any(map(nn.parameter.is_lazy, model.parameters())):
        materialised(model, shape)
    middle, sizes, first, last = gradient_support(model, shape)
    if field == EXACT:
        for axis, seen in fields:
            low, high = seen.span(middle[axis])
            assert low >= 0, "the trap's input is too small"
            assert high < sizes[axis], "the trap's input is too small"
            assert (low, high) == (first[axis], last[axis])
            assert seen.size >= high - low + 1
    else:
        assert None in [seen for _, seen in fields]
    if field == WHOLE:
        assert (first, last) == ([0] * len(sizes), [size - 1 for size in sizes])


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_bytes_are_resampled_as_torch_resamples_them(mode):
    class Resampled(nn.Module):
        def forward(self, x):
            return nn.functional.interpolate(x, scale_factor=2, mode=mode)

    assert count(Resampled(), "3x4x4:uint8").output_shapes == ((1, 3, 8, 8),)
    assert Resampled()(torch.zeros(1, 3, 4, 4, dtype=torch.uint8)).shape == (1, 3, 8, 8)
