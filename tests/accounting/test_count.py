"""`losslab count`: the ledger, its JSON, its errors, and what it must leave alone."""

import json
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from losslab.accounting import Comparison, count, training_memory
from losslab.choice import Choice, parse_choice
from losslab.cli import main
from losslab.errors import InvalidInput
from losslab.models import MODELS, build_model
from losslab.studies.architectures.layers import layer_table


def built(name, **options):
    return build_model(Choice(name=name, **options))


def printed(capsys, *arguments):
    with pytest.raises(SystemExit) as exit:
        main(["count", *arguments])
    return exit.value.code, capsys.readouterr()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("include_bias", [True, False], ids=["bias", "no-bias"])
def test_parameters_equal_a_walk_over_named_parameters(name, include_bias):
    with torch.device("meta"):
        named = built(name).named_parameters()
    expected = sum(p.numel() for n, p in named if include_bias or not n.endswith("bias"))
    ledger = count(name, include_bias=include_bias)
    assert ledger.parameters == expected
    assert sum(int(row.parameters) for row in ledger.rows) == expected
    assert ledger.status == "complete"


@pytest.mark.parametrize("name", [*MODELS, "resnet-44(shortcut='A')", "mlp(hidden=[5])"])
def test_macs_of_the_networks_equal_torchs_counter(name):
    ledger = count(name, batch_size=2)
    choice = Choice(**parse_choice(name))
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        build_model(choice).eval()(torch.empty(2, *ledger.inputs.each[0].shape))
    assert counter.get_total_flops() == ledger.flops


def test_alexnet_of_the_paper_layer_by_layer():
    weights = {
        "conv1": (11 * 11 * 3) * 96 + 96,
        "conv2": (5 * 5 * 48) * 256 + 256,
        "conv3": (3 * 3 * 256) * 384 + 384,
        "conv4": (3 * 3 * 192) * 384 + 384,
        "conv5": (3 * 3 * 192) * 256 + 256,
        "fc6": (6 * 6 * 256) * 4096 + 4096,
        "fc7": 4096 * 4096 + 4096,
        "fc8": 4096 * 1000 + 1000,
    }
    ledger = count("alexnet")
    assert {row.name: int(row.parameters) for row in ledger.rows if row.parameters} == weights
    assert {row.name: row.output_shape for row in ledger.rows}["conv1"] == (96, 55, 55)
    assert ledger.rows[1].work["output_size"].startswith("(227 + 2*0 - 11)//4 + 1 = 55")


def test_the_printed_cells_of_the_assignments_table_are_reproduced():
    rows = list(layer_table(count("vgg19", include_bias=False).to_dict()).rows)
    assert rows[0][:2] == ("Input", "224*224*3=150K")
    assert rows[1] == ("CONV3-64", "224*224*64=3.2M", "(3*3*3)*64 = 1,728")
    assert rows[2] == ("CONV3-64", "224*224*64=3.2M", "(3*3*64)*64 = 36,864")
    blocks = [("64", 2), ("128", 2), ("256", 4), ("512", 4), ("512", 4)]
    layers = [
        label for width, layers in blocks for label in (*[f"CONV3-{width}"] * layers, "POOL2")
    ]
    assert [row[0] for row in rows] == [
        "Input",
        *layers,
        "FC 4096",
        "FC 4096",
        "FC 1000",
        "TOTAL",
    ]
    assert rows[-4] == ("FC 4096", "4096", "(7*7*512)*4096 = 102,760,448")
    assert rows[-1] == ("TOTAL", "16.5M", "143,652,544")


def test_vgg19s_receptive_fields_follow_the_recurrence():
    size, jump = 1, 1
    for row in count("vgg19").rows:
        if row.kind in ("conv", "pool"):
            size, jump = (
                (size + 2 * jump, jump) if row.kind == "conv" else (size + jump, 2 * jump)
            )
            assert [(seen.size, seen.stride) for _, seen in row.fields] == [(size, jump)] * 2
    assert size == 268


def test_inception_by_branch_and_what_reduction_saves():
    naive, reduced = count("inception-naive"), count("inception-reduced")
    pixels = 32 * 32
    branches = {
        group.name: (group.macs, group.other_macs)
        for group in Comparison(naive, reduced).groups
    }
    assert branches == {
        "1x1": (pixels * 128 * 256, pixels * 128 * 256),
        "3x3": (pixels * 192 * 9 * 256, pixels * (128 * 256 + 192 * 9 * 128)),
        "5x5": (pixels * 96 * 25 * 256, pixels * (32 * 256 + 96 * 25 * 32)),
        "pool": (0, pixels * 64 * 256),
    }
    assert naive.output_shapes == ((1, 128 + 192 + 96 + 256, 32, 32),)
    assert reduced.output_shapes == ((1, 128 + 192 + 96 + 64, 32, 32),)


