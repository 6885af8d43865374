import contextlib
import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import chain, islice, repeat
from math import log10, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from samples import tiny_data
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import losslab
from losslab.choice import Choice
from losslab.cli import run_command
from losslab.errors import Diverged, InvalidInput, OutOfMemory
from losslab.ranges.curves import find_fall
from losslab.ranges.plan_runs import train_trace
from losslab.ranges.runs import batch_runs, lr_runs
from losslab.ranges.trial import train_briefly
from losslab.records import Record
from losslab.spec import Run, make_run
from losslab.study.findings import FINDINGS
from losslab.study.results import RunResult
from losslab.study.stages import expand, load_study
from losslab.training.loop import train

DATA = tiny_data()
FIELDS = {"data": "samples:tiny_data", "model": "mlp(hidden=[16])", "optimizer": "adam", "batch": 16, "steps": 60}


def tensors() -> TensorDataset:
    images = torch.from_numpy(DATA.train_images.copy()).float() / 60 - 2
    return TensorDataset(images, torch.from_numpy(DATA.train_labels.copy()))


def loader(**options: Any) -> DataLoader:
    return DataLoader(tensors(), batch_size=16, shuffle=True, drop_last=True, **options)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(128, 3),
    )


def plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(108, 16), nn.ReLU(), nn.Linear(16, 3))


def groups_of(model: nn.Module) -> list[dict[str, Any]]:
    return [
        {"params": [p for p in model.parameters() if p.ndim > 1], "lr": 0.02},
        {"params": [p for p in model.parameters() if p.ndim == 1], "lr": 0.01},
    ]


OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda model: torch.optim.SGD(groups_of(model), lr=0.1, momentum=0.9),
    "adam": lambda model: torch.optim.Adam(groups_of(model), amsgrad=True),
    "adadelta": lambda model: torch.optim.Adadelta(groups_of(model)),
}


@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_is_the_same_to_the_bit_with_and_without_range_tests_before(
    optimizer: str, own_generator: bool
) -> None:
    """200 steps, in the middle of training: weights, buffers, optimizer state, draws and modes all go on."""
    ends = []
    for tested in (False, True):
        model = network()
        made = OPTIMIZERS[optimizer](model)
        data = loader(generator=torch.Generator().manual_seed(5) if own_generator else None)
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)
        _train(model, made, data, 40)
        if tested:
            model[1].eval()
            losslab.find_lr(model, data, made, steps=40, seeds=2)
            losslab.find_lr(model, data, made, steps=5, seeds=1, mode="grid", candidates=3)
            losslab.find_batch(model, data, made, sizes=[16, 32], steps=10, seeds=2)
            assert [module.training for module in model] == [True, False, True, True, True, True]
            model[1].train()
        _train(model, made, data, 200)
        ends.append([*model.state_dict().values(), *_state(made), torch.rand(1), torch.tensor(np.random.rand())])
        ends[-1].append(torch.tensor(random.random()))
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


def _train(model: nn.Module, optimizer: torch.optim.Optimizer, data: DataLoader, steps: int) -> None:
    for images, labels in islice(chain.from_iterable(repeat(data)), steps):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()


