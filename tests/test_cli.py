import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from losslab.cli import run_command

TRAIN = [
    *("train", "--data", "samples:tiny_data", "--model", "mlp(hidden=[8])"),
    *("--optimizer", "adam", "--lr", "0.01", "--epochs", "1"),
]


class Done:
    """What a command printed and its exit code."""

    def __init__(self, arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> None:
        self.returncode = run_command([str(argument) for argument in arguments])
        self.stdout, self.stderr = capsys.readouterr()


@pytest.fixture
def losslab(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    return lambda *arguments: Done(arguments, capsys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--optimizer", "adm"], "did you mean 'adam'"),
        (["--model", "mpl"], "did you mean 'mlp'"),
        (["--data", "cifar"], "did you mean 'cifar10'"),
        (["--lr=-0.1"], "`lr` (='-0.1'): must be a number greater than 0"),
        (["--batch", "0"], "`batch` (='0'): must be a number greater than 0"),
        (["--batch", "many"], "batch"),
        (["--epochs", "nan"], "epochs"),
        (["--steps", "3"], "give exactly one of `epochs` and `steps`"),
        (["--model", "mlp(hiden=[3])"], "did you mean 'hidden'"),
        (["--model", "mlp(3)"], "not of the form"),
        (["--optimizer", "adam(betas=(0.9, 1.5))"], "betas"),
        (["--model", "no_such_module:net"], "cannot import no_such_module"),
        (["--model", "samples:nothing"], "has no 'nothing'"),
        (["--model", "samples:counting(count=3)"], "not a torch.nn.Module"),
        (["--learning", "3"], "learning"),
    ],
)
def test_wrong_input_ends_in_one_line_and_code_2(losslab: Callable[..., Done], change: list[str], message: str) -> None:
    option = change[0].partition("=")[0]
    arguments = [*TRAIN, *change]
    if option in TRAIN:
        place = TRAIN.index(option)
        arguments = [*TRAIN[:place], *TRAIN[place + 2 :], *change]
    done = losslab(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_divergence_ends_in_one_line_and_code_1(losslab: Callable[..., Done]) -> None:
    arguments = ["samples:nan_after" if word.startswith("mlp") else word for word in TRAIN]
    done = losslab(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "the loss became nan at step 3; a smaller `lr` is the usual cure" in done.stderr


def test_records_come_as_json_lines(losslab: Callable[..., Done]) -> None:
    kinds = [json.loads(line)["kind"] for line in losslab(*TRAIN, "--json").stdout.splitlines()]
    assert kinds == ["start", "steps", "evaluation", "final"]


def test_a_run_in_a_folder_is_kept_and_not_repeated(losslab: Callable[..., Done], tmp_path: Path) -> None:
    assert "test loss" in losslab(*TRAIN, "--out", tmp_path).stdout
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "records.jsonl", "status.json"}
    assert losslab(*TRAIN, "--out", tmp_path).stdout == ""
    other = losslab(*TRAIN, "--seed", 5, "--out", tmp_path)
    assert (other.returncode, "holds another run" in other.stderr) == (2, True)


def test_a_folder_that_cannot_be_written_is_one_line(losslab: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = losslab(*TRAIN, "--out", tmp_path / "file" / "run")
    assert (done.returncode, done.stderr.count("\n")) in [(1, 1), (2, 1)]


@pytest.mark.parametrize(
    "command",
    ["", "train", "study", "study run", "study plan", "study list", "study resume", "data", "data show", "report"],
)
def test_every_command_has_help(losslab: Callable[..., Done], command: str) -> None:
    done = losslab(*command.split(), "--help")
    assert done.returncode == 0
    if command not in ("", "study", "data"):
        assert "Example: losslab" in done.stdout


@pytest.mark.parametrize(
    "module", ["losslab", "losslab.cli", "losslab.spec", "losslab.cli.study", "losslab.cli.report"]
)
def test_torch_is_not_imported_before_it_is_needed(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
