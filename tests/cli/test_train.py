"""``losslab train``: what it prints, keeps, draws and refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from losslab.cli import run_command
from losslab.cli.train_text import untrained_loss
from losslab.data import load
from losslab.records import Steps
from losslab.spec import make_run
from losslab.training.evaluation import evaluate, weights_sha256
from losslab.training.parts import prepare
from losslab.training.state import make_task, new_state

TRAIN = [
    *("train", "--data", "samples:tiny_data", "--model", "mlp(hidden=[8])"),
    *("--optimizer", "adam", "--lr", "0.01", "--epochs", "1"),
]


class Done:
    """What a command printed and its exit code."""

    def __init__(
        self, arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
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
        (
            ["--batch", "10000"],
            "`batch` (=10000) exceeds the 207 training samples of samples:tiny_data; give at most",
        ),
        (
            ["--batch", "10000", "--dry-run"],
            "`batch` (=10000) exceeds the 207 training samples",
        ),
        (["--epochs", "nan"], "epochs"),
        (["--steps", "3"], "give exactly one of `epochs` and `steps`"),
        (["--model", "mlp(hiden=[3])"], "did you mean 'hidden'"),
        (["--model", "mlp(3)"], "not of the form"),
        (["--optimizer", "adam(betas=(0.9, 1.5))"], "betas"),
        (["--model", "no_such_module:net"], "cannot import no_such_module"),
        (["--model", "samples:nothing"], "has no 'nothing'"),
        (["--model", "samples:counting(count=3)"], "not a torch.nn.Module"),
        (["--learning", "3"], "learning"),
        (
            ["--lr", "one_cycle(max_lr=1, up_fraction=0.1)"],
            "over 4 steps: `steps` (=4) with `up_fraction` (=0.1)",
        ),
        (["--lr", "triangular(base_lr=1)"], "triangular needs `max_lr`"),
        (["--figure", "run.gif"], "--figure run.gif: must end in one of .pdf, .png, .svg"),
        (["--figure", "nowhere/run.png"], "there is no folder nowhere"),
    ],
)
def test_wrong_input_ends_in_one_line_and_code_2(
    losslab: Callable[..., Done], change: list[str], message: str
) -> None:
    changed = {word.partition("=")[0] for word in change}
    kept = [
        word
        for name, value in zip(TRAIN[1::2], TRAIN[2::2], strict=True)
        if name not in changed
        for word in (name, value)
    ]
    done = losslab(TRAIN[0], *kept, *change)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_divergence_ends_in_one_line_and_code_1(losslab: Callable[..., Done]) -> None:
    arguments = ["samples:nan_after" if word.startswith("mlp") else word for word in TRAIN]
    done = losslab(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "the loss became nan at step 3; a smaller `lr` is the usual cure" in done.stderr


def test_a_loss_that_ends_far_above_its_start_is_said_to_diverge(
    losslab: Callable[..., Done], tmp_path: Path
) -> None:
    arguments = ["100" if word == "0.01" else word for word in TRAIN]
    for _ in range(2):  # trained, then read from the folder
        done = losslab(*arguments, "--out", tmp_path / "run")
        assert done.returncode == 1
        assert "the training diverges: its loss went from" in done.stderr.splitlines()[-1]
    assert json.loads((tmp_path / "run" / "status.json").read_text())["status"] == "done"


def test_records_come_as_json_lines(losslab: Callable[..., Done]) -> None:
    kinds = [json.loads(line)["kind"] for line in losslab(*TRAIN, "--json").stdout.splitlines()]
    assert kinds == ["start", "steps", "evaluation", "final"]


def test_a_run_in_a_folder_is_kept_and_not_repeated(
    losslab: Callable[..., Done], tmp_path: Path
) -> None:
    first = losslab(*TRAIN, "--out", tmp_path).stdout
    assert "test loss" in first
    # A machine that stands still for a minute leaves a checkpoint, too.
    names = {path.name for path in tmp_path.iterdir()} - {"checkpoints"}
    assert names == {"run.json", "records.jsonl", "status.json", "lease"}
    again = losslab(*TRAIN, "--out", tmp_path)
    assert again.stdout == first
    assert "this run is done already" in again.stderr
    other = losslab(*TRAIN, "--seed", 5, "--out", tmp_path)
    assert (other.returncode, "holds another run" in other.stderr) == (2, True)


CYCLES = [
    "--lr",
    "exp_range(base_lr=1e-3, max_lr=1e-2)",
    "--batch",
    "exp_range(b_min=8, b_max=64)",
    "--epochs",
    "4",
]


def test_a_dry_run_prints_the_timeline_and_trains_nothing(
    losslab: Callable[..., Done], tmp_path: Path
) -> None:
    done = losslab(
        *TRAIN[:7],
        *CYCLES,
        "--dry-run",
        "--out",
        tmp_path / "run",
        "--figure",
        tmp_path / "plan.png",
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "207 training images; 26 steps, 4 epochs, 828 images seen, 4 evaluations"
    assert lines[1].startswith("batch size 11 to 64, learning rate 0.001 to")
    assert lines[2].split() == ["step", "epoch", "batch", "size", "lr"]
    assert lines[3].split() == ["0", "0.00", "64", "0.001"]
    table, curves = lines[3:20], lines[20:]
    assert all(len(line.split()) == 4 for line in table)
    assert [line for line in curves if line in ("learning rate", "batch size")] == [
        "learning rate",
        "batch size",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["plan.png"]


def test_a_dry_run_draws_no_curve_of_a_number(losslab: Callable[..., Done]) -> None:
    lines = losslab(
        *TRAIN[:7], "--lr", "cosine(1e-2)", "--batch", 8, "--epochs", 1, "--dry-run"
    ).stdout.splitlines()
    assert [line for line in lines if line in ("learning rate", "batch size")] == [
        "learning rate"
    ]


@pytest.mark.parametrize(
    ("lr", "message"),
    [
        ("cosine()", "cosine needs `high`: cosine(high=...)"),
        ("0,001", "`lr` (='0,001'): is no number; write it with a point (=0.001)"),
    ],
)
def test_a_learning_rate_that_cannot_be_meant_is_one_line(
    losslab: Callable[..., Done], lr: str, message: str
) -> None:
    done = losslab(*TRAIN[:7], "--lr", lr, "--epochs", 1, "--dry-run")
    assert (done.returncode, message in done.stderr, len(done.stderr.splitlines())) == (
        2,
        True,
        1,
    )


def test_a_dry_run_as_json_is_what_the_run_then_does(losslab: Callable[..., Done]) -> None:
    planned = json.loads(losslab(*TRAIN[:7], *CYCLES, "--dry-run", "--json").stdout)
    rows = [
        json.loads(line) for line in losslab(*TRAIN[:7], *CYCLES, "--json").stdout.splitlines()
    ]
    steps = [row for row in rows if row["kind"] == "steps"]
    for field in ("lr", "batch_size"):
        assert planned[field] == [value for row in steps for value in row[field]]
    assert planned["total_steps"] == rows[0]["total_steps"] == len(planned["epoch"])
    assert planned["evaluations"] == sum(row["kind"] == "evaluation" for row in rows)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_run_is_drawn(losslab: Callable[..., Done], tmp_path: Path, suffix: str) -> None:
    picture = tmp_path / f"run{suffix}"
    assert losslab(*TRAIN[:7], *CYCLES, "--figure", picture).returncode == 0
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    assert picture.read_bytes().startswith(starts[suffix])
    if suffix == ".svg":
        assert all(
            f"<!-- {label} -->" in picture.read_text()
            for label in ("validation", "learning rate", "loss")
        )


def test_a_run_in_a_folder_is_drawn_from_all_its_records(
    losslab: Callable[..., Done], tmp_path: Path
) -> None:
    assert losslab(*TRAIN, "--out", tmp_path / "run").returncode == 0
    assert (
        losslab(*TRAIN, "--out", tmp_path / "run", "--figure", tmp_path / "run.png").returncode
        == 0
    )
    assert (tmp_path / "run.png").exists()


def test_a_run_that_diverged_is_drawn_too(losslab: Callable[..., Done], tmp_path: Path) -> None:
    arguments = ["samples:nan_after" if word.startswith("mlp") else word for word in TRAIN]
    assert losslab(*arguments, "--figure", tmp_path / "run.png").returncode == 1
    assert (tmp_path / "run.png").exists()


def test_a_folder_that_cannot_be_written_is_one_line(
    losslab: Callable[..., Done], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = losslab(*TRAIN, "--out", tmp_path / "file" / "run")
    assert (done.returncode, done.stderr.count("\n")) in [(1, 1), (2, 1)]


@pytest.mark.parametrize(
    "command",
    [
        "",
        "train",
        "study",
        "study run",
        "study plan",
        "study list",
        "study resume",
        "data",
        "data show",
        "report",
        "export",
    ],
)
def test_every_command_has_help(losslab: Callable[..., Done], command: str) -> None:
    done = losslab(*command.split(), "--help")
    assert done.returncode == 0
    if command not in ("", "study", "data"):
        assert "Example: losslab" in done.stdout


@pytest.mark.parametrize(
    ("sizes", "first"),
    [([64, 64, 64], 2.0), ([32, 32, 32], 2.0), ([1] * 3, 4.0), ([20, 20, 20], 3.0)],
)
def test_the_untrained_loss_is_that_of_the_first_samples_or_the_first_batch(
    sizes: list[int], first: float
) -> None:
    record = Steps(0, [0.1] * 3, sizes, [2.0, 4.0, 6.0], [], 1.0)
    assert untrained_loss(record) == first


def test_a_loss_that_diverges_at_once_is_not_that_of_the_untrained_network() -> None:
    record = Steps(0, [0.1] * 4, [8] * 4, [2.0, 3.0, 100.0, 1000.0], [], 1.0)
    assert untrained_loss(record) == 2.5


def test_a_file_that_a_loss_of_ones_own_misses_is_told_with_the_line_that_reads_it(
    losslab: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reads_weights.py").write_text(
        "def loss(model, batch):\n    open('none.txt')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--data", "samples:tiny_data", "--model", "mlp", "--loss", "reads_weights:loss"]
    done = losslab("train", *words, "--optimizer", "adam", "--lr", 0.1, "--epochs", 1)
    assert done.returncode == 1
    assert "FileNotFoundError: [Errno 2] No such file or directory: 'none.txt'" in done.stderr
    assert "reads_weights.py, line 2)" in done.stderr


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (["--data", ""], 2, "--data is empty; give a data set or a path"),
        (
            ["--model", "no_such_module:f"],
            2,
            "call losslab in the folder of no_such_module.py\n",
        ),
        (["--out", "~no-such-user/run"], 2, "~no-such-user"),
    ],
)
def test_a_word_that_names_nothing_is_one_line(
    losslab: Callable[..., Done],
    change: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "~no-such-user").write_text("a file")
    monkeypatch.chdir(tmp_path)
    option, value = change
    words = [*TRAIN, "--out", "run"]
    words[words.index(option) + 1] = value
    done = losslab(*words)
    assert done.returncode == code
    assert message in done.stderr
    assert ", line " not in done.stderr


@pytest.mark.parametrize("folder", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        ["--optimizer", "rmsprop-nesterov"],
        ["--average", "ema(decay=0.5)"],
        ["--average", "equal(start=0.99)", "--batch", "128"],
        [],
    ],
    ids=["at its iterate", "averaged", "no average yet", "as they are"],
)
def test_trained_weights_are_kept(
    losslab: Callable[..., Done], folder: bool, options: list[str], tmp_path: Path
) -> None:
    path, out = tmp_path / "trained.safetensors", ["--out", tmp_path / "run"] if folder else []
    words = [*TRAIN]
    if options[:1] == ["--optimizer"]:
        words[words.index("--optimizer") + 1] = options[1]
    else:
        words += options
    done = losslab(*words, *out, "--weights", path, "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    dataset = load("samples:tiny_data")
    spec = {"data": "samples:tiny_data", "model": "mlp(hidden=[8])", "optimizer": "adam"}
    run = make_run({**spec, "lr": 0.01, "batch": 64, "epochs": 1})
    state = new_state(run, dataset)
    state.model.load_state_dict(load_file(path))
    (final,) = (row for row in rows if row["kind"] == "final")
    if "ema(decay=0.5)" in options:
        task, test = make_task(run), prepare(run, dataset, "contiguous").test
        assert test is not None
        scores = evaluate(state.model, test, task.loss, task.metrics)
        assert scores.loss == pytest.approx(final["metrics"]["averaged_test_loss"], rel=1e-12)
    else:
        assert weights_sha256(state.model) == final["weights_sha256"]


def test_weights_that_a_finished_run_did_not_keep_are_not_made_up(
    losslab: Callable[..., Done], tmp_path: Path
) -> None:
    out, path = tmp_path / "run", tmp_path / "trained.safetensors"
    assert losslab(*TRAIN, "--out", out).returncode == 0
    done = losslab(*TRAIN, "--out", out, "--weights", path)
    assert done.returncode == 2
    assert "is done and kept none; train it again into another --out" in done.stderr
    assert losslab(*TRAIN, "--weights", tmp_path / "trained.pt").returncode == 2
