"""What a training step keeps and computes, against what torch keeps (saved tensors) and counts (its flop counter)."""

import json
import threading
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from losslab.accounting import count, training_memory
from losslab.cli import main
from losslab.errors import InvalidInput


class Attention(nn.Module):
    def __init__(self, *, causal=False, masked=False, dropout=0.0):
        super().__init__()
        self.project, self.causal, self.masked, self.dropout = (
            nn.Linear(64, 192),
            causal,
            masked,
            dropout,
        )

    def forward(self, x):
        q, k, v = self.project(x).unflatten(-1, (3, 4, 16)).permute(2, 0, 3, 1, 4)
        mask = (
            torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril() if self.masked else None
        )
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=self.causal, dropout_p=self.dropout
        )


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.recurrent = kind(32, 48, batch_first=True, **options)

    def forward(self, x):
        return self.recurrent(x)[0]


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.middle, self.out = block(3, 8), block(8, 16), block(16, 8)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)

    def forward(self, x):
        left = self.down(x)
        return self.out(torch.cat([self.up(self.middle(F.max_pool2d(left, 2))), left], 1))


def block(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def kept_bytes(model, x):
    """Bytes of the storages that torch keeps for the backward pass, parameters and buffers left out."""
    seen = {}

    def pack(tensor):
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    # Projections have no kernel of oneDNN.
    with (
        hooks,
        warnings.catch_warnings(action="ignore"),
    ):
        output = model.train()(x)
    own = {
        tensor.untyped_storage().data_ptr()
        for tensor in [*model.parameters(), *model.buffers()]
    }
    del output
    return sum(storage.nbytes() for key, storage in seen.items() if key not in own)


MODELS = {
    "attention": (Attention, (64, 64)),
    "long attention": (Attention, (512, 64)),
    "causal attention": (lambda: Attention(causal=True), (64, 64)),
    "masked attention": (lambda: Attention(masked=True), (64, 64)),
    "attention with dropout": (lambda: Attention(dropout=0.1), (64, 64)),
    "lstm": (lambda: Recurrent(nn.LSTM), (40, 32)),
    "long lstm": (lambda: Recurrent(nn.LSTM), (150, 32)),
    "lstm of two layers, both ways": (
        lambda: Recurrent(nn.LSTM, num_layers=2, bidirectional=True),
        (60, 32),
    ),
    "lstm with a projection": (lambda: Recurrent(nn.LSTM, proj_size=8), (20, 32)),
    "lstm without biases": (lambda: Recurrent(nn.LSTM, bias=False), (20, 32)),
    "lstm of doubles": (lambda: Recurrent(nn.LSTM).double(), (20, 32)),
    "gru": (lambda: Recurrent(nn.GRU), (40, 32)),
    "gru both ways": (lambda: Recurrent(nn.GRU, bidirectional=True), (20, 32)),
    "long gru": (lambda: Recurrent(nn.GRU, num_layers=2), (90, 32)),
    "u-net": (UNet, (3, 16, 16)),
    "large u-net": (UNet, (3, 32, 32)),
    "encoder layer": (
        lambda: nn.TransformerEncoderLayer(32, 4, 64, batch_first=True),
        (24, 32),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_is_saved_is_what_torch_keeps_on_a_cpu(name):
    make, shape = MODELS[name]
    model = make()
    saved = training_memory(model, shape, batch_size=3).saved_bytes
    x = torch.randn(3, *shape).to(next(model.parameters()).dtype)
    assert saved == pytest.approx(kept_bytes(model, x), rel=0.01)


class Changed(Attention):
    """Attention whose query, key and value are changed before, which may have a mask."""

    def __init__(self, change, **options):
        super().__init__()
        self.change, self.options = change, options

    def forward(self, x):
        q, k, v = self.project(x).unflatten(-1, (3, 4, 16)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(*self.change(q, k, v), **self.options)


class Unfused(Attention):
    """Attention that its forward keeps from being fused."""

    def forward(self, x):
        with sdpa_kernel(SDPBackend.MATH):
            return super().forward(x)


def columns_first(x):
    return x.mT.contiguous().mT


ATTENTION = {
    "one head of keys": lambda q, k, v: (q, k[:, :1], v[:, :1]),
    "keys of one sample": lambda q, k, v: (q, k[:1], v[:1]),
    "a mask for each head": lambda q, k, v: (q, k, v, torch.zeros(4, 96, 96)),
    "a mask for each sample": lambda q, k, v: (q, k, v, torch.zeros(2, 1, 1, 96)),
    "columns of queries": lambda q, k, v: (columns_first(q), k, v),
    "columns of values": lambda q, k, v: (q, k, columns_first(v)),
    "some queries": lambda q, k, v: (q[:, :, :9], k, v),
}


@pytest.mark.parametrize("name", [*ATTENTION, "not allowed"])
def test_attention_is_fused_where_torch_fuses_it(name):
    model = Changed(ATTENTION[name]) if name in ATTENTION else Unfused()
    saved = training_memory(model, (96, 64), batch_size=2).saved_bytes
    assert saved == kept_bytes(model, torch.randn(2, 96, 64))


@pytest.mark.parametrize("name", ["attention", "u-net", "encoder layer", "gru"])
def test_backward_macs_are_those_of_torchs_counter_on_real_data(name):
    make, shape = MODELS[name]
    model = make().train()
    memory = training_memory(model, shape, batch_size=3)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        loss = model(torch.randn(3, *shape)).sum()
        forward = counter.get_total_flops()
        loss.backward()
    assert 2 * memory.forward_macs == forward
    assert 2 * memory.backward_macs == counter.get_total_flops() - forward
    assert memory.flops == counter.get_total_flops()


def test_frozen_weights_and_inputs_have_no_gradient_products():
    layers = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4))
    assert training_memory(layers, (8,)).backward_macs == 8 * 16 + 2 * 16 * 4
    layers[0].requires_grad_(False)
    memory = training_memory(layers, (8,))
    assert (memory.forward_macs, memory.backward_macs) == (8 * 16 + 16 * 4, 16 * 4)
    assert (memory.trainable_parameters, memory.frozen_parameters) == (16 * 4 + 4, 8 * 16 + 16)


class LowRank(nn.Module):
    """A frozen layer and a trained product of two thin matrices beside it."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(8, 8, bias=False).requires_grad_(False)
        self.down, self.up = nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


def test_low_rank_adapters_train_few_parameters():
    memory = training_memory(nn.Sequential(LowRank(), LowRank()), (8,), optimizer="adam")
    assert (memory.trainable_parameters, memory.frozen_parameters) == (2 * 32, 2 * 64)
    through = (
        64 + 16 + 16
    )  # the second's gradient reaches the first through its base and its adapter
    assert memory.backward_macs == 2 * (16 + 16) + 16 + (through - 16) + 16
    assert memory.optimizer_bytes == 2 * 4 * 64


class Checkpointed(nn.Module):
    def __init__(self, *, recompute):
        super().__init__()
        self.layers, self.recompute = (
            nn.Sequential(nn.Linear(8, 64), nn.GELU(), nn.Linear(64, 8)),
            recompute,
        )

    def forward(self, x):
        return (
            checkpoint(self.layers, x, use_reentrant=False)
            if self.recompute
            else self.layers(x)
        )


def test_checkpointing_keeps_less_and_computes_once_more():
    kept, recomputed = (
        training_memory(Checkpointed(recompute=flag), (8,), batch_size=5)
        for flag in (False, True)
    )
    assert recomputed.saved_bytes < kept.saved_bytes
    assert recomputed.backward_macs > kept.backward_macs
    assert recomputed.forward_macs == kept.forward_macs


def test_fused_attention_that_is_computed_once_more_is_trained():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    recomputed = Checkpointed(recompute=True)
    recomputed.layers = layer
    assert training_memory(recomputed, (5, 8)).saved_bytes == 4 * 5 * 8


def test_a_recurrent_layer_that_is_computed_once_more_is_one_line():
    recomputed = Checkpointed(recompute=True)
    recomputed.layers = Recurrent(nn.LSTM)
    with pytest.raises(InvalidInput, match="leave out checkpointing") as caught:
        training_memory(recomputed, (5, 32))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", ["8:float64", "8:int64"])
def test_what_torch_refuses_for_its_dtypes_is_not_trained(shape):
    with pytest.raises(InvalidInput, match="torch wants one dtype"):
        training_memory(nn.Linear(8, 4), shape)


def test_memory_is_in_the_models_own_dtype():
    memory = training_memory(nn.Linear(8, 4).bfloat16(), (8,))
    assert (memory.dtype, memory.parameter_bytes) == ("bfloat16", 2 * 36)


def perceptron():
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))


def encoder():
    return nn.TransformerEncoderLayer(64, 4, 64, batch_first=True, dropout=0.0)


def recurrent():
    return Recurrent(nn.LSTM)


@pytest.mark.parametrize("make", [perceptron, UNet, encoder, recurrent])
def test_mixed_precision_keeps_what_torchs_autocast_keeps(make):
    model = make()
    shapes = {perceptron: (64,), UNet: (3, 16, 16), encoder: (20, 64), recurrent: (20, 32)}
    shape = shapes[make]
    x = torch.randn(3, *shape)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            kept = kept_bytes(model, x)
    except RuntimeError as error:
        # Without AVX-512 torch has no LSTM in bf16.
        if "primitive descriptor" not in str(error):
            raise
        pytest.skip("torch cannot run this here")
    memory = training_memory(model, shape, batch_size=3, precision="bf16")
    assert memory.saved_bytes == pytest.approx(kept, rel=0.05)
    assert memory.parameter_bytes == training_memory(model, shape, batch_size=3).parameter_bytes


class First(nn.Module):
    """The first output of a recurrent layer, or of one step of it."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        result = self.layer(x)
        return result[0] if isinstance(result, tuple) else result


class Halves(First):
    """Takes care of its precision."""

    @torch.autocast("cpu", torch.bfloat16)
    def forward(self, x):
        return super().forward(x)


STEPS = {
    "lstm cell": (lambda: nn.LSTMCell(32, 16), (32,)),
    "gru cell": (lambda: nn.GRUCell(32, 16, bias=False), (32,)),
    "rnn cell": (lambda: nn.RNNCell(32, 16, nonlinearity="relu"), (32,)),
    "gru": (lambda: nn.GRU(32, 48, batch_first=True), (20, 32)),
    "gru both ways": (
        lambda: nn.GRU(32, 48, 2, batch_first=True, bidirectional=True),
        (20, 32),
    ),
    "rnn": (lambda: nn.RNN(32, 48, batch_first=True), (20, 32)),
}


@pytest.mark.parametrize("name", STEPS)
def test_recurrent_steps_keep_what_torch_keeps_in_either_precision(name):
    make, shape = STEPS[name]
    x, layer = torch.randn(8, *shape), make()

    def saved(model, precision="fp32"):
        memory = training_memory(model, shape, batch_size=8, precision=precision)
        return memory.saved_bytes

    assert saved(First(layer)) == kept_bytes(First(layer), x)
    assert saved(Halves(layer)) == saved(First(layer), "bf16") == kept_bytes(Halves(layer), x)


def test_dropout_keeps_a_byte_an_element_on_cuda_and_a_float_on_a_cpu():
    class Functions(nn.Linear):
        def forward(self, x):
            return F.dropout(torch.dropout(super().forward(x), 0.5, True), 0.5, self.training)

    layers = nn.Sequential(nn.Linear(64, 64), nn.Dropout(0.5), nn.Linear(64, 64))
    inputs, mask = 2 * 4 * 32 * 64, 32 * 64
    for device, each in (("cpu", 4), ("cuda", 1)):
        memory = training_memory(layers, (64,), batch_size=32, device=device)
        assert memory.saved_bytes == inputs + each * mask
        memory = training_memory(Functions(64, 64), (64,), batch_size=32, device=device)
        assert memory.saved_bytes == inputs // 2 + 2 * each * mask


GROUPS = {
    "a key and a value": lambda q, k, v: (q, k[:, :2], v[:, :2]),
    "fewer values": lambda q, k, v: (q, k[:, :2], v[:, :1]),
    "fewer keys": lambda q, k, v: (q, k[:, :1], v),
}


@pytest.mark.parametrize("name", GROUPS)
def test_attention_of_groups_is_fused_where_each_key_has_its_value(name):
    model = Changed(GROUPS[name], enable_gqa=True)
    saved = training_memory(model, (96, 64), batch_size=2).saved_bytes
    assert saved == kept_bytes(model, torch.randn(2, 96, 64))


class Cast(nn.Module):
    """Two layers, run by a function that may take care of precision itself."""

    def __init__(self, run):
        super().__init__()
        self.first, self.second, self.run = nn.Linear(64, 64), nn.Linear(64, 64), run

    def layers(self, x):
        return self.second(self.first(x).relu())

    def forward(self, x):
        return self.run(self, x)


def by_halves(self, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return self.layers(x)


def from_halves(self, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return self.layers(x.bfloat16())


def of_its_input(self, x):
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        return self.layers(x)


def in_part(self, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        halves = self.first(x).relu()
        with torch.autocast("cpu", enabled=False):
            return self.second(halves.float())


def checkpointed(self, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return checkpoint(self.layers, self.first(x), use_reentrant=False)


FORWARDS = [
    by_halves,
    from_halves,
    of_its_input,
    in_part,
    checkpointed,
    torch.autocast("cpu", dtype=torch.bfloat16)(Cast.layers),
]


@pytest.mark.parametrize("run", FORWARDS, ids=lambda run: run.__name__)
def test_autocast_within_a_forward_keeps_what_it_keeps_in_torch(run):
    model = Cast(run)
    memory = training_memory(model, (64,), batch_size=128)
    assert memory.saved_bytes == kept_bytes(model, torch.randn(128, 64))
    assert count(model, (64,)).macs == memory.forward_macs / 128


@pytest.mark.parametrize(("use_reentrant", "peak"), [(False, 231176), (True, 263944)])
@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.half)]
)
def test_what_checkpointing_computes_once_more_has_the_steps_precision(
    precision, dtype, use_reentrant, peak
):
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 64)
            self.middle = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))

        def forward(self, x):
            return self.last(
                checkpoint(self.middle, self.first(x), use_reentrant=use_reentrant)
            )

    model = Checkpointed()
    with torch.autocast("cpu", dtype):
        kept = kept_bytes(model, torch.randn(128, 64))
    for device in ("cpu", "cuda"):
        memory = training_memory(
            model, (64,), batch_size=128, precision=precision, device=device
        )
        assert (memory.saved_bytes, memory.peak_bytes) == (kept, peak)


