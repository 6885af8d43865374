"""``losslab find``: its answers as JSON, as text and as a plot; wrong input in one line."""

import json
from collections.abc import Callable

import pytest

from losslab.cli import run_command


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
        (
            ("lr", "--optimizer", "adam", "--batch", 4096),
            "`batch` (=4096) exceeds the 207 training samples",
        ),
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
