"""Nothing is left out in silence: what a ledger does not count, it says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from losslab.accounting import Comparison, count, training_memory
from losslab.errors import InvalidInput


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.scale, self.unused = (
            nn.Linear(8, 4),
            nn.Parameter(torch.tensor(2.0)),
            nn.Parameter(torch.tensor(1.0)),
        )

    def forward(self, x):
        return self.linear(x) * self.scale.exp()


def test_parameters_without_dimensions_are_one_number_each():
    ledger = count(Scaled(), (8,))
    assert ledger.parameters == 8 * 4 + 4 + 1 + 1
    assert [int(row.parameters) for row in ledger.rows if row.status == "not run"] == [1]


class Decorated(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))

    @torch.inference_mode()
    def forward(self, x):
        return self.layers(x)


def test_inference_mode_outside_and_in_a_forward_changes_nothing():
    expected = 4 * 27 * 36 + 144 * 2
    with torch.inference_mode():
        outside = count(Decorated().layers, (3, 8, 8))
        built_there = count(lambda: nn.Linear(3, 2), (3,))
    for ledger in (outside, count(Decorated(), (3, 8, 8))):
        assert (ledger.status, ledger.macs) == ("complete", expected)
    assert (built_there.status, built_there.macs) == ("complete", 6)


def test_attention_in_inference_mode_is_its_two_products():
    class Attention(nn.Module):
        @torch.inference_mode()
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    ledger = count(Attention(), (2, 5, 4))
    assert (ledger.status, ledger.macs) == ("complete", 2 * (2 * 5 * 5 * 4))


def test_complex_numbers_are_stated():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 3, dtype=torch.complex64))

        def forward(self, x):
            return x.to(torch.complex64) @ self.weight

    ledger = count(Complex(), (4,))
    assert ledger.macs == 12
    assert any("complex" in note for note in ledger.notes)
    assert not count(nn.Linear(4, 3), (4,)).notes


@pytest.mark.parametrize(
    ("kind", "options", "macs"),
    [
        (nn.Conv2d, {}, 6 * 6 * 3 * 9 * 2),
        (nn.Conv2d, {"padding": "same", "bias": False}, 8 * 8 * 3 * 9 * 2),
        (nn.ConvTranspose2d, {}, 8 * 8 * 2 * 9 * 3),
    ],
    ids=["conv", "same", "transposed"],
)
def test_a_complex_convolution_counts_as_three_of_real_numbers_and_is_stated(
    kind, options, macs
):
    layer = kind(2, 3, 3, dtype=torch.complex64, **options)
    ledger = count(layer, "2x8x8:complex64")
    assert (ledger.status, ledger.macs) == ("complete", 3 * macs)
    assert training_memory(layer, "2x8x8:complex64").forward_macs == 3 * macs
    assert ledger.parameters == sum(p.numel() for p in layer.parameters())
    assert any("complex" in note for note in ledger.notes)
    assert len(ledger.rows) == 2


def test_a_comparison_repeats_that_a_ledger_is_partial():
    class Unknown(nn.Linear):
        def forward(self, x):
            return torch.linalg.svdvals(super().forward(x))

    partial, whole = count(Unknown(6, 4), (2, 6)), count(nn.Linear(6, 4), (2, 6))
    for comparison in (Comparison(whole, partial), Comparison(partial, whole)):
        assert comparison.to_dict()["status"] == comparison.status == "partial"
        assert "Unknown only in part" in comparison.table().title
    assert Comparison(whole, whole).status == "complete"


def test_weights_in_a_plain_list_are_named():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(8, 4)]

        def forward(self, x):
            return self.layers[0](x)

    ledger = count(Hidden(), (8,))
    assert (ledger.macs, ledger.parameters) == (32, 0)
    assert any("4x8" in note and "plain list" in note for note in ledger.notes)


class Function(nn.Module):
    """A function of the input alone."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def zeros(*shape):
    return torch.zeros(shape, dtype=torch.int64)


WITHOUT_PRODUCTS = {
    "cross entropy": (lambda x: F.cross_entropy(x, zeros(2)), (5,)),
    "cross entropy of pixels": (lambda x: F.cross_entropy(x, zeros(2, 4, 4)), (5, 4, 4)),
    "squares": (lambda x: F.mse_loss(x, 2 * x), (5,)),
    "smooth": (lambda x: F.smooth_l1_loss(x, 2 * x), (5,)),
    "huber": (lambda x: F.huber_loss(x, 2 * x), (5,)),
    "binary": (lambda x: F.binary_cross_entropy(x.sigmoid(), x.sigmoid()), (5,)),
    "logits": (lambda x: F.binary_cross_entropy_with_logits(x, x.sigmoid()), (5,)),
    "soft margin": (lambda x: F.soft_margin_loss(x, x), (5,)),
    "margins": (lambda x: F.multi_margin_loss(x, zeros(2)), (5,)),
    "margins of labels": (lambda x: F.multilabel_margin_loss(x, zeros(2, 5)), (5,)),
    "copied by index": (lambda x: x.index_copy(1, zeros(1), x[:, :1]), (5,)),
    "put": (lambda x: x.put(zeros(1), x[0, :1]), (5,)),
    "renorm": (lambda x: x.renorm(2, 0, 1.0), (5,)),
    "largest norm": (lambda x: F.embedding(zeros(2, 1), x, max_norm=1.0), (5,)),
    "kth value": (lambda x: x.kthvalue(2)[0], (5,)),
    "mode": (lambda x: x.mode(1)[0], (5,)),
    "median": (lambda x: x.nanmedian(), (5,)),
    "gumbel": (F.gumbel_softmax, (5,)),
    "poisson": (lambda x: torch.poisson(x.abs()), (5,)),
    "cross product": (lambda x: torch.linalg.cross(x, 2 * x), (5, 3)),
    "distance": (lambda x: torch.dist(x, 2 * x), (5,)),
    "distances": (F.pdist, (5,)),
    "fractional pooling": (lambda x: F.fractional_max_pool2d(x, 2, output_size=3), (3, 8, 8)),
    "bag without a gradient": (lambda x: F.embedding_bag(zeros(2, 3), x), (5,)),
}