def in_a_thread(run):
    """Run, and return what it raised."""
    raised = []

    def kept():
        try:
            run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=kept)
    thread.start()
    return thread, raised


def test_autocast_of_other_threads_is_torchs_while_a_model_runs():
    seen = []

    def other():
        halves = torch.autocast("cuda", dtype=torch.bfloat16)
        with halves:
            seen.append((halves.device, F.linear(torch.ones(2, 3), torch.ones(4, 3)).dtype))

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            thread, raised = in_a_thread(other)
            thread.join()
            assert not raised
            return self.layers(x)

    count(Cast(forward), (64,))
    assert seen == [("cuda", torch.float32)]


def test_counts_that_overlap_in_threads_leave_torch_as_it_was():
    methods, linear, dropout = vars(torch.autocast).copy(), F.linear, F.dropout
    begun, second, first_ended = (threading.Event() for _ in range(3))

    def first(self, x):
        begun.set()
        second.wait(0.5)
        return by_halves(self, x)

    def last(self, x):
        second.set()
        first_ended.wait(10)
        return by_halves(self, x)

    def run_last():
        begun.wait(10)
        training_memory(Cast(last), (64,), precision="bf16")

    thread, raised = in_a_thread(run_last)
    training_memory(Cast(first), (64,), precision="bf16")
    first_ended.set()
    thread.join()
    assert not raised
    assert (vars(torch.autocast), F.linear, F.dropout) == (methods, linear, dropout)