def test_resnet44_has_the_papers_parameters_with_either_shortcut():
    counts = [count(f"resnet-44(shortcut='{shortcut}')").parameters for shortcut in "AB"]
    by_hand = (
        27 * 16
        + 32
        + 14 * (2304 + 32)
        + (4608 + 64)
        + 13 * (9216 + 64)
        + (18432 + 128)
        + 13 * (36864 + 128)
        + 650
    )
    assert counts == [by_hand, by_hand + 16 * 32 + 64 + 32 * 64 + 128]


def test_the_json_contract(capsys):
    code, out = printed(capsys, "vgg19", "--no-bias", "--format", "json")
    data = json.loads(out.out)
    assert code == 0
    assert data["model"] == "vgg19"
    assert data["input_shape"] == [3, 224, 224]
    assert "MACs exclude bias" in data["convention"]
    assert "FLOPs = 2 MACs" in data["convention"]
    assert data["status"] == "complete"
    numbers = {"activations", "parameters", "macs", "receptive_field"}
    for row in data["rows"]:
        assert {"name", "kind", "output_shape", "status", "work", *numbers} <= row.keys()
        assert row["activations"] == torch.Size(row["output_shape"]).numel()
    totals = data["totals"]
    for number in ("activations", "parameters", "macs"):
        assert totals[number] == sum(row[number] for row in data["rows"])
    assert totals["flops"] == 2 * totals["macs"]
    assert totals["parameter_bytes"] == 4 * totals["parameters"]
    assert totals["activation_bytes"] == 4 * totals["activations"]
    assert data["rows"][-1]["receptive_field"] == "unbounded"
    assert data["rows"][2]["work"]["parameters"] == "(3*3*64)*64 = 36,864"


def test_the_json_of_a_comparison(capsys):
    _, out = printed(
        capsys, "inception-naive", "--compare", "inception-reduced", "--format", "json"
    )
    compared = json.loads(out.out)["compare"]
    one, two = compared["model"], compared["other"]
    assert (one["output_shape"], two["output_shape"]) == ([672, 32, 32], [480, 32, 32])
    assert compared["macs_saved"] == one["macs"] - two["macs"]
    assert compared["macs_saved_fraction"] == compared["macs_saved"] / one["macs"]
    assert compared["macs_ratio"] == one["macs"] / two["macs"]


def test_the_json_of_training_memory(capsys):
    _, out = printed(
        capsys, "lenet5", "--training", "--optimizer", "adam", "--batch-size", "8", "--json"
    )
    memory = json.loads(out.out)["memory"]
    assert memory["gradient_bytes"] == memory["parameter_bytes"] == 4 * 61706
    assert memory["optimizer_bytes"] == 2 * memory["parameter_bytes"]


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "csv"])
def test_every_table_prints_every_layer(capsys, form):
    code, out = printed(
        capsys, "alexnet", "--show-work", "--training", "--compare", "lenet5", "--format", form
    )
    assert code == 0
    for row in count("alexnet").rows:
        assert row.name in out.out
    for total in ("60,965,224", "60965224"):
        if total in out.out:
            break
    else:
        pytest.fail("the total is missing")


