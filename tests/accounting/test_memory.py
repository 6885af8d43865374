"""The memory of a training step, predicted without weights and measured by torch's allocator."""

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from losslab.accounting import training_memory
from losslab.accounting.optimizers import ALIASES, build_optimizer
from losslab.choice import Choice
from losslab.errors import InvalidInput
from losslab.models import build_model
from losslab.optimizers import OPTIMIZERS
from losslab.spec import ALSO_COUNTED, Count


def size(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def measured_peak(name, shape, batch_size, optimizer):
    """Bytes of what is there before a step, and the most that the allocator hands out during it."""
    torch.manual_seed(0)
    model = build_model(Choice(name=name)).train()
    images, labels = torch.randn(batch_size, *shape), torch.randint(0, 10, (batch_size,))
    rule = build_optimizer(optimizer, model.parameters())

    def step():
        nn.functional.cross_entropy(model(images), labels).backward()
        rule.step()
        rule.zero_grad()

    step()
    state = [
        value
        for values in rule.state.values()
        for value in values.values()
        if isinstance(value, torch.Tensor)
    ]
    there = size([*model.parameters(), *model.buffers(), images, *state])
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    return there + peak_of(profiler)


@pytest.mark.parametrize(
    ("name", "shape", "batch_size", "optimizer"),
    [
        ("mlp", (3, 32, 32), 128, "sgd"),
        ("mlp", (3, 32, 32), 128, "adam"),
        ("mlp", (3, 32, 32), 128, "adadelta"),
        ("lenet5", (1, 28, 28), 64, "adam"),
        ("minigooglenet", (1, 32, 32), 8, "sgd-momentum"),
        ("resnet-44", (3, 32, 32), 4, "sgd-momentum"),
    ],
)
def test_the_predicted_peak_is_within_a_tenth_of_the_measured(
    name, shape, batch_size, optimizer
):
    predicted = training_memory(
        name, shape, batch_size=batch_size, optimizer=optimizer
    ).peak_bytes
    assert predicted == pytest.approx(
        measured_peak(name, shape, batch_size, optimizer), rel=0.1
    )


class Outputs(nn.Module):
    """A recurrent layer without its last states."""

    def __init__(self, kind, *sizes, **options):
        super().__init__()
        self.layer = kind(*sizes, batch_first=True, **options)

    def forward(self, x):
        return self.layer(x)[0]


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), (64, 64)),
        (nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True), (256, 64)),
    ],
    ids=["encoder layer", "encoder layer with fused attention"],
)
def test_the_peak_with_fused_kernels_is_within_a_tenth_of_the_measured(model, shape):
    predicted = training_memory(model, shape, batch_size=4).peak_bytes
    assert predicted == pytest.approx(
        measured_step(model.train(), torch.randn(4, *shape)), rel=0.1
    )


class Masked(nn.Linear):
    """Multiplies by a large constant that its forward makes."""

    def forward(self, x):
        return super().forward(x) * torch.ones(1024, 1024)


def test_the_peak_has_the_constants_that_a_forward_makes():
    predicted = training_memory(Masked(8, 1024), (8,), batch_size=1024).peak_bytes
    measured = measured_step(Masked(8, 1024), torch.randn(1024, 8))
    assert predicted == pytest.approx(measured, rel=0.01)


RECURRENT = {
    "lstm": (nn.LSTM, (32, 48), {}, 60),
    "lstm with odd widths": (nn.LSTM, (33, 65), {}, 40),
    "lstm of large weights": (nn.LSTM, (256, 512), {"num_layers": 2}, 5),
    "lstm both ways": (nn.LSTM, (64, 128), {"num_layers": 2, "bidirectional": True}, 20),
    "lstm without biases": (nn.LSTM, (64, 128), {"bias": False}, 20),
    "lstm with a projection": (nn.LSTM, (64, 128), {"proj_size": 32}, 20),
    "gru": (nn.GRU, (32, 64), {}, 100),
    "gru of large weights": (nn.GRU, (300, 300), {"num_layers": 2}, 8),
    "gru both ways": (nn.GRU, (32, 48), {"bidirectional": True, "bias": False}, 12),
    "rnn": (nn.RNN, (64, 128), {"nonlinearity": "relu"}, 20),
}
"""Name -> kind, widths, options, steps."""


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("name", RECURRENT)
def test_the_peak_of_recurrent_layers_is_within_three_percent_of_the_measured(name):
    kind, widths, options, steps = RECURRENT[name]
    model, x = Outputs(kind, *widths, **options), torch.randn(4, steps, widths[0])
    predicted = training_memory(model, tuple(x.shape[1:]), batch_size=4).peak_bytes
    assert predicted == pytest.approx(measured_step(model.train(), x), rel=0.03)


class Repeated(nn.Linear):
    """One layer, run several times: gradients of its weights are added up."""

    times = 1

    def forward(self, x):
        for _ in range(self.times):
            x = super().forward(x)
        return x


@pytest.mark.parametrize("times", [1, 2, 3, 5])
def test_the_peak_has_the_sum_of_a_weights_gradients_as_torch_adds_them(times):
    model = Repeated(200, 200)
    model.times = times
    predicted = training_memory(model, (200,), batch_size=2).peak_bytes
    assert predicted == pytest.approx(measured_step(model, torch.randn(2, 200)), rel=0.02)