@pytest.mark.parametrize("name", WITHOUT_PRODUCTS)
def test_losses_and_statistics_in_a_forward_are_known_and_have_no_macs(name):
    function, shape = WITHOUT_PRODUCTS[name]
    ledger = count(Function(function), shape, batch_size=2)
    assert (ledger.status, ledger.macs) == ("complete", 0)


def test_a_loss_for_each_element_is_elementwise_work():
    ledger = count(Function(lambda x: F.mse_loss(x, 2 * x, reduction="none")), (5,))
    assert [row.kind for row in ledger.rows] == ["input"]


@pytest.mark.parametrize(
    ("function", "shape", "macs"),
    [
        (lambda x: F.affine_grid(x, (2, 3, 4, 5)), (2, 3), 2 * 4 * 5 * 2 * 3),
        (lambda x: F.affine_grid(x, (2, 3, 4, 5, 6)), (3, 4), 2 * 4 * 5 * 6 * 3 * 4),
        (
            lambda x: torch.conv_tbc(x, torch.zeros(3, 4, 5), torch.zeros(5), 1),
            (6, 4),
            2 * 6 * 5 * 3 * 4,
        ),
    ],
    ids=["grid of pixels", "grid of voxels", "convolution in time"],
)
def test_products_within_one_operation_are_counted(function, shape, macs):
    ledger = count(Function(function), shape, batch_size=2)
    assert (ledger.status, ledger.macs) == ("complete", macs)


def graph(layout=torch.sparse_coo, nodes=50):
    """Neighbours of a ring: two numbers in each row."""
    rows = torch.arange(nodes).repeat(2)
    columns = torch.cat([torch.arange(nodes) + 1, torch.arange(nodes) - 1]) % nodes
    with torch.sparse.check_sparse_tensor_invariants():
        matrix = torch.sparse_coo_tensor(torch.stack([rows, columns]), torch.ones(2 * nodes))
    return matrix.coalesce().to_sparse(layout=layout)


class Graph(nn.Module):
    def __init__(self, mix, layout=torch.sparse_coo):
        super().__init__()
        self.mix, self.layer = mix, nn.Linear(16, 4)
        self.register_buffer("graph", graph(layout))

    def forward(self, x):
        return self.layer(self.mix(self.graph, x))


LAYER = 50 * 16 * 4
SPARSE = {
    "product": (lambda a, x: a @ x, 100 * 16),
    "function": (torch.sparse.mm, 100 * 16),
    "sum and product": (lambda a, x: torch.addmm(x, a, x), 100 * 16),
    "turned": (lambda a, x: a.t() @ x, 100 * 16),
    "on the right": (lambda a, x: (x.t() @ a).t(), 16 * 100),
    "vector": (lambda a, x: x * a.mv(x[:, 0])[:, None], 100),
    "made dense": (lambda a, x: a.to_dense() @ x, 50 * 50 * 16),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr], ids=["coo", "csr"])
@pytest.mark.parametrize("name", SPARSE)
def test_each_number_of_a_sparse_matrix_is_multiplied_once(name, layout):
    mix, macs = SPARSE[name]
    ledger = count(Graph(mix, layout), (16,), batch_size=50)
    assert (ledger.status, ledger.macs) == ("complete", macs + LAYER)
    assert Graph(mix, layout)(torch.ones(50, 16)).shape == ledger.output_shapes[0]


def test_a_sparse_matrix_may_be_built_here_or_be_an_input():
    assert count(lambda: Graph(torch.mm), (16,), batch_size=50).macs == 1600 + LAYER

    class Mixed(nn.Module):
        def forward(self, x, a):
            return a @ x

    assert count(Mixed(), [torch.ones(50, 16), graph()]).macs == 1600


def test_what_else_is_done_with_a_sparse_matrix_is_not_counted():
    ledger = count(Graph(lambda a, x: (2 * a) @ x), (16,), batch_size=50)
    assert ledger.status == "partial"
    assert [row.kind for row in ledger.not_counted] == ["mul"]


