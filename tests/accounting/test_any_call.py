"""400 drawn calls, of modules of torch and inputs that suit and that do not: torch itself, on real data, is the oracle.

What torch runs is counted and trained, what torch refuses is refused in one line, and no other error leaves either.
"""

import random
import warnings
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from losslab.accounting import count, training_memory
from losslab.errors import InvalidInput


def convolution(draw, kind, dims):
    groups, channels = draw.choice([1, 2]), 2 * draw.randint(1, 3)
    options = {"stride": draw.randint(1, 2), "padding": draw.randint(0, 2), "groups": groups}
    if kind.__name__.startswith("Conv") and draw.random() < 0.3:
        options |= {"padding": "same", "stride": 1, "dilation": draw.randint(1, 2)}
    return kind(channels, 4, draw.randint(1, 3), **options), (channels, *sizes(draw, dims))


def sizes(draw, dims):
    return tuple(draw.randint(5, 9) for _ in range(dims))


def pooling(draw, kind, dims):
    layer = (
        kind(draw.randint(1, 3)) if "Adaptive" in kind.__name__ else kind(2, draw.randint(1, 2))
    )
    return layer, (3, *sizes(draw, dims))


def norm(draw, kind, dims):
    return kind(4), (4, *sizes(draw, dims))


def recurrent(draw, kind):
    options = {"num_layers": draw.randint(1, 2), "bidirectional": draw.random() < 0.5}
    return kind(6, 4, batch_first=True, **options), (draw.randint(1, 5), 6)


def activation(draw):
    kinds = (
        nn.ReLU,
        nn.GELU,
        nn.SiLU,
        nn.Softplus,
        nn.ELU,
        nn.Mish,
        nn.Hardswish,
        nn.LeakyReLU,
    )
    return draw.choice(kinds)(), (4, *sizes(draw, draw.randint(0, 2)))


def encoder(draw):
    norm_first = draw.random() < 0.5
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first), (5, 8)


class Residual(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return x + self.layer(x)


class Checkpointed(Residual):
    def forward(self, x):
        return checkpoint(self.layer, x, use_reentrant=False)


class Several(Residual):
    def forward(self, x):
        return {"out": [self.layer(x)], "in": x, "none": None}


PADDINGS = (nn.ReflectionPad2d, nn.ZeroPad2d, nn.CircularPad2d)

KINDS = {
    "linear": lambda draw: (nn.Linear(6, 4, bias=draw.random() < 0.5), (*sizes(draw, draw.randint(0, 2)), 6)),
    "lazy linear": lambda draw: (nn.LazyLinear(4), (*sizes(draw, draw.randint(0, 1)), 6)),
    "lazy convolution": lambda draw: (nn.LazyConv2d(4, 3), (2, *sizes(draw, 2))),
    "bag": lambda draw: (nn.EmbeddingBag(50, 4, mode=draw.choice(["sum", "mean"])), "7:int64"),
    "embedding": lambda draw: (nn.Embedding(50, 4, padding_idx=draw.choice([None, 0])), "7:int64"),
    "convolution 1d": lambda draw: convolution(draw, nn.Conv1d, 1),
    "convolution 2d": lambda draw: convolution(draw, nn.Conv2d, 2),
    "convolution 3d": lambda draw: convolution(draw, nn.Conv3d, 3),
    "transposed 1d": lambda draw: convolution(draw, nn.ConvTranspose1d, 1),
    "transposed 2d": lambda draw: convolution(draw, nn.ConvTranspose2d, 2),
    "max pool": lambda draw: pooling(draw, nn.MaxPool2d, 2),
    "average pool": lambda draw: pooling(draw, nn.AvgPool1d, 1),
    "adaptive pool": lambda draw: pooling(draw, nn.AdaptiveAvgPool2d, 2),
    "adaptive max pool": lambda draw: pooling(draw, nn.AdaptiveMaxPool1d, 1),
    "power pool": lambda draw: (nn.LPPool2d(2, 2), (3, *sizes(draw, 2))),
    "batch norm": lambda draw: norm(draw, nn.BatchNorm2d, 2),
    "batch norm 1d": lambda draw: norm(draw, nn.BatchNorm1d, draw.randint(0, 1)),
    "instance norm": lambda draw: norm(draw, nn.InstanceNorm1d, 1),
    "group norm": lambda draw: (nn.GroupNorm(2, 4), (4, *sizes(draw, 2))),
    "layer norm": lambda draw: (nn.LayerNorm(6), (*sizes(draw, 1), 6)),
    "rms norm": lambda draw: (nn.RMSNorm(6), (*sizes(draw, 1), 6)),
    "lstm": lambda draw: recurrent(draw, nn.LSTM),
    "gru": lambda draw: recurrent(draw, nn.GRU),
    "rnn": lambda draw: recurrent(draw, nn.RNN),
    "lstm cell": lambda draw: (nn.LSTMCell(6, 4), (6,)),
    "gru cell": lambda draw: (nn.GRUCell(6, 4), (6,)),
    "activation": activation,
    "prelu": lambda draw: (nn.PReLU(4), (4, *sizes(draw, 1))),
    "softmax": lambda draw: (nn.Softmax(-1), sizes(draw, 2)),
    "dropout": lambda draw: (nn.Dropout(0.3), sizes(draw, 2)),
    "encoder": encoder,
    "shuffle": lambda draw: (nn.PixelShuffle(2), (4, *sizes(draw, 2))),
    "padding": lambda draw: (draw.choice(PADDINGS)(2), (3, *sizes(draw, 2))),
    "upsampling": lambda draw: (nn.Upsample(None, 2, draw.choice(["nearest", "bilinear"])), (3, *sizes(draw, 2))),
    "unfold": lambda draw: (nn.Unfold(2), (3, *sizes(draw, 2))),
    "flatten": lambda draw: (nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), (3, *sizes(draw, 2))),
    "local response": lambda draw: (nn.LocalResponseNorm(3), (4, *sizes(draw, 2))),
    "weight norm": lambda draw: (nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)), (6,)),
    "spectral norm": lambda draw: (nn.utils.parametrizations.spectral_norm(nn.Linear(6, 4)), (6,)),
}  # fmt: skip
"""Name -> (draw) to a module and the shape of a sample that suits it."""