def _state(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    state = optimizer.state_dict()
    values = [value for of_parameter in state["state"].values() for value in of_parameter.values()]
    return [torch.as_tensor(value) for value in (*values, *(group["lr"] for group in state["param_groups"]))]


def test_gradients_and_options_are_left_even_when_the_test_fails() -> None:
    model = plain()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model[1].weight.grad = torch.ones_like(model[1].weight)
    gradient, weights = model[1].weight.grad, deepcopy(model.state_dict())

    def failing(model: nn.Module, batch: Any) -> torch.Tensor:
        if model.training and optimizer.state_dict()["param_groups"][0]["lr"] > 1e-4:
            raise RuntimeError("as intended")
        return F.cross_entropy(model(batch[0]), batch[1])

    with pytest.raises(RuntimeError, match="as intended"):
        losslab.find_lr(model, loader(), optimizer, loss_fn=failing, steps=40)
    assert model[1].weight.grad is gradient
    assert torch.equal(gradient, torch.ones_like(gradient))
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_parameter_groups_keep_their_ratios() -> None:
    model, seen = plain(), []
    optimizer = torch.optim.SGD(groups_of(model))

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        seen.append([group["lr"] for group in optimizer.param_groups])
        return F.cross_entropy(model(batch[0]), batch[1])

    losslab.find_lr(model, loader(), optimizer, loss_fn=loss_fn, start=1e-4, end=1.0, steps=30, seeds=1)
    first, second = zip(*seen, strict=True)
    assert first == pytest.approx(np.logspace(-4, 0, 30)[: len(first)])
    assert second == pytest.approx([lr / 2 for lr in first])


def dicts() -> list[dict[str, torch.Tensor]]:
    return [{"image": images, "label": labels} for images, labels in DataLoader(tensors(), batch_size=16)]


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(216, 3)

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.cat([one.flatten(1), other.flatten(1)], 1))


def test_dict_batches_and_several_inputs_go_through_a_loss_fn() -> None:
    def of_dict(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return F.cross_entropy(model(batch["image"], -batch["image"]), batch["label"])

    found = losslab.find_lr(TwoInputs(), dicts(), "adam", loss_fn=of_dict, steps=200, seeds=2)
    assert found.found
    assert found.curve.accuracy == []
    with pytest.raises(TypeError, match=r"a batch is a dict, not \(inputs, labels\); give `loss_fn"):
        losslab.find_lr(TwoInputs(), dicts(), "adam", steps=20)


def test_a_negative_loss_has_its_range_too() -> None:
    def shifted(model: nn.Module, batch: Any) -> torch.Tensor:
        return F.cross_entropy(model(batch[0]), batch[1]) - 5

    plain_loss, negative = (
        losslab.find_lr(plain(), list(loader()), "sgd", loss_fn=loss_fn, steps=200, seeds=1)
        for loss_fn in (losslab.ranges.trial.cross_entropy, shifted)
    )
    assert negative.found
    assert log10(negative.suggestion or 0) == pytest.approx(log10(plain_loss.suggestion or 0), abs=0.3)


def test_a_network_that_gives_nan_at_once_has_no_range() -> None:
    def bad(model: nn.Module, batch: Any) -> torch.Tensor:
        return F.cross_entropy(model(batch[0]), batch[1]) * float("nan")

    found = losslab.find_lr(plain(), loader(), "sgd", loss_fn=bad, steps=20)
    assert (found.found, found.reason) == (False, "no range found, because the loss is nan at the first step")
    assert (
        "diverges at every batch size"
        in losslab.find_batch(plain(), loader(), "sgd", sizes=[16, 32], lr=0.1, loss_fn=bad, steps=20).reason
    )


def test_the_test_stops_when_the_loss_diverges() -> None:
    steps = 0

    def counted(model: nn.Module, batch: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        return F.cross_entropy(model(batch[0]) * 30, batch[1])

    losslab.find_lr(plain(), loader(), "sgd", loss_fn=counted, steps=200, seeds=1)
    assert steps < 190


@pytest.mark.parametrize("optimizer", ["sgd(momentum=0.9)", "adam", "rmsprop", "adagrad", "rmsprop-nesterov"])
def test_the_suggestion_trains_and_lies_in_the_range(optimizer: str) -> None:
    found = losslab.find_lr(plain(), loader(), optimizer, steps=200, seeds=3)
    assert found.found
    low, suggestion, high = found.lr_min or 0, found.suggestion or 0, found.lr_max or 0
    assert low < suggestion <= high
    assert found.curve.accuracy[0] < max(found.curve.accuracy)
    model = plain()
    made = losslab.ranges.find._bound(optimizer, model)
    measured = train_briefly(
        model, made, ([batch] for batch in list(loader()) * 10), [suggestion] * 100, losslab.ranges.trial.cross_entropy
    )
    assert np.mean(measured.loss[-10:]) < 0.5 * measured.loss[0]


def test_grid_and_ramp_agree_roughly() -> None:
    """On labels of which a third is wrong, so that large rates do harm."""
    wrong = torch.rand(len(DATA.train_labels), generator=torch.Generator().manual_seed(0)) < 0.33
    images, labels = tensors().tensors
    data = DataLoader(TensorDataset(images, torch.where(wrong, 0, labels)), batch_size=16)
    ramp, grid = (
        losslab.find_lr(plain(), data, "sgd", start=1e-5, end=10.0, steps=steps, seeds=1, mode=mode)
        for mode, steps in (("ramp", 240), ("grid", 60))
    )
    assert abs(log10((ramp.suggestion or nan) / (grid.suggestion or nan))) < 1
    assert (ramp.lr_min or nan) < (grid.suggestion or nan) <= (ramp.lr_max or nan) * 3
    assert grid.rule == "minimum"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": 1.0, "end": 0.1}, "swap them"),
        ({"start": 0.0}, "must be positive"),
        ({"steps": 1}, r"`steps` \(=1\)"),
        ({"candidates": 1}, r"`candidates` \(=1\)"),
        ({"seeds": 0}, r"`seeds` \(=0\)"),
        ({"rule": "best"}, "unknown rule"),
        ({"mode": "both"}, "unknown mode"),
        ({"data": iter([])}, "is an iterator"),
        ({"data": []}, "has 0 in an epoch"),
    ],
)
def test_impossible_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losslab.find_lr(**{"model": plain(), "data": loader(), "optimizer": "sgd", **change})