@pytest.mark.parametrize("fails", [True, False])
def test_autocast_that_a_forward_leaves_open_ends_with_its_run(fails):
    linear = F.linear

    def forward(self, x):
        torch.autocast("cpu", dtype=torch.bfloat16).__enter__()
        if fails:
            raise RuntimeError("amid it")
        return self.layers(x)

    for run in (count, training_memory):
        try:
            run(Cast(forward), (64,))
        except InvalidInput:
            assert fails
        assert F.linear is linear
        assert not torch.is_autocast_enabled("cpu")
        with pytest.raises(InvalidInput, match="torch wants one dtype"):
            count(Cast(Cast.layers), "64:bfloat16")


def test_autocast_of_a_models_own_ends_with_its_run():
    methods = vars(torch.autocast).copy()
    count(Cast(by_halves), (64,))
    assert vars(torch.autocast) == methods
    with pytest.raises(InvalidInput, match="torch wants one dtype"):
        count(Cast(Cast.layers), "64:bfloat16")


def test_fused_attention_of_cuda_keeps_no_matrix_of_scores():
    lengths = [
        training_memory(Attention(), (length, 64), device="cuda").saved_bytes
        for length in (256, 512, 1024)
    ]
    assert lengths[2] - lengths[1] == pytest.approx(2 * (lengths[1] - lengths[0]), rel=0.02)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.LazyLinear(8), nn.LazyLinear(4)), (16,)),
        (nn.Sequential(nn.Embedding(100, 16), nn.Linear(16, 4)), (7,)),
        (nn.Sequential(nn.Embedding(100, 16, sparse=True), nn.Linear(16, 4)), "7:int64"),
        (
            nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1),
            {"src": (5, 8), "src_key_padding_mask": "5:bool"},
        ),
    ],
    ids=["lazy", "embedding without a dtype", "sparse embedding", "padding mask"],
)
def test_what_can_be_counted_can_be_trained(model, shape):
    assert training_memory(model, shape, batch_size=2).saved_bytes > 0


