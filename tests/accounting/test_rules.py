"""Operations that torch's counter has no rule for, each against a loop; models that look at their masks."""

from itertools import product

import pytest
import torch
from torch import nn

from losslab.accounting import count, rule
from losslab.accounting.formulas import times
from losslab.accounting.propagate import pointwise
from losslab.accounting.rules import MODULES, RULES
from losslab.errors import InvalidInput


class Calls(nn.Module):
    """A network from a function of its inputs."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def loop(*sizes):
    return sum(1 for _ in product(*map(range, sizes)))


def grouped_rows(rows_by_group, inner, columns):
    return sum(loop(rows, inner, columns) for rows in rows_by_group)


OFFSETS = torch.tensor([3, 5, 9], dtype=torch.int32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_grouped_product_multiplies_every_row_once(dtype):
    kind = str(dtype).removeprefix("torch.")
    weights = torch.zeros(3, 16, 8, dtype=dtype)
    model = Calls(lambda x: torch._grouped_mm(x[0], weights, offs=OFFSETS))
    ledger = count(model, f"9x16:{kind}")
    assert (ledger.status, ledger.macs) == ("complete", grouped_rows((3, 2, 4), 16, 8))


def test_grouped_products_of_other_shapes():
    left, right, stack = torch.zeros(4, 9), torch.zeros(9, 8), torch.zeros(3, 4, 16)
    between = Calls(lambda x: torch._grouped_mm(left * x, right, offs=OFFSETS))
    assert count(between, ()).macs == sum(loop(4, inner, 8) for inner in (3, 2, 4))
    assert count(between, ()).output_shapes == ((3, 4, 8),)
    batched = Calls(lambda x: torch._grouped_mm(stack * x, torch.zeros(3, 16, 8)))
    assert count(batched, ()).macs == loop(3, 4, 16, 8)
    columns = Calls(lambda x: torch._grouped_mm(stack * x, torch.zeros(16, 9), offs=OFFSETS))
    assert count(columns, ()).macs == sum(loop(4, 16, columns) for columns in (3, 2, 4))


def test_a_product_of_integers():
    weights = torch.zeros(16, 8, dtype=torch.int8)
    assert count(Calls(lambda x: torch._int_mm(x[0], weights)), "32x16:int8").macs == loop(
        32, 16, 8
    )


def test_a_product_of_eight_bit_floats():
    weights, scale = torch.zeros(16, 16).to(torch.float8_e4m3fn).t(), torch.ones(())
    model = Calls(
        lambda x: torch._scaled_mm(x[0], weights, scale, scale, out_dtype=torch.bfloat16)
    )
    ledger = count(model, "32x16:float8_e4m3fn")
    assert (ledger.status, ledger.macs) == ("complete", loop(32, 16, 16))


def butterflies(size):
    """Elements that a radix-2 transform combines, stage after stage."""
    return 0 if size == 1 else 2 * butterflies(size // 2) + size


@pytest.mark.parametrize(
    "transform", [torch.fft.fft, torch.fft.rfft, torch.fft.ifft], ids=lambda f: f.__name__
)
def test_a_fourier_transform_is_no_product_and_combines_its_elements_log_n_times(transform):
    ledger = count(Calls(transform), (64,))
    rows = [row for row in ledger.rows if row.kind == "fft"]
    assert (ledger.status, ledger.macs, [int(row.operations) for row in rows]) == (
        "complete",
        0,
        [butterflies(64)],
    )


def test_flex_attention_is_its_two_products():
    from torch.nn.attention.flex_attention import flex_attention

    ledger = count(Calls(lambda x: flex_attention(x, x, x)), (2, 5, 4))
    assert (ledger.status, ledger.macs) == ("complete", 2 * loop(2, 5, 5, 4))


def test_operations_of_torchvision():
    ops = pytest.importorskip("torchvision.ops")
    weight = torch.zeros(4, 3, 3, 3)
    model = Calls(lambda x, offset: ops.deform_conv2d(x, offset, weight, padding=1))
    assert count(model, [(3, 8, 8), (18, 8, 8)]).macs == loop(4, 8, 8, 3, 3, 3)
    boxes = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])
    pooled = count(
        Calls(lambda x: ops.roi_align(x, boxes, (2, 2), sampling_ratio=2)), (3, 8, 8)
    )
    assert (pooled.status, pooled.macs, int(pooled.rows[-1].operations)) == (
        "complete",
        0,
        loop(3, 2, 2, 2, 2),
    )


ENCODER = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
ENCODER_MACS = 2 * (5 * 3 * 64 + 2 * 5 * 5 * 8 + 5 * 64 + 2 * 5 * 8 * 16)


class Causal(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = ENCODER

    def forward(self, x):
        return self.encoder(x, mask=nn.Transformer.generate_square_subsequent_mask(5))


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (ENCODER, (5, 8)),
        (ENCODER, {"src": (5, 8), "src_key_padding_mask": "5:bool"}),
        (
            ENCODER,
            {
                "src": (5, 8),
                "src_key_padding_mask": torch.tensor([[False, False, False, True, True]]),
            },
        ),
        (Causal(), (5, 8)),
    ],
    ids=["no mask", "padding", "padding given", "causal"],
)
def test_a_transformer_encoder_counts_whatever_its_mask(model, inputs):
    assert count(model, inputs).macs == ENCODER_MACS
    assert torch.backends.mha.get_fastpath_enabled()


class Padded(nn.Module):
    """Takes another path where tokens are masked, as text models do."""

    def __init__(self):
        super().__init__()
        self.embed, self.all, self.some = nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 8)

    def forward(self, ids, attention_mask):
        x = self.embed(ids)
        if attention_mask.all() and int(ids.max()) + 1 == ids.shape[1]:
            return self.all(x)
        return self.some(x[attention_mask.bool()])


def test_masks_of_ones_and_counted_ids_answer_and_the_ledger_says_so():
    ledger = count(Padded(), {"ids": "7:int64", "attention_mask": "7:int64"})
    assert ledger.macs == 7 * 4 * 4
    assert ledger.notes == ("with ids 0, 1, 2 ...", "with attention_mask all 1")
    given = {"ids": "7:int64", "attention_mask": torch.tensor([[1, 1, 1, 1, 0, 0, 0]])}
    assert count(Padded(), given).macs == 4 * 4 * 8


class Routed(nn.Module):
    """A mixture of experts that asks which tokens each expert has."""

    def __init__(self):
        super().__init__()
        self.router, self.experts = (
            nn.Linear(4, 3),
            nn.ModuleList(nn.Linear(4, 4) for _ in range(3)),
        )

    def forward(self, x):
        x = x.flatten(0, 1)
        weights, chosen = self.router(x).softmax(-1).topk(2, dim=-1)
        result = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            rows, slots = torch.where(chosen == index)
            if rows.numel():
                result.index_add_(0, rows, expert(x[rows]) * weights[rows, slots, None])
        return result


def test_each_token_is_sent_to_as_many_experts_as_it_has():
    ledger = count(Routed(), (6, 4), batch_size=2)
    assert (ledger.status, ledger.macs) == ("complete", 12 * 4 * 3 + 12 * 2 * 4 * 4)
    assert any("topk" in note for note in ledger.notes)


class Branches(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


def test_control_flow_that_needs_data_names_the_line_that_reads_it():
    with pytest.raises(
        InvalidInput, match=r"test_rules\.py:\d+ \(forward\) reads the values .* leave out"
    ):
        count(Branches(), (3,))


class Scan(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight, self.inner = nn.Parameter(torch.zeros(width)), nn.Linear(width, width)

    def forward(self, x):
        return self.inner(x.cumsum(1)) * self.weight


@pytest.fixture
def known():
    """The table of rules, put back afterwards."""
    rules, modules = dict(RULES), dict(MODULES)
    yield
    for table, before in ((RULES, rules), (MODULES, modules)):
        table.clear()
        table.update(before)


@pytest.mark.usefixtures("known")
def test_a_module_with_a_rule_is_one_row_with_its_own_work_and_all_its_parameters():
    @rule(Scan)
    def scan(module, inputs, output):
        return times(3, *inputs[0].shape)

    ledger = count(nn.Sequential(nn.Linear(4, 4), Scan(4), Scan(4)), (5, 4), batch_size=2)
    assert [row.name for row in ledger.rows] == ["input", "0", "1", "2"]
    assert ledger.rows[2].work["macs"] == "3*2*5*4 = 120"
    assert ledger.macs == 2 * 5 * 4 * 4 + 2 * 120
    assert ledger.parameters == 20 + 2 * (4 + 20)


@pytest.mark.usefixtures("known")
def test_an_operator_with_a_rule_is_counted():
    @torch.library.custom_op("losslab_tests::thrice", mutates_args=())
    def thrice(x: torch.Tensor) -> torch.Tensor:
        return x * 3

    thrice.register_fake(torch.empty_like)
    model = Calls(lambda x: torch.ops.losslab_tests.thrice(x))
    assert count(model, (2, 7)).status == "partial"

    @rule(torch.ops.losslab_tests.thrice, field=pointwise)
    def macs(call):
        return 2 * call.tensors[0].numel()

    ledger = count(model, (2, 7))
    assert (ledger.status, ledger.macs) == ("complete", 28)
    assert [seen.size for _, seen in ledger.output_fields[0]] == [1]


def test_a_rule_is_for_an_operator_or_a_module():
    with pytest.raises(TypeError, match="must be an operator"):
        rule(3)(lambda call: 0)
