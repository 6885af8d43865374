"""What a model can be fed: shapes, one number a sample, example tensors, nested inputs, other values, nothing."""

import json
import warnings
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from losslab.accounting import count, training_memory
from losslab.cli import main
from losslab.errors import InvalidInput


class Timestep(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.embed = nn.Conv2d(3, 4, 3, padding=1), nn.Embedding(1000, 4)

    def forward(self, x, t):
        return self.conv(x) + self.embed(t)[:, :, None, None]


@pytest.mark.parametrize(
    "t", [(), "", "()", "int64", ":int64", "():int64", torch.int64, torch.tensor([3])]
)
def test_one_number_a_sample(t):
    assert count(Timestep(), {"x": (3, 8, 8), "t": t}).macs == 4 * 27 * 8 * 8


@pytest.mark.parametrize(
    "shape",
    [
        (8,),
        8,
        "8",
        [np.int64(8)],
        np.array([8]),
        torch.Size([8]),
        torch.zeros(1, 8),
        (torch.zeros(1, 8),),
        [torch.zeros(1, 8)],
        {"input": torch.zeros(1, 8)},
        np.zeros((1, 8), dtype=np.float32),
        torch.zeros(8),
    ],
    ids=repr,
)
def test_a_linear_layer_counts_whatever_form_its_input_has(shape):
    assert count(nn.Linear(8, 4), shape).macs == 32


def test_an_example_tensor_brings_its_batch():
    ledger = count("lenet5", torch.zeros(3, 1, 28, 28))
    assert (ledger.batch_size, ledger.macs) == (3, 3 * count("lenet5").macs)
    with pytest.raises(
        InvalidInput, match=r"`batch_size` \(=2\) is not that of the example tensor \(=3\)"
    ):
        count("lenet5", torch.zeros(3, 1, 28, 28), batch_size=2)


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, features, *, twice=True, scale=1.0, mode="sum", extra=None):
        assert isinstance(twice, bool)
        assert isinstance(scale, float)
        assert mode in ("sum", "mean")
        assert extra is None
        y = self.layer(features["x"]) + self.layer(features["rest"][0])
        return scale * self.layer(features["rest"][1]) + y if twice else y


@pytest.mark.parametrize("part", [(8,), torch.zeros(1, 8)], ids=["shapes", "tensors"])
def test_inputs_nest_and_other_values_pass_through(part):
    features = {"x": part, "rest": [part, part]}
    assert count(Nested(), [features]).macs == 3 * 32
    values = {
        "features": features,
        "twice": False,
        "scale": 0.5,
        "extra": None,
        "mode": "'mean'",
    }
    assert count(Nested(), values).macs == 2 * 32


class Packed(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.recurrent, self.head = kind(8, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x, lengths=(5, 3)):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.head(pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)[0])


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_packed_sequences_cost_their_lengths(kind, gates):
    recurrent = (5 + 3) * gates * 4 * (8 + 4)
    inside = count(Packed(kind), (5, 8), batch_size=2)
    by_lengths = count(Packed(kind), [torch.zeros(2, 5, 8), torch.tensor([3, 5])])
    given = count(kind(8, 4), pack_padded_sequence(torch.zeros(5, 2, 8), torch.tensor([5, 3])))
    for ledger, macs in (
        (inside, recurrent + 2 * 5 * 4 * 2),
        (by_lengths, recurrent + 2 * 5 * 4 * 2),
        (given, recurrent),
    ):
        assert (ledger.status, ledger.macs) == ("complete", macs)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: torch.distributions.Normal(x, x.exp()),
        lambda x: torch.distributions.Categorical(logits=x),
        lambda x: torch.distributions.Independent(torch.distributions.Normal(x, x.exp()), 1),
    ],
    ids=["normal", "categorical", "independent"],
)
def test_a_model_may_return_a_distribution(make):
    class Policy(nn.Linear):
        def forward(self, x):
            return make(super().forward(x))

    ledger = count(Policy(8, 4), (8,))
    assert ledger.macs == 32
    assert (1, 4) in ledger.output_shapes