@pytest.mark.parametrize(
    ("sizes", "message"),
    [([16, 40], "multiples"), ([16, 4096], "an epoch has 14 batches of 16"), ([16], "two or more")],
)
def test_impossible_sizes_are_refused(sizes: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losslab.find_batch(plain(), loader(), "sgd", sizes=sizes, lr=0.1, steps=5)


def test_data_of_unknown_length_that_is_too_short_is_refused() -> None:
    class Endless:
        def __iter__(self) -> Iterator[Any]:
            return iter(list(loader())[:3])

    with pytest.raises(ValueError, match="a step takes 4 batches, but `data` has 3 in an epoch"):
        losslab.find_batch(plain(), Endless(), "sgd", sizes=[16, 64], lr=0.1, steps=5)


def test_an_accumulated_step_is_that_of_the_large_batch() -> None:
    batches = list(DataLoader(tensors(), batch_size=50))  # the last one is short
    ends = []
    for steps in ([batches], [[[torch.cat(column) for column in zip(*batches, strict=True)]]]):
        model = plain().double()
        wide = [[[images.double(), labels] for images, labels in parts] for parts in steps]
        measured = train_briefly(
            model, torch.optim.SGD(model.parameters(), lr=0.1), wide, [0.1], losslab.ranges.trial.cross_entropy
        )
        ends.append(torch.cat([p.flatten() for p in model.parameters()]))
        assert measured.samples == [len(tensors())]
    assert torch.allclose(*ends, rtol=0, atol=1e-12)


def test_find_batch_trains_each_size_from_the_same_weights() -> None:
    found = losslab.find_batch(plain(), loader(), "adam", sizes=[16, 32, 64], lr=0.003, steps=60, seeds=3)
    assert len(set(found.weights_sha256)) == 1
    assert found.curve.batch_size == [16, 32, 64]
    rows = found.to_dict()["curve"]
    assert rows["micro_batch"] == [16, 16, 16]
    assert all(value is None or value > 0 for value in rows["noise_scale"])


class Done:
    def __init__(self, arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> None:
        self.returncode = run_command([str(argument) for argument in arguments])
        self.stdout, self.stderr = capsys.readouterr()


@pytest.fixture
def find(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    return lambda *arguments: Done(("find", *arguments), capsys)


TINY = ("--data", "samples:tiny_data", "--model", "mlp(hidden=[16])")


def test_find_lr_prints_its_finding_as_json(find: Callable[..., Done]) -> None:
    done = find(
        "lr", *TINY, "--optimizer", "sgd", "--momentum", 0.9, "--batch", 16, "--steps", 200, "--seeds", 2, "--json"
    )
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert found["lr_min"] < found["suggestion"] <= found["lr_max"]
    assert (found["rule"], found["found"]) == ("valley", True)
    assert found["spread_decades"] < 1
    steps = {len(found["curve"][key]) for key in ("lr", "loss", "smoothed_loss", "accuracy")}
    assert len(steps) == 1


def test_find_batch_prints_its_finding_as_json(find: Callable[..., Done]) -> None:
    arguments = ("batch", *TINY, "--optimizer", "sgd", "--lr", 0.03, "--sizes", "8,32,128", "--steps", 40, "--json")
    found = json.loads(find(*arguments).stdout)
    assert {"b_min", "b_max", "noise_scale", "rule", "reason"} <= found.keys()
    assert len(set(found["weights_sha256"])) == 3
    assert found["curve"]["batch_size"] == [8, 32, 128]
    assert found["noise_scale"] > 0


def test_find_prints_a_summary_and_a_plot(find: Callable[..., Done]) -> None:
    done = find("lr", *TINY, "--optimizer", "adam", "--steps", 100, "--seeds", 1, "--mode", "ramp")
    assert "suggestion" in done.stdout
    assert "^" in done.stdout
    assert "training 1 of 1" in done.stderr
    done = find("batch", *TINY, "--lr", 0.03, "--sizes", "8,32", "--steps", 20, "--seeds", 1)
    assert "samples/s" in done.stdout


def test_find_says_why_there_is_no_range(find: Callable[..., Done]) -> None:
    done = find("lr", "--data", "samples:tiny_data", "--model", "samples:nan_after(steps=0)", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["found"], found["lr_min"]) == (0, False, None)
    assert found["reason"] == "no range found, because the loss is nan at the first step"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lr", "--start", 1, "--end", 1), "swap them"),
        (("lr", "--steps", 1), "must be at least 2"),
        (("lr", "--rule", "vally"), "did you mean 'valley'"),
        (("lr", "--mode", "walk"), "unknown mode"),
        (("lr", "--optimizer", "adm"), "did you mean 'adam'"),
        (("lr", "--optimizer", "adam", "--momentum", 0.9), "momentum"),
        (("batch", "--lr", 0.1, "--sizes", "64,4096"), "4096 exceeds the 207 training images"),
        (("lr", "--optimizer", "adam", "--batch", 4096), "`batch` (=4096) exceeds the 207 training samples"),
        (("batch", "--lr", 0.1, "--sizes", "64"), "two or more increasing"),
        (("batch", "--lr", 0.1, "--sizes", "many"), "two or more increasing"),
        (("batch", "--lr", -0.1, "--sizes", "8,16"), "greater than 0"),
        (("batch", "--lr", 0.1, "--sizes", "8,16", "--seeds", 0), "seeds"),
        (("batch", "--lr", 0.1, "--sizes", "8,16", "--steps", 0), "steps"),
    ],
)
def test_bad_input_ends_in_one_line_and_code_2(
    find: Callable[..., Done], arguments: tuple[object, ...], message: str
) -> None:
    command, *options = arguments
    done = find(command, *TINY, *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def results_of(fields: dict[str, Any], seeds: int, **ramp: float) -> list[RunResult]:
    runs = (
        lr_runs(fields, seeds=seeds, **ramp)
        if ramp
        else [run for size in (8, 32, 128) for run in batch_runs(fields, size=size, seeds=seeds)]
    )
    return [RunResult(run, "done", "", {}, tuple(train(run, dataset=DATA))) for run in runs]


def test_a_stage_finds_an_lr_range_for_each_group() -> None:
    results = [
        result
        for optimizer in ("adam", "sgd")
        for result in results_of({**FIELDS, "optimizer": optimizer, "steps": 100}, 2, start=1e-7, end=1.0)
    ]
    found = FINDINGS["lr_range"](results, ["optimizer.name"])
    assert [fields["optimizer"]["name"] for fields in found] == ["adam", "sgd"]
    assert all(fields["lr_min"] < fields["suggestion"] <= fields["lr_max"] for fields in found)
    flat = results_of({**FIELDS, "steps": 40}, 1, start=1e-12, end=1e-10)
    assert FINDINGS["lr_range"](flat, []) == []


def test_a_stage_finds_a_batch_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "losslab.ranges.batch_algorithm.find_fall", lambda curve, error: find_fall(-curve * 0 - np.arange(3), 0)
    )
    found = FINDINGS["batch_range"](results_of({**FIELDS, "lr": 0.01, "steps": 20}, 2), [])
    assert [(fields["b_min"], fields["b_max"]) for fields in found] == [(8, 128)]


def test_a_run_too_large_for_memory_starts_again_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    import losslab.ranges.plan_runs as module

    def limited(run: Any, **arguments: Any) -> Any:
        if (run.max_micro_batch or 64) > 16:
            raise OutOfMemory(0)
        return train(run, **arguments)

    monkeypatch.setattr(module, "train", limited)
    run = make_run({**FIELDS, "lr": 0.01, "batch": 64, "steps": 3})
    assert train_trace(run, DATA).micro_batch == 16


def test_runs_of_one_seed_start_from_the_same_weights_at_every_size() -> None:
    hashes = [
        train_trace(run, DATA).weights_sha256
        for size in (8, 64)
        for run in batch_runs({**FIELDS, "lr": 0.01, "steps": 2}, size=size, seeds=2)
    ]
    assert hashes[:2] == hashes[2:]
    assert hashes[0] != hashes[1]
    with pytest.raises(InvalidInput):
        lr_runs({**FIELDS, "data": "none"}, start=1e-3, end=1.0, seeds=1)


def test_the_documented_study_feeds_its_range_to_the_training_after_it(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "range-tests.md").read_text()
    text = page.split("```toml\n")[1].split("```")[0]
    for fashion, tiny in (("fashion-mnist", "samples:tiny_data"), ("lenet5", "mlp(hidden=[16])"), ("64", "8")):
        text = text.replace(f'"{fashion}"', f'"{tiny}"').replace(f"batch = {fashion}", f"batch = {tiny}")
    (tmp_path / "study.toml").write_text(f'name = "doc"\ntitle = "Doc"\n{text}')
    ramps, after = load_study(str(tmp_path / "study.toml")).stages
    results = [RunResult(run, "diverged", "", {}, _records(run)) for run in expand(ramps)]
    found = FINDINGS["lr_range"](results, ramps.group)
    (run,) = expand(after, {"range": found}, earlier=[ramps])
    assert isinstance(run.lr, Choice)
    assert run.lr.options == {"base_lr": found[0]["lr_min"], "max_lr": found[0]["lr_max"]}
    assert FINDINGS["lr_range"](results[:1], ["optimizer.name"])[0]["optimizer"]["name"] == "sgd"


def _records(run: Run) -> tuple[Record, ...]:
    """What a run folder keeps of a run, whether it diverged or not."""
    records: list[Record] = []
    with contextlib.suppress(Diverged):
        for record in train(run, dataset=DATA):
            records.append(record)
    return tuple(records)


def test_an_optimizer_of_another_model_is_refused() -> None:
    model, other = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)
    with pytest.raises(ValueError, match="`optimizer` trains no parameter of `model`"):
        losslab.find_lr(model, [], torch.optim.SGD(other.parameters(), lr=0.1))