BROKEN = """
import torch
from torch import nn

class Raises(nn.Module):
    def forward(self, x):
        raise RuntimeError("no luck\\nat all")

class Asserts(nn.Module):
    def forward(self, x):
        assert x.shape[1] == 7

class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

class Masks(nn.Module):
    def forward(self, x):
        return x[x > 0]

class Needs(nn.Module):
    def __init__(self, width):
        super().__init__()

def explodes():
    raise OSError("disk on fire")

def nothing():
    return 3

def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(10, 2))
"""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["vgg20"], "did you mean 'vgg19'"),
        (["vgg19", "--input", "3x20x20"], "at least 32x32"),
        (["vgg19", "--input", "3xx20"], "must be sizes of at least 1"),
        (["vgg19", "--input", "3x0x20"], "must be sizes of at least 1"),
        (["vgg19", "--input", "224x224"], "not enough values to unpack"),
        (["vgg19", "--batch-size", "0"], "`batch_size` (=0) must be at least 1"),
        (["vgg19", "--colour", "red"], "--colour"),
        (["vgg19", "--format", "xml"], "xml"),
        (["vgg19(depth=3)"], "depth"),
        (["vgg19(", "--input", "3x32x32"], "not of the form"),
        (["resnet-45"], "must be 6n + 2"),
        (["resnet-44(shortcut='C')"], "'A' (zero padding)"),
        (["lenet5", "--training", "--optimizer", "adm"], "did you mean 'adam'"),
        (["lenet5", "--compare", "lenet6"], "did you mean 'lenet5'"),
        (["no_such_module:net"], "cannot import no_such_module"),
        (["broken:absent"], "has no 'absent'"),
        (["broken:net"], "`input` is missing"),
        (["broken:net", "--input", "1x8x8"], "layer '0' (Conv2d) got 1x8x8"),
        (["broken:net", "--input", "3x8x8"], "layer '2' (Linear) got 144"),
        (["broken:Raises", "--input", "3"], "no luck"),
        (["broken:Asserts", "--input", "3"], "Asserts"),
        (["broken:Branches", "--input", "3"], "depends on the data"),
        (["broken:Masks", "--input", "3"], "depends on the data"),
        (["broken:Needs", "--input", "3"], "width"),
        (["broken:explodes", "--input", "3"], "disk on fire"),
        (["broken:nothing", "--input", "3"], "not a torch.nn.Module"),
        (["broken:net", "--input", "a=3", "--input", "4"], "name all inputs or none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_clear_line_and_status_2(
    arguments, says, capsys, tmp_path, monkeypatch
):
    (tmp_path / "broken.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    code, out = printed(capsys, *arguments)
    assert code == 2
    assert out.out == ""
    assert out.err.count("\n") == 1
    assert says in out.err
    assert "Traceback" not in out.err


@pytest.mark.parametrize(
    ("layers", "shape", "says"),
    [
        (
            [nn.Conv2d(1, 8, 3)],
            "3x28x28",
            r"^`input` \(=3x28x28\) does not fit `model` \(Sequential\): layer '0' \(Conv2d\) got 3x28x28: .*; "
            "it takes 1 channel: give 1x28x28$",
        ),
        (
            [nn.Flatten(), nn.Linear(784, 10)],
            "1x27x27",
            r"^`input` \(=1x27x27\) .* layer '1' \(Linear\) got 729: .*; it takes 784 numbers$",
        ),
        ([nn.Linear(784, 10)], "27", "; it takes 784 numbers: give 784$"),
        ([nn.Linear(784, 10)], "784:float64", "convert one of them$"),
    ],
    ids=["channels", "numbers behind other layers", "numbers", "dtype"],
)
def test_an_input_that_does_not_fit_is_named_with_what_would(layers, shape, says):
    with pytest.raises(InvalidInput, match=says):
        count(nn.Sequential(*layers), shape)


class Flattens(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1))


class ChannelsLast(nn.Conv2d):
    def forward(self, x):
        return super().forward(x.permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("model", "shape"),
    [(Flattens(784, 10), "1x27x27"), (ChannelsLast(3, 8, 3), "28x28x1")],
    ids=["linear", "convolution"],
)
def test_a_layer_with_a_forward_of_its_own_gets_no_advice(model, shape):
    with pytest.raises(InvalidInput, match=f"={shape}. does not fit") as refused:
        count(model, shape)
    assert "it takes" not in str(refused.value)


def only_on_a_gpu(_x):
    raise RuntimeError("only on a GPU")


def not_written(_x):
    raise NotImplementedError("not written")


@pytest.mark.parametrize(
    ("forward", "says"),
    [
        (lambda _: undefined, "name 'undefined' is not defined"),  # noqa: F821
        (lambda _: Path("nowhere.txt").read_text(), r"\[Errno 2\].*"),
        (only_on_a_gpu, "only on a GPU"),
        (not_written, "not written"),
        (lambda _: torch.distributed.get_rank(7), ".*process group.*"),
    ],
    ids=["name", "file", "GPU", "not implemented", "processes"],
)
def test_an_error_of_a_forwards_own_is_not_blamed_on_the_input(forward, says):
    with pytest.raises(InvalidInput, match=rf"^layer '0' \(Own\) got 3: {says}$"):
        count(nn.Sequential(Own(forward)), (3,))