def test_a_sparse_matrix_takes_the_memory_of_what_it_keeps():
    memory = training_memory(Graph(torch.mm), (16,), batch_size=50)
    assert memory.buffer_bytes == 100 * (4 + 2 * 8)
    assert memory.forward_macs == 1600 + LAYER
    with pytest.raises(InvalidInput, match="not for sparse matrices"):
        training_memory(Graph(torch.mm), (16,), batch_size=50, dtype=torch.bfloat16)


class Between(nn.Module):
    def __init__(self, change, layer):
        super().__init__()
        self.change, self.layer = change, layer

    def forward(self, x):
        return self.layer(self.change(x))


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Linear(8, 4), "8:float64"),
        (nn.Linear(8, 4), "8:int64"),
        (nn.Linear(8, 4), "8:bool"),
        (nn.Linear(8, 4).half(), "8:float32"),
        (nn.Conv2d(3, 4, 3), "3x8x8:int64"),
        (nn.Conv2d(3, 4, 3), "3x8x8:float16"),
        (nn.LSTM(8, 4, batch_first=True), "5x8:float64"),
        (nn.GRU(8, 4, batch_first=True), "5x8:float64"),
        (nn.LayerNorm(8), "8:float64"),
        (nn.BatchNorm1d(8), "8:float64"),
        (nn.LayerNorm(8), "8:int64"),
        (nn.Softmax(-1), "8:int64"),
        (nn.GELU(), "8:int64"),
        (nn.Bilinear(4, 4, 2), ["4:float64", "4"]),
        (nn.MultiheadAttention(8, 2, batch_first=True), ["5x8", "5x8:float64", "5x8"]),
        (Between(torch.Tensor.double, nn.Linear(8, 4)), (8,)),
        (Between(torch.Tensor.half, nn.Conv1d(2, 2, 3)), (2, 8)),
    ],
    ids=lambda value: str(value).partition("\n")[0],
)
def test_what_torch_refuses_for_its_dtypes_is_refused(model, shape):
    real = [
        torch.zeros(1, *sizes, dtype=kind)
        for sizes, kind in map(sizes_and_dtype, shape if isinstance(shape, list) else [shape])
    ]
    with pytest.raises(Exception):  # noqa: B017  torch has no one error for it
        model.eval()(*real)
    with pytest.raises(InvalidInput, match=r"dtype|float|type"):
        count(model, shape)


def sizes_and_dtype(shape):
    text, _, kind = (
        shape.partition(":") if isinstance(shape, str) else ("x".join(map(str, shape)), "", "")
    )
    return tuple(map(int, text.split("x"))), getattr(torch, kind or "float32")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_norm_of_float32_takes_halves_as_torch_does(dtype):
    norm = nn.LayerNorm(8)
    norm(torch.zeros(2, 8, dtype=torch.bfloat16))
    assert count(norm, f"8:{str(dtype).removeprefix('torch.')}").status == "complete"


LAYERS = {
    "conv": lambda c, n: nn.Conv2d(c, n, 3, padding=1, bias=n % 2 == 0),
    "strided": lambda c, n: nn.Conv2d(c, n, 2, stride=2),
    "depthwise": lambda c, n: nn.Conv2d(c, c, 3, padding=2, dilation=2, groups=c),
    "transposed": lambda c, n: nn.ConvTranspose2d(c, n, 2, stride=2),
    "norm": lambda c, n: nn.BatchNorm2d(c),
    "prelu": lambda c, n: nn.PReLU(),
    "relu in place": lambda c, n: nn.ReLU(inplace=True),
    "pool": lambda c, n: nn.AvgPool2d(2, ceil_mode=True),
    "gate": lambda c, n: Gate(c),
    "attention": lambda c, n: Attention(c),
    "scale": lambda c, n: Scale(),
}


class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.project = nn.Linear(channels, channels)

    def forward(self, x):
        return x * torch.sigmoid(self.project(x.mean((2, 3))))[:, :, None, None]


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.attend = nn.MultiheadAttention(channels, 1, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return (
            self.attend(tokens, tokens, tokens, need_weights=False)[0]
            .transpose(1, 2)
            .unflatten(2, x.shape[2:])
        )


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return x * self.scale


@given(
    kinds=st.lists(
        st.tuples(st.sampled_from(sorted(LAYERS)), st.integers(1, 5)), min_size=1, max_size=6
    ),
    batch=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_random_networks_count_as_torchs_counter_does_on_real_data(kinds, batch):
    channels, layers = 3, []
    for kind, width in kinds:
        layers.append(LAYERS[kind](channels, width))
        if kind in ("conv", "strided", "transposed"):
            channels = width
    model = nn.Sequential(*layers).eval()
    images = torch.zeros(batch, 3, 16, 16)
    with (
        FlopCounterMode(display=False) as counter,
        torch.no_grad(),
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        model(images)
    ledger = count(model, (3, 16, 16), batch_size=batch)
    assert ledger.status == "complete"
    assert ledger.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert ledger.flops == counter.get_total_flops()