def test_a_sparse_gradient_counts_as_a_dense_one():
    memory = training_memory(nn.Embedding(1000, 16, sparse=True), "7:int64", batch_size=2)
    assert memory.gradient_bytes == memory.parameter_bytes


@pytest.mark.parametrize(
    ("options", "says"),
    [({"precision": "int8"}, "`precision`"), ({"device": "tpu"}, "`device`")],
)
def test_an_unknown_precision_or_device_is_one_line(options, says):
    with pytest.raises(InvalidInput, match=says):
        training_memory("mlp", **options)


def test_the_command_line_gives_macs_parameters_and_sizes_with_units(capsys):
    arguments = ["count", "mlp", "--training", "--precision", "bf16", "--device", "cuda"]
    with pytest.raises(SystemExit):
        main([*arguments, "--json"])
    memory = json.loads(capsys.readouterr().out)["memory"]
    assert (memory["precision"], memory["device"]) == ("bf16", "cuda")
    assert memory["flops"] == 2 * (memory["forward_macs"] + memory["backward_macs"])
    with pytest.raises(SystemExit):
        main(arguments)
    printed = capsys.readouterr().out
    assert "16.3\N{NO-BREAK SPACE}MB" in printed
    assert "backward MACs" in printed


@pytest.mark.parametrize("optimizer", ["torch.optim/RAdam(lr=3)", "torch.optim/RAdam(lr=-3)"])
def test_an_optimizer_of_torch_is_told_what_is_wrong_with_its_options(optimizer):
    with pytest.raises(InvalidInput, match="lr") as caught:
        training_memory("lenet5", optimizer=optimizer)
    assert "unknown optimizer" not in str(caught.value)


def test_a_step_needs_an_input():
    with pytest.raises(InvalidInput, match=r"`input` \(=none\)"):
        training_memory("lenet5", "none")


def test_masked_attention_in_half_precision_runs_as_in_torch():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x, attn_mask=torch.zeros(5, 5))[0]

    half = training_memory(Masked(), (5, 16), batch_size=2, precision="bf16")
    assert half.peak_bytes < training_memory(Masked(), (5, 16), batch_size=2).peak_bytes
    assert torch.baddbmm(torch.zeros(1, 2, 2), *torch.ones(2, 1, 2, 2)).dtype is torch.float32