class Own(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.run = run

    def forward(self, x):
        return self.run(x)


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: x[:, 5, 5],
        lambda x: x.view(-1, 7),
        lambda x: torch.einsum("bij,bj->bi", x, x),
        lambda x: x @ x,
        lambda x: F.multi_head_attention_forward(
            x, x, x, 8, 2, None, None, None, None, False, 0.0, None, None
        ),
        lambda x: torch.mm(x.double(), x.T),
    ],
    ids=["index", "view", "einsum", "product", "attention", "dtypes"],
)
def test_shapes_and_dtypes_that_torch_refuses_are_the_inputs(forward):
    with pytest.raises(InvalidInput, match=r"^`input` \(=3\) does not fit `model`"):
        count(nn.Sequential(Own(forward)), (3,))


def test_a_module_in_the_current_folder_is_found(tmp_path):
    (tmp_path / "mine.py").write_text(BROKEN.replace("10, 2", "144, 2"))
    script = "import sys; sys.path.remove(''); from losslab.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", script, "count", "mine:net", "--input", "3x8x8", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["totals"]["parameters"] == 3 * 4 * 9 + 4 + 144 * 2 + 2


class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.cached = torch.ones(3, 1, 1) * self.conv.weight.sum()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.last = self.norm(self.conv(x)) * self.cached
        return self.last


def test_the_model_is_untouched_and_counting_twice_gives_the_same():
    model = Stateful().train()
    seen = []
    hook = model.conv.register_forward_hook(
        lambda module, *_: seen.append(module.weight.device.type)
    )
    before = {key: value.clone() for key, value in model.state_dict().items()}
    attributes = dict(vars(model))
    first, second = count(model, (3, 8, 8)), count(model, (3, 8, 8))
    assert first.to_dict() == second.to_dict()
    assert first == second
    assert model.training
    assert vars(model) == attributes
    assert model.calls == 0
    assert list(model.conv._forward_hooks) == [hook.id]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert seen == ["meta", "meta"]
    assert all(not module._forward_pre_hooks for module in model.modules())


def test_shared_modules_and_tied_weights_count_once_but_work_twice():
    layer = nn.Linear(4, 4)
    ledger = count(nn.Sequential(layer, layer), (4,))
    assert (ledger.parameters, ledger.macs) == (20, 32)
    assert [row.name for row in ledger.rows] == ["input", "0", "0#2"]


class OneTable(nn.Module):
    """The weights of a layer are those of the embedding."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.embed(ids))


class OneWeight(nn.Module):
    """A parameter under two names."""

    def __init__(self):
        super().__init__()
        weight = nn.Parameter(torch.zeros(4, 4))
        self.first = self.second = weight

    def forward(self, x):
        return x @ self.first @ self.second


class OneLayer(nn.Sequential):
    """Two layers with one weight and one bias."""

    def __init__(self):
        super().__init__(nn.Linear(4, 4), nn.Linear(4, 4))
        self[1].weight, self[1].bias = self[0].weight, self[0].bias


@pytest.mark.parametrize(
    ("kind", "shape", "parameters"),
    [(OneTable, "5:int64", 160), (OneWeight, (4,), 16), (OneLayer, (4,), 20)],
)
def test_tied_weights_of_a_model_that_is_built_here_count_once(kind, shape, parameters):
    for model in (kind, kind()):
        memory = training_memory(model, shape)
        assert count(model, shape).parameters == parameters
        assert memory.trainable_parameters == parameters
        assert memory.parameter_bytes == memory.gradient_bytes == 4 * parameters


class Dictionary(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.fc = nn.Embedding(9, 4), nn.Linear(4, 4)

    def forward(self, batch):
        return {
            "out": self.fc(self.embed(batch["tokens"]).mean(1)) + batch["image"].mean((1, 2))
        }


class Keywords(Dictionary):
    def forward(self, *, tokens, image):
        return super().forward({"tokens": tokens, "image": image})


@pytest.mark.parametrize("model", [Dictionary, Keywords])
def test_several_inputs_come_as_a_dictionary_or_as_keywords(model):
    ledger = count(model(), {"tokens": (7,), "image": (5, 6, 4)})
    assert (ledger.parameters, ledger.macs) == (9 * 4 + 20, 16)
    assert [row.name for row in ledger.rows[:2]] == ["input", "input#2"]
    assert ledger.output_shapes == ((1, 4),)


def test_dictionary_inputs_on_the_command_line(capsys, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "two_inputs.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a, self.b = nn.Embedding(5, 2), nn.Linear(3, 2)\n"
        "    def forward(self, tokens, rest):\n"
        "        return self.a(tokens).sum(1) + self.b(rest)\n"
    )
    _, out = printed(
        capsys, "two_inputs:Net", "--input", "tokens=4:int64", "--input", "rest=3", "--json"
    )
    assert json.loads(out.out)["totals"]["macs"] == 6
    _, out = printed(capsys, "two_inputs:Net", "--input", "4:int64", "--input", "3", "--json")
    assert json.loads(out.out)["totals"]["macs"] == 6


def test_an_operation_without_a_rule_is_a_visible_row_and_the_totals_are_partial():
    class Spectral(nn.Module):
        def forward(self, x):
            return torch.linalg.svdvals(x)

    ledger = count(Spectral(), (8, 3))
    assert ledger.status == "partial"
    assert [row.status for row in ledger.rows] == ["counted", "not counted"]
    assert "not counted" in ledger.table().markdown()
    assert ledger.to_dict()["status"] == "partial"


def test_parts_that_do_not_run_keep_their_parameters_in_the_total():
    model = nn.Linear(3, 2)
    model.spare = nn.Linear(7, 5)
    ledger = count(model, (3,))
    assert ledger.parameters == 3 * 2 + 2 + 7 * 5 + 5
    assert [row.status for row in ledger.rows] == ["counted", "counted", "not run", "not run"]


def test_elementwise_work_is_apart_from_macs_and_from_activations():
    ledger = count(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Softmax(-1)), (3,))
    assert [(row.kind, int(row.operations), int(row.macs)) for row in ledger.apart] == [
        ("elementwise", 4, 0),
        ("softmax", 4, 0),
    ]
    assert ledger.activations == 3 + 4


class Permuted(nn.Linear):
    """A layer over channels, on an image whose memory has them first."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("model", "shape", "activations"),
    [
        (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), (5, 16), 930),
        (Permuted(8, 16), (8, 4, 4), 8 * 16 + 16 * 16),
    ],
    ids=["encoder layer", "permuted"],
)
def test_activations_are_proportional_to_the_batch_whatever_the_memory_layout(
    model, shape, activations
):
    # torch adds the bias by itself where the memory is not in order
    for batch in (1, 2, 4):
        ledger = count(model, shape, batch_size=batch)
        assert ledger.activations == batch * activations
        assert ledger.parameters == sum(p.numel() for p in model.parameters())


