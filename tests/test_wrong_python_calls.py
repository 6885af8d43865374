"""Wrong calls from Python: one line each that names what is wrong, and nothing changed."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edge_samples import sized
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import losslab
from losslab.data import load
from losslab.errors import LosslabError
from losslab.integrations.torch import PolicyBatchSampler
from losslab.spec import make_run

INPUTS, LABELS = (
    torch.randn(72, 20, generator=torch.Generator().manual_seed(0)),
    torch.arange(72) % 5,
)
BATCHES = [(INPUTS[i : i + 8], LABELS[i : i + 8]) for i in range(0, 72, 8)]
SINGLES = [(INPUTS[:1], LABELS[:1])] * 9
DATASET = TensorDataset(INPUTS, LABELS)
OPTIONS = {"lr": {"steps": 20, "seeds": 1}, "batch": {"sizes": [8, 16], "steps": 4, "seeds": 1}}


class Silent(nn.Linear):
    """Records no gradient."""

    @torch.no_grad()
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(inputs)


class TwoLines(nn.Linear):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("an error\nof two lines")


def loss(model: nn.Module, batch: Any) -> torch.Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def single_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 5), nn.BatchNorm1d(5))


MODELS: list[tuple[Any, str]] = [
    ("lenet5", "`model` is a str; give a torch.nn.Module"),
    (nn.Linear, "`model` is the class Linear"),
    (nn.Identity(), "`model` (Identity) has no parameters"),
    (nn.Linear(20, 5).requires_grad_(False), "parameters of `model` are frozen"),
    (nn.Linear(20, 5, device="meta"), "is on the meta device"),
    (nn.Linear(10, 5), "`model` (Linear) and a batch of `data`, (tensor of 8x20, tensor of 8)"),
    (nn.Linear(20, 5).double(), "`model` (Linear) and a batch of `data`"),
    (
        nn.Linear(20, 3),
        "a label is 4, but the model has 3 outputs, counted from 0; give it more",
    ),
    (nn.Linear(20, 1), "the cross-entropy of a single class is always 0; give `loss_fn"),
    (Silent(20, 5), "returned a loss without a gradient"),
    (TwoLines(20, 5), "an error of two lines; `model` (TwoLines) and a batch of `data`"),
]
DATA: list[tuple[Any, str]] = [
    ("cifar10", "`data` is a str, not batches; give an iterable"),
    (INPUTS, "`data` is a Tensor, not batches"),
    (DATASET, "`data` (=TensorDataset) gives single samples; give batches: DataLoader"),
    (DataLoader, "`data` is a type, not batches"),
    (lambda: iter(BATCHES), "`data` is a function, not batches"),
    (iter(BATCHES), "`data` is an iterator"),
    ([], "`data` has no batch"),
    (
        [INPUTS, LABELS],
        "a batch is one tensor, not (inputs, labels); give batches, such as DataLoader",
    ),
    ([(INPUTS[0], LABELS[0])], "a single sample; give batches, such as DataLoader"),
    ([None], "a batch is None, not (inputs, labels); give `loss_fn"),
    ([(INPUTS.numpy(), LABELS.numpy())], "not two tensors, (inputs, labels); give tensors"),
    ([(INPUTS, LABELS, LABELS)], "a batch is a tuple of 3, not (inputs, labels)"),
    ([(INPUTS, torch.randn(72))], "neither class indices nor probabilities; give `loss_fn"),
]
OPTIMIZERS: list[tuple[Any, str]] = [
    (None, "`optimizer` is a NoneType; give `torch.optim.Adam"),
    ("adamm", "did you mean 'adam'"),
    ("adam(beta=0.1)", "unknown key 'beta'; did you mean 'betas'"),
    (torch.optim.Adam, "`optimizer` is the class Adam; give `Adam(model.parameters())`"),
    ([torch.optim.Adam], "`optimizer` is a list of 1; a test drives one"),
    (lambda weights: torch.optim.Adam(weights), "`optimizer` is a function; give"),
    (nn.Linear(20, 5).parameters(), "`optimizer` is a generator; give"),
    (
        torch.optim.Adam(nn.Linear(20, 5).parameters()),
        "`optimizer` trains no parameter of `model`",
    ),
]
LR_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"start": 0}, "`start` (=0.0) must be positive"),
    ({"start": "1e-3"}, "`start` (='1e-3') must be a number, such as 1e-3"),
    ({"end": float("nan")}, "`end` (=nan) must be positive and finite"),
    ({"start": 1, "end": 0.1}, "swap them?"),
    ({"steps": 20.0}, "`steps` (=20.0) must be a whole number"),
    ({"steps": 1}, "`steps` (=1) must be at least 2"),
    ({"seeds": 0}, "`seeds` (=0) must be at least 1"),
    ({"mode": "rmap"}, "did you mean 'ramp'"),
    ({"rule": "best"}, "unknown rule 'best'"),
    ({"rule": 3}, "unknown rule '3'"),
    ({"loss_fn": None}, "`loss_fn` is None; give a function of (model, batch)"),
    ({"loss_fn": "mse"}, "`loss_fn` is 'mse'; give a function"),
    ({"loss_fn": nn.CrossEntropyLoss()}, "takes outputs and targets; write `loss_fn=lambda"),
    ({"loss_fn": F.cross_entropy}, "takes outputs and targets; write `loss_fn=lambda"),
    ({"loss_fn": lambda a, b, c: a}, "it is called as loss_fn(model, batch)"),
    ({"loss_fn": lambda m, b: loss(m, b).item()}, "return the loss as a tensor"),
    ({"loss_fn": lambda m, b: loss(m, b).detach()}, "is it detached"),
    ({"loss_fn": lambda m, b: m(b[0])}, "return its mean, `loss.mean()`"),
    ({"loss_fn": lambda m, b: loss(m, b) * 1j}, "of type torch.complex64; return a real one"),
    ({"loss_fn": lambda m, b: loss(m, b.x)}, "`loss_fn` (=<lambda>)"),
    ({"accumulate": 0}, "`accumulate` (=0) must be at least 1"),
    ({"accumulate": 100}, "a step takes 100 batches, but `data` has 9"),
    ({"clip_norm": -1}, "`clip_norm` (=-1.0) must be positive"),
    ({"scaler": True}, "`scaler` is a bool; give a torch.amp.GradScaler"),
    ({"count": 8}, "`count` (=8) must be a function of a batch"),
    ({"validation": DATASET}, "`validation` (=TensorDataset) gives single samples"),
    ({"validation": []}, "`validation` has no batch"),
]
BATCH_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "give `lr`, such as 1e-3"),
    ({"lr": -1}, "`lr` (=-1.0) must be positive"),
    ({"lr": 1, "sizes": [8]}, "`sizes` (=[8]) must be two or more increasing"),
    ({"lr": 1, "sizes": "8,16"}, "`sizes` (='8,16') must be batch sizes in a list"),
    ({"lr": 1, "sizes": [8, 12]}, "must be multiples of the data's batches of 8"),
    ({"lr": 1, "sizes": [8, 800]}, "exceed the data: an epoch has 9 batches of 8"),
    ({"lr": 1, "mode": "brnch"}, "did you mean 'branch'"),
    ({"lr": 1, "mode": 3}, "unknown mode '3'"),
    ({"lr": 1, "scaling": "sqrt"}, "is for mode='branch'"),
    ({"lr": 1, "mode": "branch", "scaling": "square"}, "did you mean 'sqrt'"),
    ({"lr": 1, "mode": "branch", "tolerance": 0}, "`tolerance` (=0.0) must be positive"),
]


def check_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(
        (TypeError, ValueError, RuntimeError, AttributeError, LosslabError)
    ) as error:
        call()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


FINDERS = [
    *(("lr", {"model": model}, message) for model, message in MODELS),
    *(("lr", {"data": data}, message) for data, message in DATA),
    *(("lr", {"optimizer": optimizer}, message) for optimizer, message in OPTIMIZERS),
    *(("lr", options, message) for options, message in LR_OPTIONS),
    *(("batch", options, message) for options, message in BATCH_OPTIONS),
    (
        "lr",
        {"model": single_norm(), "data": SINGLES},
        "batch norm cannot train on a single sample: give `data` batches of two or more",
    ),
]


@pytest.mark.row(24)
@pytest.mark.parametrize(
    ("finder", "changes", "message"),
    FINDERS,
    ids=[f"{number} {message[:40]}" for number, (_, _, message) in enumerate(FINDERS)],
)
def test_a_wrong_call_of_a_finder_is_one_line_and_changes_nothing(
    finder: str, changes: dict[str, Any], message: str
) -> None:
    find = {"lr": losslab.find_lr, "batch": losslab.find_batch}[finder]
    model = changes.get("model", nn.Linear(20, 5))
    has_weights = isinstance(model, nn.Module) and not any(
        p.is_meta for p in model.parameters()
    )
    before = deepcopy(model.state_dict()) if has_weights else {}
    draws = torch.get_rng_state()
    arguments = {
        "model": model,
        "data": BATCHES,
        "optimizer": "sgd",
        **OPTIONS[finder],
        **changes,
    }
    check_one_line(lambda: find(**arguments), message)
    assert torch.equal(torch.get_rng_state(), draws)
    if has_weights:
        after = model.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())
        assert model.training
        assert all(p.grad is None for p in model.parameters())


@pytest.mark.row(24)
@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_a_range_test_without_gradients_is_refused(switch: Callable[[], Any]) -> None:
    with switch():
        check_one_line(
            lambda: losslab.find_lr(nn.Linear(20, 5), BATCHES, "adam"),
            "outside of torch.no_grad()",
        )


def fields(**changes: Any) -> dict[str, Any]:
    usual = {
        "model": "mlp(hidden=[8])",
        "optimizer": "adam",
        "lr": 0.01,
        "batch": 32,
        "epochs": 1,
    }
    return {"data": "samples:tiny_data", **usual, **changes}


@pytest.mark.row(24)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0}, "`lr` (=0): must be a number greater than 0"),
        ({"lr": "cosin(1e-3)"}, "did you mean 'cosine'"),
        ({"batch": 1.5}, "`batch` (=1.5)"),
        ({"epochs": None}, "give exactly one of `epochs` and `steps`"),
        ({"steps": 3}, "give exactly one of `epochs` and `steps`"),
        ({"learning_rate": 1}, "`learning_rate`: unknown key"),
        ({"model": "lenet6"}, "did you mean 'lenet5'"),
        ({"data": "cifar"}, "did you mean 'cifar10'"),
        ({"optimizer": "adm"}, "did you mean 'adam'"),
        ({"loss": "crossentropy"}, "did you mean 'cross_entropy'"),
        ({"metrics": ["acuracy"]}, "did you mean 'accuracy'"),
        ({"precision": "fp8"}, "`precision` (='fp8')"),
        ({"model": "edge_samples:frozen"}, "has nothing to train"),
        ({"model": "edge_samples:nothing"}, "edge_samples has no 'nothing'"),
        (
            {"model": "samples:wants_one_channel"},
            "cannot be trained on `data` (=samples:tiny_data)",
        ),
        ({"data": "edge_samples:empty", "batch": 1}, "`train` of the data has no samples"),
        ({"data": "edge_samples:lazy"}, "gave Sequential, not a losslab.data.TaskData"),
    ],
)
def test_a_wrong_run_is_one_line(changes: dict[str, Any], message: str) -> None:
    check_one_line(lambda: list(losslab.train(make_run(fields(**changes)))), message)


@pytest.mark.row(24)
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load("cifar"), "did you mean 'cifar10'"),
        (lambda: load("./none.npz"), "none.npz"),
        (lambda: PolicyBatchSampler(0, 8), "`dataset_size` (=0) must be at least 1"),
        (
            lambda: PolicyBatchSampler(10, "8"),
            "must be a number or a schedule; losslab.lay_out",
        ),  # type: ignore[arg-type]
        (lambda: losslab.count("lenet6"), "did you mean 'lenet5'"),
        (lambda: losslab.count("lenet5", "3xax3"), "such as 3x224x224"),
        (
            lambda: losslab.count(sized()),
            "which forward(input) needs; give the shape of one sample",
        ),
        (lambda: losslab.count(sized(), (2, 3)), "layer '1' (Linear) got 6"),
    ],
)
def test_a_wrong_call_of_data_and_counting_is_one_line(
    call: Callable[[], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_one_line(call, message)
    assert list(tmp_path.iterdir()) == []


ONE_HOT = np.eye(4, dtype=np.uint8)[np.arange(40) % 4]
IMAGES = np.zeros((40, 8, 8), np.uint8)


@pytest.mark.row(24)
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES}, "train_images"),
        ({"train_images": IMAGES}, "train_labels"),
        (
            {"train_images": IMAGES, "train_labels": ONE_HOT},
            "store train_labels.argmax(axis=1)",
        ),
        (
            {"train_images": IMAGES, "train_labels": np.arange(80) % 4},
            "one for each of 40 images",
        ),
        ({"train_images": IMAGES, "train_labels": np.arange(40) % 4 + 1}, "subtract 1"),
        ({"train_images": IMAGES, "train_labels": np.full(40, "a")}, "train_labels"),
        ({"train_images": IMAGES, "train_labels": np.zeros(40) + 0.5}, "train_labels"),
        ({"train_images": IMAGES[0], "train_labels": np.zeros(8, int)}, "train_images"),
        ({"train_images": IMAGES[:0], "train_labels": np.zeros(0, int)}, "train_images"),
        ({"train_images": IMAGES - 1.0, "train_labels": np.arange(40) % 4}, "train_images"),
    ],
)
def test_a_wrong_file_of_arrays_is_one_line(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    before = path.read_bytes()
    check_one_line(lambda: load(str(path)), message)
    assert path.read_bytes() == before
