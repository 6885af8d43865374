"""Random modules on random inputs: counted, or refused in one line: row 27."""

import random
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

from losslab.accounting import count, training_memory
from losslab.errors import LosslabError

Trials = Callable[[int, int], int]

LAYERS: list[Callable[[int], nn.Module]] = [
    lambda n: nn.Linear(n, n),
    lambda n: nn.LazyLinear(n),
    lambda n: nn.Bilinear(n, n, n),
    lambda n: nn.Conv1d(n, n, 3, padding=1),
    lambda n: nn.Conv2d(n, n, 3, padding="same"),
    lambda n: nn.Conv3d(n, n, 2),
    lambda n: nn.LazyConv2d(n, 3),
    lambda n: nn.ConvTranspose2d(n, n, 2, stride=2),
    lambda n: nn.BatchNorm1d(n),
    lambda n: nn.BatchNorm2d(n),
    lambda n: nn.InstanceNorm2d(n, affine=True),
    lambda n: nn.GroupNorm(1, n),
    lambda n: nn.LayerNorm(n),
    lambda n: nn.RMSNorm(n),
    lambda n: nn.Embedding(n, n),
    lambda n: nn.Embedding(n, n, sparse=True),
    lambda n: nn.EmbeddingBag(n, n),
    lambda n: nn.LSTM(n, n, batch_first=True),
    lambda n: nn.GRU(n, n, num_layers=2, bidirectional=True),
    lambda n: nn.RNNCell(n, n),
    lambda n: nn.MultiheadAttention(n, 1, batch_first=True),
    lambda n: nn.TransformerEncoderLayer(n, 1, 2 * n, batch_first=True),
    lambda n: nn.Transformer(n, 1, 1, 1, n, batch_first=True),
    lambda n: nn.PReLU(n),
    lambda n: nn.Softmax(-1),
    lambda n: nn.Dropout(0.5),
    lambda n: nn.MaxPool2d(2, return_indices=True),
    lambda n: nn.AdaptiveAvgPool2d(1),
    lambda n: nn.FractionalMaxPool2d(2, output_size=2),
    lambda n: nn.PixelShuffle(2),
    lambda n: nn.Upsample(scale_factor=1.5, mode="bilinear"),
    lambda n: nn.Unfold(2),
    lambda n: nn.Fold((4, 4), 2),
    lambda n: nn.Flatten(),
    lambda n: nn.Unflatten(1, (2, -1)),
    lambda n: nn.CosineSimilarity(),
    lambda n: nn.AdaptiveLogSoftmaxWithLoss(n, 9, [1]),
    lambda n: nn.ModuleList([nn.Linear(n, n)]),
    lambda n: nn.ModuleDict({"a": nn.Linear(n, n)}),
    lambda n: nn.ParameterList([nn.Parameter(torch.zeros(n))]),
    lambda n: nn.utils.parametrizations.weight_norm(nn.Linear(n, n)),
    lambda n: nn.utils.parametrizations.spectral_norm(nn.Conv2d(n, n, 1)),
    lambda n: nn.Linear(n, n).double(),
    lambda n: nn.Linear(n, n).requires_grad_(False),
    lambda n: torch.jit.trace(nn.Linear(n, n), torch.zeros(1, n)),
    lambda n: Returns(lambda x: None),
    lambda n: Returns(lambda x: {"a": x, "b": [x, (x, 1)]}),
    lambda n: Returns(lambda x: x.detach()),
    lambda n: Returns(lambda x: x[x > 0]),
    lambda n: Returns(lambda x: x.sum().item()),
    lambda n: Returns(lambda x: x.reshape(-1, 7)),
    lambda n: Returns(lambda x: torch.distributions.Normal(x, 1.0)),
    lambda n: Returns(lambda x: x.numpy()),
    lambda n: Returns(lambda x: torch.linalg.svd(x)),
    lambda n: Returns(lambda x: torch.fft.rfft2(x)),
    lambda n: Returns(lambda x: x.nonzero()),
    lambda n: Returns(lambda x: torch.unique(x)),
    lambda n: Returns(lambda x: x.argmax(-1)),
    lambda n: Returns(lambda x: x.to(torch.int8)),
    lambda n: Returns(lambda x: x.add_(1)),
    lambda n: Returns(lambda x: x / 0 if bool(x.any()) else x),
    lambda n: Returns(lambda x: x.missing),
    lambda n: Returns(lambda x, y: x),
    lambda n: Returns(lambda x: 1 / 0),
    lambda n: Returns(lambda x: {}["key"]),
]
INPUTS: list[object] = [
    (),
    (4,),
    (6, 4),
    (4, 8, 8),
    (4, 4, 6, 6),
    (0,),
    (-1, 4),
    (2.5,),
    ("a", 3),
    "4",
    "4x8x8",
    "4x8x8:float64",
    "4:int64",
    "6x4:int64",
    "4x8x8:bool",
    "6x4:complex64",
    "4x8x8:bfloat16",
    "4x",
    "4:float",
    ":int64",
    "none",
    None,
    [],
    {},
    [(4,), (4,)],
    [(6, 4), (6, 4), (6, 4)],
    {"x": (4,)},
    {"input": "4x8x8"},
    {"x": {"a": [(4,), None]}},
    {"x": "4", "flag": False},
    torch.zeros(2, 4),
    torch.zeros(2, 4, 8, 8),
    torch.zeros(0, 4),
    torch.zeros(2, 3, dtype=torch.int64),
    torch.zeros(2, 4).to_sparse(),
    torch.zeros(2, 4, device="meta"),
    object(),
    3,
    True,
]
FITTING: list[object] = [(4,), (6, 4), (4, 8, 8), (4, 6), "6:int64", (4, 4, 6, 6)]
"""What most layers of width 4 take."""
OPTIMIZERS = [
    "sgd",
    "adam",
    "torch.optim/RAdam",
    "torch.optim/LBFGS",
    "muon",
    "adafactor",
    "none",
    "sgd(lr=",
]