def test_normalisation_is_a_row_with_parameters_and_without_macs():
    row = count(nn.BatchNorm2d(3), (3, 4, 4)).rows[1]
    assert (row.kind, int(row.parameters), int(row.macs), int(row.operations)) == (
        "norm",
        6,
        0,
        48,
    )


def test_a_user_can_count_a_function_that_builds_with_values():
    def build():
        width = int(torch.linspace(1, 8, 3)[1].round().item())
        return nn.Linear(width, 2)

    assert count(build, (4,)).macs == 8


def test_inputs_have_the_dtype_of_the_model():
    assert count(nn.Linear(3, 4).bfloat16(), (3,)).macs == 12


def test_the_dtype_and_the_bytes_are_those_of_the_model():
    ledger = count(nn.Linear(3, 4).bfloat16(), (3,))
    assert ledger.to_dict()["dtype"] == "bfloat16"
    assert ledger.totals()["parameter_bytes"] == 2 * 16
    assert ledger.totals(4)["activation_bytes"] == 4 * 7
    assert count("lenet5").to_dict()["dtype"] == "float32"


def test_a_parameter_that_is_an_output_by_itself_is_used():
    class Tempered(nn.Linear):
        def __init__(self):
            super().__init__(3, 4)
            self.scale, self.shift = nn.Parameter(torch.zeros(())), nn.Parameter(torch.ones(2))

        def forward(self, x):
            return super().forward(x), self.scale.exp(), self.shift

    ledger = count(Tempered(), (3,))
    assert ledger.parameters == 16 + 1 + 2
    assert {row.status for row in ledger.rows} == {"counted"}
    assert ledger.activations == 3 + 4


@pytest.mark.parametrize("build", [False, True], ids=["module", "factory"])
def test_a_parameter_keeps_the_attributes_that_it_was_given(build):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, 4))
            self.weight.scale, self.weight.shift = 2.0, torch.ones(1)

        def forward(self, x):
            return x @ self.weight * self.weight.scale + self.weight.shift

    assert count(Scaled if build else Scaled(), (3,)).macs == 12