def measured_step(model, x):
    """Bytes of what is there before a step of SGD, and the most that the allocator hands out during it."""
    rule = build_optimizer("sgd", model.parameters())

    def step():
        model(x).sum().backward()
        rule.step()
        rule.zero_grad()

    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    return size([*model.parameters(), x]) + peak_of(profiler)


def peak_of(profiler):
    alive = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            peak = max(peak, alive)
    return peak


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, *ALIASES, "sgd(momentum=0.9)"])
def test_optimizer_state_is_what_torch_allocates(optimizer):
    model = nn.Linear(7, 5)
    rule = build_optimizer(optimizer, model.parameters())
    model(torch.ones(1, 7)).sum().backward()
    rule.step()
    kept = [
        t
        for state in rule.state.values()
        for t in state.values()
        if isinstance(t, torch.Tensor) and t.dim()
    ]
    assert training_memory(model, (7,), optimizer=optimizer).optimizer_bytes == size(kept)


def test_saved_activations_are_those_of_the_backward_pass_by_hand():
    memory = training_memory(
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), (3,), batch_size=5
    )
    assert memory.saved_bytes == 4 * (5 * 3 + 5 * 4)
    assert memory.parameter_bytes == memory.gradient_bytes == 4 * (3 * 4 + 4 + 4 * 2 + 2)


def test_half_precision_halves_the_bytes():
    whole, half = (
        training_memory("mlp", batch_size=8, dtype=dtype)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert half.parameter_bytes * 2 == whole.parameter_bytes
    assert half.saved_bytes * 2 == whole.saved_bytes


def test_the_model_keeps_its_weights_and_has_no_gradients():
    model = nn.Linear(3, 2).eval()
    before = model.weight.clone()
    training_memory(model, (3,), optimizer="adam")
    assert torch.equal(model.weight, before)
    assert model.weight.grad is None
    assert not model.training


def test_a_frozen_model_cannot_be_trained():
    with pytest.raises(InvalidInput, match="nothing to train"):
        training_memory(nn.Linear(3, 2).requires_grad_(False), (3,))


def test_short_names_are_those_that_a_study_takes():
    assert {*ALIASES} == {*ALSO_COUNTED}
    for name in ALIASES:
        assert Count(model="mlp", optimizer=name).optimizer == name


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        ("adm", "did you mean 'adam'"),
        ("sgd(momentun=0.9)", "momentun"),
        ("sgd(momentum=2)", "less than 1"),
    ],
)
def test_an_optimizer_that_is_none_is_refused_by_name_and_by_study(optimizer, says):
    with pytest.raises(InvalidInput, match=says):
        training_memory("mlp", optimizer=optimizer)
    with pytest.raises(ValueError, match=says):
        Count(model="mlp", optimizer=optimizer)


def test_momentum_is_a_hyperparameter_as_everywhere():
    named, short = (
        training_memory("mlp", optimizer=text) for text in ("sgd(momentum=0.9)", "sgd-momentum")
    )
    assert named.optimizer_bytes == short.optimizer_bytes == named.parameter_bytes
    assert (
        training_memory("mlp", optimizer="nadam").optimizer_bytes == 2 * named.parameter_bytes
    )


class Discards(nn.Module):
    """Three small branches that nothing uses, and a large one."""

    def __init__(self) -> None:
        super().__init__()
        self.small, self.big = nn.Linear(4, 4), nn.Linear(4096, 4096)

    def forward(self, x):
        for _ in range(3):
            self.small(x[:, :4]).relu().sigmoid().tanh()
        return self.big(x).relu().sigmoid()


def test_a_storage_at_the_address_of_one_that_is_gone_counts():
    model, inputs = Discards(), torch.zeros(8, 4096)
    known = {tensor.data_ptr() for tensor in model.parameters()}
    kept = []

    def pack(tensor):
        if tensor.data_ptr() not in known | {other.data_ptr() for other in kept}:
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(inputs).sum()
    expected = sum(tensor.untyped_storage().nbytes() for tensor in kept)
    assert training_memory(model, (4096,), batch_size=8).saved_bytes == expected


class Einsum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, 64))

    def forward(self, x):
        return torch.einsum("btc,cd->btd", x, self.weight).relu()


@pytest.mark.parametrize(
    ("model", "shape", "saved"),
    [
        (Einsum(), (16, 64), 32_768),
        (nn.Sequential(nn.Conv1d(4, 8, 3), nn.PReLU()), (4, 30), 5_698),
    ],
    ids=["einsum", "prelu"],
)
def test_bf16_keeps_what_autocast_makes_of_these(model, shape, saved):
    assert training_memory(model, shape, batch_size=8, precision="bf16").saved_bytes == saved


def test_an_optimizer_of_matrices_is_counted_and_one_that_reads_values_is_refused():
    layer = nn.Linear(8, 4, bias=False)
    assert training_memory(layer, (8,), optimizer="torch.optim:Muon").optimizer_bytes == 128
    for name in ("Adafactor", "ASGD"):
        with pytest.raises(InvalidInput, match="its step reads values"):
            training_memory(layer, (8,), optimizer=f"torch.optim:{name}")


def test_an_example_tensor_takes_the_dtype_of_the_model():
    counted = training_memory(nn.Linear(8, 4), torch.zeros(2, 8), dtype=torch.bfloat16)
    assert counted.dtype == "bfloat16"