class Pair(NamedTuple):
    x: object
    y: object


class Between(nn.Module):
    """Attributes of a named tuple."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, pair):
        return self.layer(pair.x) + self.layer(pair.y)


@pytest.mark.parametrize("part", [(8,), torch.zeros(1, 8)], ids=["shapes", "tensors"])
def test_a_named_tuple_stays_one(part):
    assert count(Between(), [Pair(part, part)]).macs == 2 * 32


class Keyed(nn.Module):
    """What it reads has whole numbers as keys, what it returns is nested."""

    def __init__(self):
        super().__init__()
        self.layer, self.parts = nn.Linear(1, 3), nn.ModuleDict({"conv": nn.Linear(1, 5)})

    def forward(self, x, scale=1, part=None):
        y = self.layer(scale * (x[256] + x[512][0]))
        return {"all": [y], "part": self.parts[part](x[256]) if part else None}


def test_dictionaries_of_any_key_and_other_arguments_reach_the_model():
    x = {256: torch.randn(10, 1), 512: [torch.randn(10, 1)]}
    assert count(Keyed(), {"x": x, "scale": 5}).macs == 10 * 3
    assert count(Keyed(), [x]).macs == 10 * 3
    assert count(Keyed(), {"x": x, "part": "'conv'"}).macs == 10 * (3 + 5)


class Filled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, results):
        results["y"] = self.layer(torch.ones(3))
        return results


def test_an_empty_dictionary_a_sample_without_a_batch_and_pruned_weights_count():
    assert count(Filled(), [{}]).macs == 3
    assert count(nn.Linear(10, 2), torch.ones(10)).macs == 20
    pruned = nn.Linear(8, 4)
    prune.l1_unstructured(pruned, "weight", 0.5)
    assert (count(pruned, (8,)).macs, count(pruned, (8,)).parameters) == (32, 36)


class PackedText(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.recurrent = nn.Embedding(60, 8), nn.LSTM(8, 4)

    def forward(self, ids, lengths):
        return self.recurrent(pack_padded_sequence(self.embed(ids), lengths.cpu()))[1][0][-1]


def test_packed_text_is_counted_and_trained_by_its_lengths():
    given = {"ids": torch.ones(5, 2, dtype=torch.int64), "lengths": torch.tensor([5, 3])}
    assert count(PackedText(), given).macs == 8 * 4 * 4 * (8 + 4)
    assert training_memory(PackedText(), given).gradient_bytes == 4 * (
        60 * 8 + 16 * (8 + 4 + 2)
    )


@pytest.mark.parametrize(
    ("model", "shape", "says"),
    [
        (
            nn.Sequential(nn.Linear(2, 3), nn.LazyLinear(4)),
            "none",
            "layer '1'.*lazy.*give `input`",
        ),
        (nn.LazyConv2d(4, 3), "none", "`model`.*lazy.*give `input`"),
        (nn.Embedding(9, 4), "7:float32", "indices must be integers"),
        (nn.ConvTranspose1d(4, 4, 3), (3, 9), "3 channels, and the layer takes 4"),
        (nn.MaxPool1d(2), "3x9:bool", "bool: torch has no kernel"),
        (nn.Linear(2, 2), [(2,), (2,)], "takes 2 positional arguments"),
        (nn.ModuleList([nn.Linear(2, 2)]), (2,), "forward"),
    ],
    ids=["lazy layer", "lazy model", "floats", "channels", "truth values", "two", "no forward"],
)
def test_what_torch_refuses_is_refused_in_one_line(model, shape, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        count(model, shape)
    assert "\n" not in str(caught.value)


def test_a_lazy_layer_that_does_not_run_is_one_line():
    class Spare(nn.Linear):
        def __init__(self):
            super().__init__(3, 4)
            self.spare = nn.LazyLinear(2)

    for measure in (count, training_memory):
        with pytest.raises(InvalidInput, match=r"layer 'spare'.*lazy"):
            measure(Spare(), (3,))


def test_a_model_without_an_input_runs_and_a_container_is_its_parameters():
    class Prompt(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, 4))

        def forward(self):
            return self.weight @ self.weight.T

    assert (count(Prompt()).macs, count(Prompt()).parameters) == (36, 12)
    assert count(nn.ModuleList([nn.Linear(3, 4)])).parameters == 16
    alone = count(nn.Linear(3, 4), "none")
    assert (alone.macs, alone.parameters, {row.status for row in alone.rows}) == (
        0,
        16,
        {"not run"},
    )
    with pytest.raises(InvalidInput, match="`input` is missing"):
        count(nn.Linear(3, 4))


def scripted():
    with warnings.catch_warnings(action="ignore"):
        return torch.jit.script(nn.Linear(3, 4))


def traced():
    with warnings.catch_warnings(action="ignore"):
        return torch.jit.trace(nn.Linear(3, 4), torch.zeros(1, 3))


def quantised():
    with warnings.catch_warnings(action="ignore"):
        return torch.ao.quantization.quantize_dynamic(
            nn.Sequential(nn.Linear(3, 4)), {nn.Linear}
        )[0]


@pytest.mark.parametrize(
    ("part", "says"),
    [(scripted, "torch.jit"), (traced, "torch.jit"), (quantised, "quantised")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_copied_is_named_by_its_layer(part, says):
    with pytest.raises(InvalidInput, match=rf"layer '0'.*{says}"):
        count(nn.Sequential(part(), nn.Linear(4, 2)), (3,))


@pytest.mark.parametrize(
    "shape",
    [
        "abc",
        "3x",
        "3xx4",
        "3x0",
        (3, -1),
        (3, 1.5),
        "3:float31",
        {"input": "3x"},
        torch.zeros(0, 3),
    ],
    ids=repr,
)
def test_a_shape_that_is_none_is_one_line(shape):
    with pytest.raises(InvalidInput, match="`input`"):
        count(nn.Linear(3, 4), shape)


class Devices(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, x):
        device = "cuda:0"
        return self.layer(
            x.to(device).cuda()
            + torch.zeros(8, device=device)
            + torch.ones(8, device="cpu").cpu()
        )


def test_a_device_that_a_forward_names_does_not_matter():
    assert count(Devices(), (8,)).macs == 32


def test_the_command_line_takes_them(capsys, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fed_model.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a, self.b = nn.Embedding(5, 2), nn.Linear(3, 2)\n"
        "    def forward(self, t, x, double=True):\n"
        "        y = self.b(x) + self.a(t)\n"
        "        return self.b.weight.T @ y.T if double else y\n"
    )
    inputs = ["--input", "t=:int64", "--input", "x=3"]
    assert counted(capsys, *inputs) == 3 * 2 + 3 * 2 * 1
    assert counted(capsys, *inputs, "--input", "double=False") == 6
    assert counted(capsys, "--input", "none") == 0


def counted(capsys, *arguments):
    with pytest.raises(SystemExit):
        main(["count", "fed_model:Net", *arguments, "--json"])
    return json.loads(capsys.readouterr().out)["totals"]["macs"]


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, sample, timestep):
        return self.fc(sample) + timestep[:, None]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"sample": (4,)}, "missing a required argument: 'timestep'"),
        (
            {"sample": (4,), "time": ()},
            r"`input` \(=sample, time\) is not what forward\(sample, timestep\)",
        ),
        (
            {"x": (4,), "t": ()},
            r"one dictionary \(x, t\): forward\(sample, timestep\) has no such names",
        ),
    ],
    ids=["too few", "one wrong", "all wrong"],
)
def test_names_that_forward_does_not_have_are_told_with_those_that_it_has(inputs, message):
    with pytest.raises(InvalidInput, match=message):
        count(Denoiser(), inputs)


def test_the_row_of_an_input_has_its_name_where_there_are_several():
    ledger = count(Denoiser(), {"sample": (4,), "timestep": ()})
    assert [row.detail for row in ledger.rows if row.kind == "input"] == ["sample", "timestep"]
    assert count(nn.Linear(4, 4), (4,)).rows[0].detail == ""