def test_an_index_that_a_forward_makes_may_be_taken_along_an_axis():
    class Picked(nn.Linear):
        def forward(self, x):
            ids = torch.zeros(x.shape[0], 1, dtype=torch.int64)
            return torch.take_along_dim(super().forward(x), ids, 1)

    assert count(Picked(3, 4), (3,)).output_shapes == ((1, 1),)


class Catches(nn.Module):
    """Runs a layer that does not fit, and goes on."""

    def __init__(self, *, then_fails):
        super().__init__()
        self.wrong, self.right, self.then_fails = nn.Linear(5, 5), nn.Linear(3, 4), then_fails

    def forward(self, x):
        try:
            self.wrong(x)
        except RuntimeError:
            x = 2 * x
        return self.wrong(x) if self.then_fails else self.right(x)


def test_after_an_error_that_a_model_catches_rows_have_the_names_of_what_runs():
    ledger = count(nn.Sequential(Catches(then_fails=False)), (3,))
    assert [row.name for row in ledger.apart] == ["0"]
    assert [row.name for row in ledger.rows[:2]] == ["input", "0.right"]
    with pytest.raises(InvalidInput, match=r"layer '0.wrong' \(Linear\) got 3"):
        count(nn.Sequential(Catches(then_fails=True)), (3,))


def test_floats_that_go_straight_into_an_embedding_are_taken_as_integers():
    ledger = count(nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)), (7,))
    assert (ledger.macs, ledger.inputs.each[0].dtype) == (7 * 4 * 2, torch.int64)


def test_work_on_parameters_alone_forms_no_units():
    class Standardised(nn.Linear):
        def forward(self, x):
            return F.linear(x, self.weight - self.weight.mean(1, keepdim=True), self.bias)

    ledger = count(Standardised(3, 4), (3,))
    assert [row.kind for row in ledger.rows] == ["input", "linear"]
    assert ledger.parameters == 16
    assert {row.kind for row in ledger.apart} == {"weights"}


@pytest.mark.parametrize("name", ["lock", "script"])
def test_a_model_that_cannot_be_copied_says_so(name):
    model = nn.Linear(3, 2)
    if name == "lock":
        model.lock = threading.Lock()
    else:
        with warnings.catch_warnings(action="ignore"):
            model = torch.jit.script(model)
    with pytest.raises(InvalidInput, match=r"cannot be copied|made from"):
        count(model, (3,))


def test_a_factory_that_fails_says_so():
    with pytest.raises(InvalidInput, match="cannot be built: division by zero"):
        count(lambda: 1 / 0, (3,))


SEVENTY_BILLION = """
import resource
import torch
from torch import nn
from torch.nn import functional as F
from losslab import count

WIDTH, LAYERS, HEADS, GROUPS, HIDDEN, TOKENS = 8192, 80, 64, 8, 28672, 128256

class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        size = WIDTH // HEADS * GROUPS
        self.q, self.k, self.v = (nn.Linear(WIDTH, out, bias=False) for out in (WIDTH, size, size))
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate, self.up = (nn.Linear(WIDTH, HIDDEN, bias=False) for _ in range(2))
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)
        self.norm1, self.norm2 = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)

    def forward(self, x):
        y = self.norm1(x)
        q, k, v = (part(y).unflatten(-1, (-1, WIDTH // HEADS)).transpose(1, 2) for part in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))

def model():
    return nn.Sequential(nn.Embedding(TOKENS, WIDTH), *(Layer() for _ in range(LAYERS)), nn.Linear(WIDTH, TOKENS))

ledger = count(model, (16,))
print(ledger.status, ledger.parameters, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_seventy_billion_parameters_count_in_less_than_a_gigabyte():
    done = subprocess.run(
        [sys.executable, "-c", SEVENTY_BILLION], capture_output=True, text=True, check=True
    )
    status, parameters, peak_bytes = done.stdout.split()
    layer = 8192 * (8192 + 1024 + 1024 + 8192 + 3 * 28672) + 2 * 8192
    assert status == "complete"
    assert int(parameters) == 80 * layer + 2 * 128256 * 8192 + 128256 > 70e9
    assert int(peak_bytes) < 1e9


def test_importing_losslab_and_asking_for_help_import_no_torch():
    script = "import sys, losslab, losslab.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_arithmetic_stands_below_its_layer_and_fits_a_terminal():
    ledger = count("vgg19")
    lines = ledger.work_table().rows
    assert max(len(name) for name, _ in lines) + max(len(text) for _, text in lines) < 112
    assert [text for name, text in lines if not name and text.startswith("MACs")]
    assert f"{ledger.macs:,} MACs" in lines[-1][1]
