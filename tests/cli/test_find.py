"""``losslab find``: its answers as JSON, as text, as pictures and as files; wrong input in one line."""

import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import losslab
from losslab.cli import run_command
from losslab.cli.find.batch import epoch_at
from losslab.ranges import progress


class Done:
    def __init__(
        self, arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.returncode = run_command([str(argument) for argument in arguments])
        self.stdout, self.stderr = capsys.readouterr()


@pytest.fixture
def find(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    return lambda *arguments: Done(("find", *arguments), capsys)


TINY = ("--data", "samples:tiny_data", "--model", "mlp(hidden=[16])")


def test_find_lr_prints_its_finding_as_json(find: Callable[..., Done]) -> None:
    done = find(
        "lr",
        *TINY,
        "--optimizer",
        "sgd",
        "--momentum",
        0.9,
        "--batch",
        16,
        "--steps",
        200,
        "--seeds",
        2,
        "--json",
    )
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert found["lr_min"] < found["suggestion"] <= found["lr_max"]
    assert (found["rule"], found["found"]) == ("valley", True)
    stated = {
        "loss": "cross_entropy",
        "lrs": [1e-9, 10.0],
        "steps": 200,
        "seeds": 2,
        "batch_sizes": [16],
    }
    assert stated.items() <= found["setting"].items()
    assert found["spread_decades"] < 1
    steps = {len(found["curve"][key]) for key in ("lr", "loss", "smoothed_loss", "accuracy")}
    assert len(steps) == 1


def test_find_batch_prints_its_finding_as_json(find: Callable[..., Done]) -> None:
    arguments = (
        "batch",
        *TINY,
        "--optimizer",
        "sgd",
        "--lr",
        0.03,
        "--sizes",
        "8,32,128",
        "--steps",
        40,
        "--json",
    )
    found = json.loads(find(*arguments).stdout)
    assert {"b_min", "b_max", "noise_scale", "rule", "reason"} <= found.keys()
    assert len(set(found["weights_sha256"])) == 3
    assert found["curve"]["batch_size"] == [8, 32, 128]
    assert found["noise_scale"] > 0


@pytest.mark.parametrize(
    "words",
    [
        ("samples:table", "samples:table_network", "mse"),
        ("samples:tokens", "samples:reader", "causal_lm"),
        ("samples:tokens", "samples:reader", "own_task:token_loss"),
    ],
    ids=["table", "text", "of one's own"],
)
def test_what_is_no_image_by_class_has_a_loss_of_its_own(
    words: tuple[str, str, str], find: Callable[..., Done]
) -> None:
    data, model, loss = words
    shared = ("--data", data, "--model", model, "--loss", loss, "--optimizer", "adam", "--json")
    done = find("lr", *shared, "--batch", 16, "--steps", 100, "--seeds", 1)
    found = json.loads(done.stdout)
    assert found["setting"]["loss"] == loss
    assert found["lr_min"] < found["suggestion"] < found["lr_max"]
    done = find("batch", *shared, "--lr", 0.003, "--sizes", "8,16", "--steps", 10, "--seeds", 1)
    assert json.loads(done.stdout)["setting"]["loss"] == loss


def test_rows_of_a_file_have_a_range(find: Callable[..., Done], tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).standard_normal((400, 8)).astype("float32")
    path = tmp_path / "rows.npz"
    np.savez(path, train_inputs=inputs, train_targets=inputs.sum(1))
    shared = ("lr", "--data", path, "--model", "mlp(hidden=[16])", "--optimizer", "adam")
    done = find(*shared, "--loss", "mse", "--steps", 100, "--seeds", 1, "--json")
    assert json.loads(done.stdout)["found"], done.stderr


def test_a_critical_batch_size_is_that_of_the_loss(find: Callable[..., Done]) -> None:
    sizes = ("--lr", 0.01, "--sizes", "8,16", "--steps", 8, "--seeds", 1, "--mode", "branch")
    smooth = "cross_entropy(label_smoothing=0.5)"
    plain, smoothed = (
        json.loads(find("batch", *TINY, *sizes, "--loss", loss, "--json").stdout)["branches"][0]
        for loss in ("cross_entropy", smooth)
    )
    assert (plain["setting"]["loss"], smoothed["setting"]["loss"]) == ("cross_entropy", smooth)
    assert plain["curve"]["loss"] != smoothed["curve"]["loss"]


def test_find_prints_a_summary_and_a_plot(find: Callable[..., Done]) -> None:
    done = find(
        "lr", *TINY, "--optimizer", "adam", "--steps", 100, "--seeds", 1, "--mode", "ramp"
    )
    assert "suggestion" in done.stdout
    assert "^" in done.stdout
    assert "cross_entropy, batches of 64, 100 steps, 1 seed" in done.stdout
    done = find("batch", *TINY, "--lr", 0.03, "--sizes", "8,32", "--steps", 20, "--seeds", 1)
    assert "samples/s" in done.stdout
    assert (
        "tested with sgd(momentum=0.9, nesterov=False), cross_entropy, lr 0.03, 20 steps, 1 seed"
        in done.stdout
    )


def test_find_says_why_there_is_no_range(find: Callable[..., Done]) -> None:
    done = find(
        "lr", "--data", "samples:tiny_data", "--model", "samples:nan_after(steps=0)", "--json"
    )
    found = json.loads(done.stdout)
    assert (done.returncode, found["found"], found["lr_min"]) == (0, False, None)
    assert found["reason"].startswith(
        "no range found, because the loss is nan at the first step"
    )


def test_find_says_nothing_on_standard_error_without_a_terminal(
    find: Callable[..., Done],
) -> None:
    assert find("lr", *TINY, "--steps", 30, "--seeds", 1).stderr == ""
    sizes = ("batch", *TINY, "--lr", 0.03, "--sizes", "8,16", "--steps", 5, "--seeds", 1)
    assert find(*sizes).stderr == ""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_terminal_shows_the_trainings_and_the_time_left(
    workers: int, find: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        done = find(
            "lr",
            *TINY,
            "--steps",
            40,
            "--seeds",
            2,
            "--workers",
            workers,
            "--threads",
            1,
            "--json",
        )
    shown = terminal.getvalue()
    assert "0 of 2 trainings" in shown
    percents = [int(part) for part in re.findall(r"(\d+)%", shown)]
    assert percents == sorted(percents)
    # A record has ten steps: two epochs of 207 images and two batches of 64, of 4,140 images of both seeds.
    assert (percents[0], percents[-1]) == (13, 100)
    assert json.loads(done.stdout)["setting"]["seeds"] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("lr", "--seeds", 3, "--steps", 60, "--optimizer", "adam"),
        ("batch", "--lr", 0.03, "--sizes", "8,16", "--steps", 30, "--seeds", 2, "--threads", 1),
    ],
    ids=["lr", "batch"],
)
def test_workers_come_to_the_same_bits(
    arguments: tuple[object, ...], find: Callable[..., Done]
) -> None:
    command, *options = arguments
    alone, together = (
        json.loads(find(command, *TINY, *options, "--workers", workers, "--json").stdout)
        for workers in (1, 2)
    )
    for found in (alone, together):  # what is measured in seconds is not the answer
        found["curve"].pop("samples_per_second", None)
        found["curve"].pop("seconds_to_target", None)
    assert alone == together
    assert len(set(alone["curve"]["loss"])) > 1


@pytest.fixture
def undone() -> Iterator[None]:
    """What a process is asked for is asked for good; the other tests are not to have it."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("undone")
@pytest.mark.parametrize("workers", [1, 2])
def test_torch_is_asked_for_algorithms_that_repeat_their_bits(
    workers: int, find: Callable[..., Done]
) -> None:
    words = ("--data", "samples:tiny_data", "--model", "samples:repeatable", "--json")
    words += ("--optimizer", "adam", "--steps", 20, "--seeds", 2)
    words += ("--workers", workers, "--threads", 1)
    done = find("lr", *words, "--deterministic")
    assert done.returncode == 0, done.stderr
    assert (
        find("batch", *words, "--lr", 0.01, "--sizes", "8,16", "--deterministic").returncode
        == 0
    )
    torch.use_deterministic_algorithms(False)
    assert find("lr", *words).returncode != 0


def test_what_is_wrong_with_a_run_is_the_same_line_from_a_worker(
    find: Callable[..., Done],
) -> None:
    wrong = ("lr", "--data", "samples:tiny_data", "--model", "lenet5", "--seeds", 2)
    alone, together = (find(*wrong, "--threads", 1, "--workers", workers) for workers in (1, 2))
    assert "model 'lenet5': `input_shape` (=(3, 6, 6)) must be at least 16x16" in alone.stderr
    assert (alone.returncode, alone.stderr) == (together.returncode, together.stderr)
    assert alone.returncode == 2


def test_an_answer_is_kept_as_a_file_and_drawn(
    find: Callable[..., Done], tmp_path: Path
) -> None:
    def kept(name: str, *arguments: object) -> object:
        out, figure = tmp_path / f"{name}.json", tmp_path / f"{name}.svg"
        done = find(*arguments, "--out", out, "--figure", figure, "--json")
        assert json.loads(done.stdout) == json.loads(out.read_text())
        assert "<svg" in figure.read_text()
        return losslab.read_range(out)

    of_lr = kept("lr", "lr", *TINY, "--optimizer", "adam", "--steps", 100, "--seeds", 1)
    assert isinstance(of_lr, losslab.LrRange)
    assert of_lr.to_dict() == json.loads((tmp_path / "lr.json").read_text())
    assert f"lr_min {of_lr.lr_min:.3g}" in (tmp_path / "lr.svg").read_text()
    sizes = ("batch", *TINY, "--lr", 0.03, "--sizes", "8,16,32", "--steps", 8, "--seeds", 2)
    of_batch = kept("batch", *sizes)
    assert isinstance(of_batch, losslab.BatchRange)
    assert of_batch.to_dict() == json.loads((tmp_path / "batch.json").read_text())
    branches = kept("branch", *sizes, "--mode", "branch", "--after", "0,13")
    assert isinstance(branches, dict)
    facts = json.loads((tmp_path / "branch.json").read_text())
    assert losslab.batch_warmup(branches) == facts["batch"]
    assert "Critical batch size from epoch 0.502" in (tmp_path / "branch.svg").read_text()


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_a_range_that_was_not_found_is_drawn_too(
    suffix: str, find: Callable[..., Done], tmp_path: Path
) -> None:
    picture = tmp_path / f"none{suffix}"
    nan = ("--data", "samples:tiny_data", "--model", "samples:nan_after(steps=0)")
    assert find("lr", *nan, "--figure", picture).returncode == 0
    assert picture.read_bytes()[:4] in (b"\x89PNG", b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lr", "--start", 1, "--end", 1), "swap them"),
        (("lr", "--candidates", 5), "--candidates (=5) is for --mode grid alone"),
        (("lr", "--workers", 0), "--workers (=0) must be at least 1"),
        (("lr", "--out", "found.txt"), "--out found.txt: must end in one of .json"),
        (("lr", "--out", "missing/found.json"), "there is no folder missing"),
        (("lr", "--figure", "found.gif"), "must end in one of .pdf, .png, .svg"),
        (("lr", "--steps", 1), "must be at least 2"),
        (("lr", "--rule", "vally"), "did you mean 'valley'"),
        (("lr", "--mode", "walk"), "unknown mode"),
        (("lr", "--optimizer", "adm"), "did you mean 'adam'"),
        (("lr", "--optimizer", "adam", "--momentum", 0.9), "momentum"),
        (
            ("batch", "--lr", 0.1, "--sizes", "64,4096"),
            "has 207 training images; give two sizes or more",
        ),
        (
            ("lr", "--optimizer", "adam", "--batch", 4096),
            "`batch` (=4096) exceeds the 207 training samples",
        ),
        (("batch", "--lr", 0.1, "--sizes", "64"), "two or more increasing"),
        (
            ("batch", "--lr", 0.1, "--train-images", 58),
            "the default ones begin 64, 128, and samples:tiny_data has 58 training images; give two sizes or more up "
            "to that number, such as --sizes 8,16,32",
        ),
        (("batch", "--lr", 0.1, "--sizes", "many"), "two or more increasing"),
        (("batch", "--lr", -0.1, "--sizes", "8,16"), "greater than 0"),
        (("batch", "--lr", 0.1, "--sizes", "8,16", "--seeds", 0), "seeds"),
        (("batch", "--lr", 0.1, "--sizes", "8,16", "--steps", 0), "steps"),
        (("batch", "--lr", 0.1, "--after", "5"), "--after (=5) is for --mode branch alone"),
        (("batch", "--lr", 0.1, "--scaling", "sqrt"), "--scaling (=sqrt) is for --mode branch"),
        (("batch", "--lr", 0.1, "--tolerance", 0.1), "--tolerance (=0.1) is for --mode branch"),
        (
            ("batch", "--lr", 0.1, "--mode", "branch", "--max-micro-batch", 8),
            "--max-micro-batch (=8) is for --mode steps alone; leave it out, or give --mode steps",
        ),
        (
            ("batch", "--lr", 0.1, "--mode", "branch", "--workers", 2),
            "--workers (=2) is for --mode steps alone",
        ),
        (("batch", "--lr", 0.1, "--out", "found.txt"), "must end in one of .json"),
    ],
)
def test_bad_input_ends_in_one_line_and_code_2(
    find: Callable[..., Done], arguments: tuple[object, ...], message: str
) -> None:
    command, *options = arguments
    done = find(command, *TINY, *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_a_race_confirms_the_suggestion(
    find: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("losslab.ranges.race.FIRST_STEPS", 10)
    monkeypatch.setattr("losslab.ranges.race.STEPS", 20)
    arguments = ("lr", *TINY, "--optimizer", "adam", "--steps", 100, "--seeds", 1, "--confirm")
    done = find(*arguments)
    assert "by rule race" in done.stdout


def test_branches_at_several_moments_make_a_policy(find: Callable[..., Done]) -> None:
    branch = ("batch", *TINY, "--lr", 0.03, "--sizes", "8,16,32", "--steps", 8, "--seeds", 2)
    arguments = (*branch, "--mode", "branch", "--after", "0,13")
    found = json.loads(find(*arguments, "--json").stdout)
    first, second = found["branches"]
    assert (first["epoch"], second["epoch"]) == (0.0, pytest.approx(13 * 8 / 207))
    assert first["curve"]["lr"] == pytest.approx([0.03, 0.06, 0.12])
    assert second["curve"]["loss"][0] < first["curve"]["loss"][0]
    assert found["batch"]["name"] == "piecewise"
    printed = find(*arguments).stdout
    assert "critical batch size" in printed
    assert "batch policy: piecewise(" in printed
    done = find(*branch, "--mode", "branch", "--after", "5,2")
    assert "must be increasing whole numbers of steps" in done.stderr
    assert "did you mean 'branch'" in find(*branch, "--mode", "brunch").stderr


def test_a_moment_is_told_in_epochs_whose_last_batch_may_be_short() -> None:
    assert [epoch_at(step, 512, 600) for step in (0, 1, 2, 10)] == [0, 512 / 600, 1, 5]