class Returns(nn.Module):
    """A module of one function, with a weight to train."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.function, self.scale = function, nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> object:
        return self.function(x * self.scale)


def case(seed: int) -> tuple[nn.Module, object, dict[str, object]]:
    """A network, what it is fed and how a step is taken: in half of the cases one layer and an input that may fit."""
    draw = random.Random(seed)
    fitting = draw.random() < 0.5
    depth, width = (1, 4) if fitting else (draw.randint(1, 3), draw.choice([1, 4]))
    layers = [draw.choice(LAYERS)(width) for _ in range(depth)]
    model = layers[0] if depth == 1 else nn.Sequential(*layers)
    shape = draw.choice(FITTING if fitting else INPUTS)
    batch_size = draw.choice([1, 2] if fitting else [1, 2, 0])
    optimizer = draw.choice(OPTIMIZERS[:3] if fitting else OPTIMIZERS)
    precision = draw.choice(["fp32", "fp32", "bf16"])
    return (
        model,
        shape,
        {"batch_size": batch_size, "optimizer": optimizer, "precision": precision},
    )


def is_counted(
    seed: int, function: Callable[..., object], *args: object, **options: object
) -> bool:
    """Whether there is a result; a refusal is one line."""
    try:
        function(*args, **options)
    except LosslabError as error:
        refusal = str(error)
    except Exception as error:
        raise AssertionError(f"case {seed}: {type(error).__name__}: {error}") from error
    else:
        return True
    assert len(refusal.splitlines()) == 1, (seed, refusal)
    return False


@pytest.mark.row(27)
def test_no_raw_exception_comes_out_of_count_or_training_memory(
    trials: Trials, measured: Callable[[str], None]
) -> None:
    cases, results = trials(40, 400), 0
    for seed in range(cases):
        # torch warns of some of these networks when they are built.
        with warnings.catch_warnings(action="ignore"):
            model, shape, options = case(seed)
        results += is_counted(seed, count, model, shape, batch_size=options["batch_size"])
        results += is_counted(seed, training_memory, model, shape, **options)
    assert results > cases // 8
    measured(f"{cases} cases, {results} results of {2 * cases}, no raw exception")