WRAPPERS = (Residual, Checkpointed, Several, nn.Sequential)


def drawn_call(seed):
    """A module, perhaps in another; an input that mostly suits; and the dtypes of both."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    layer, shape = KINDS[draw.choice(sorted(KINDS))](draw)
    if draw.random() < 0.3:
        wrapper = draw.choice(WRAPPERS)
        # A recurrent layer that is computed once more is refused in training: its first states are made apart.
        computed_twice = wrapper is Checkpointed and isinstance(layer, nn.RNNBase)
        layer = layer if computed_twice else wrapper(layer)
    if draw.random() < 0.1:
        layer = layer.double()
    if draw.random() < 0.3:
        shape = changed(draw, shape)
    return layer, shape, draw.randint(1, 3)


def changed(draw, shape):
    """The shape with a dimension more or less, another size, or another dtype."""
    if isinstance(shape, str):
        return draw.choice(["7:float32", "7x2:int64", ":int64", "7:bool"])
    kind = draw.choice(["more", "less", "other", "dtype"])
    if kind == "dtype":
        return "x".join(map(str, shape)) + draw.choice([":int64", ":float64", ":bool"])
    if kind == "other":
        place = draw.randrange(len(shape))
        return (*shape[:place], draw.randint(1, 9), *shape[place + 1 :])
    return (2, *shape) if kind == "more" else shape[1:]


def real_input(shape, batch, model):
    text, _, kind = (shape if isinstance(shape, str) else "x".join(map(str, shape))).partition(
        ":"
    )
    dimensions = [int(size) for size in text.split("x") if size]
    own = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    dtype = getattr(torch, kind) if kind else own
    return torch.ones(batch, *dimensions, dtype=dtype)


@contextmanager
def taken_apart():
    """Have torch run the operations that its counter knows in place of fused kernels."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            sdpa_kernel(SDPBackend.MATH),
            torch.backends.mkldnn.flags(enabled=False),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def run_by_torch(model, x):
    """FLOPs of a forward, or None where torch refuses it."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), taken_apart():
        try:
            model.eval()(x)
            with counter:
                model(x)
        except Exception:  # torch has no one error for it
            return None
    return counter.get_total_flops()


def trained_by_torch(model, x):
    """Whether torch gets gradients of all that the model returns."""
    model.train()
    with warnings.catch_warnings(action="ignore"):
        try:
            model(x)  # with a first pass lazy layers get their parameters
            outputs = [leaf for leaf in tree_leaves(model(x)) if isinstance(leaf, Tensor)]
            sum(output.sum() for output in outputs if output.requires_grad).backward()
        except Exception:  # torch has no one error for it
            return False
    return True


@pytest.mark.parametrize("block", range(8))
def test_what_torch_runs_and_trains_is_counted_and_what_it_refuses_is_refused(block):
    complete = 0
    for seed in range(50 * block, 50 * (block + 1)):
        model, shape, batch = drawn_call(seed)
        counted, trained = (
            result_of(measure, model, shape, batch) for measure in (count, training_memory)
        )
        x = real_input(shape, batch, model)
        flops = run_by_torch(model, x)
        case = f"seed {seed}: {model}, {shape}, batch {batch}: {counted}, {trained}"
        assert (flops is None) == isinstance(counted, InvalidInput), case
        assert "\n" not in f"{counted if flops is None else ''}", case
        assert trained_by_torch(model, x) != isinstance(trained, InvalidInput), case
        if flops is not None:
            assert counted.status == "complete", case
            assert counted.flops - flops == unseen_by_torch(model), case
            complete += 1
    assert complete >= 30


def unseen_by_torch(model):
    """FLOPs of products of a matrix and a vector, of which torch's counter has none: those of a spectral norm."""
    norms = [m for m in model.modules() if type(m).__name__ == "_SpectralNorm"]
    return sum(2 * (norm._u.numel() * norm._v.numel() + norm._u.numel()) for norm in norms)


def result_of(measure, model, shape, batch):
    try:
        return measure(model, shape, batch_size=batch)
    except InvalidInput as error:
        return error
