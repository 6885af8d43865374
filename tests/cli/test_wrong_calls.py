"""Wrong calls of every command end in one line and exit code 2, and leave nothing behind."""

from pathlib import Path

import pytest

from losslab.cli import run_command

DATA = ("--data", "samples:tiny_data")
MODEL = ("--model", "mlp(hidden=[8])")
TRAIN = ("train", *DATA, *MODEL, "--optimizer", "adam", "--lr", "0.01", "--epochs", "1")
FIND_LR = ("find", "lr", *DATA, *MODEL, "--steps", "20", "--seeds", "1")
FIND_BATCH = (
    "find",
    "batch",
    *DATA,
    *MODEL,
    "--lr",
    "0.1",
    "--sizes",
    "8,16",
    "--steps",
    "3",
    "--seeds",
    "1",
)
SAMPLE = "fashion-mnist-sample"

WRONG = [
    (TRAIN, ("--batch", "10000"), "exceeds the 207 training samples of samples:tiny_data"),
    (TRAIN, ("--lr", "0,001"), "is no number; write it with a point"),
    (TRAIN, ("--lr", "cosin(1e-3)"), "did you mean 'cosine'"),
    (TRAIN, ("--lr", "0"), "must be a number greater than 0"),
    (TRAIN, ("--batch-size", "8"), "unknown option --batch-size; did you mean --batch?"),
    (TRAIN, ("--dataset", "cifar10"), "unknown option --dataset; did you mean --data?"),
    (
        TRAIN,
        ("--device", "gpu"),
        "--device (=gpu) must be cpu, cuda, cuda:1, cuda:0,1, mps, xpu or auto",
    ),
    (TRAIN, ("--threads", "0"), "--threads (=0) must be at least 1"),
    (TRAIN, ("--epochs", "0"), "epochs"),
    (TRAIN, ("--seed", "x"), "--seed"),
    (TRAIN, ("--seed", "2.7"), "--seed (=2.7) must be a whole number"),
    (TRAIN, ("--out=",), "--out is empty"),
    (TRAIN, ("--momentum", "0.9"), "optimizer, such as 'sgd(momentum=0.9)'"),
    (TRAIN, ("--augment", "flop"), "did you mean 'flip'"),
    (TRAIN, ("--repeats", "0"), "repeats"),
    (TRAIN, ("--max-micro-batch", "0"), "max_micro_batch"),
    (TRAIN, ("--weight-decay", "-1"), "weight_decay"),
    (TRAIN, ("--train-images", "0"), "train_images"),
    (TRAIN, ("--train-images", "100000"), "must be from 1 to 207"),
    (TRAIN, ("--validation-fraction", "1.5"), "validation_fraction"),
    (TRAIN, ("--layout", "nchw"), '"contiguous", "channels_last"'),
    (TRAIN, ("--figure", "missing/run.png"), "there is no folder missing"),
    (
        ("train", *DATA, *MODEL),
        ("--learning-rate", "0.1"),
        "unknown option --learning-rate; did you mean --lr?",
    ),
    (("train",), (), "--model is missing; `losslab train --help`"),
    (("trane",), (), 'Did you mean "train"?'),
    (FIND_LR, ("--seeds", "1.4"), "--seeds (=1.4) must be a whole number"),
    (FIND_LR, ("--start", "-1"), "`start` (=-1.0) must be a number above 0"),
    (FIND_LR, ("--start", "2", "--end", "1"), "swap them?"),
    (FIND_LR, ("--min", "1e-6"), "unknown option --min; did you mean --start?"),
    (FIND_LR, ("--device", "gpu"), "--device (=gpu) must be cpu"),
    (FIND_LR, ("--threads", "0"), "--threads (=0) must be at least 1"),
    (FIND_LR, ("--start", "1", "--end", "0.1"), "swap them?"),
    (FIND_LR, ("--rule", "best"), "unknown rule 'best'"),
    (FIND_LR, ("--mode", "rmap"), "did you mean 'ramp'"),
    (FIND_LR, ("--batch", "0"), "batch"),
    (FIND_LR, ("--seeds", "0"), "`seeds` (=0) must be at least 1"),
    (FIND_BATCH, ("--device", "gpu"), "--device (=gpu) must be cpu"),
    (FIND_BATCH, ("--sizes", "8"), "two or more increasing whole numbers"),
    (FIND_BATCH, ("--sizes", "16,8"), "two or more increasing whole numbers"),
    (FIND_BATCH, ("--sizes", "8,100000"), "has 207 training images; give two sizes"),
    (FIND_BATCH, ("--max-micro-batch", "0"), "max_micro_batch"),
    (FIND_BATCH, ("--lr", "x"), "--lr"),
    (FIND_BATCH, ("--lr", "0,1"), "--lr (=0,1) must be a number; write it with a point: 0.1"),
    (FIND_BATCH, ("--batch", "8"), "unknown option --batch; did you mean --sizes?"),
    (FIND_BATCH, ("--mode", "brnch"), "did you mean 'branch'"),
    (FIND_BATCH, ("--mode", "branch", "--after", "3,1"), "increasing whole numbers of steps"),
    (
        FIND_BATCH[:-6],
        ("--train-images", "100"),
        "begin 64, 128, and samples:tiny_data has 100",
    ),
    (FIND_BATCH, ("--optimizer", "adm"), "did you mean 'adam'"),
    (FIND_LR, ("--batch", "10000"), "exceeds the 207 training samples of samples:tiny_data"),
    (FIND_LR, ("--batch", "linear_ramp(2, 8)"), "must be a whole number, such as 100"),
    (FIND_LR, ("--steps", "1e3"), "--steps (=1e3) must be a whole number"),
    (FIND_LR, ("--end", "ten"), "--end (=ten) must be a number, such as 0.001 or 1e-3"),
    (FIND_LR, ("--candidates", "1"), "--candidates (=1) is for --mode grid alone"),
    (FIND_LR, ("--mode", "grid", "--candidates", "1"), "`candidates` (=1) must be at least 2"),
    (FIND_LR, ("--model", "edge_samples:frozen"), "has nothing to train"),
    (FIND_LR, ("--model", "lenet6"), "did you mean 'lenet5'"),
    (FIND_LR, ("--data", "edge_samples:empty"), "`train` of the data has no samples"),
    (FIND_LR, ("--data", "cifar"), "did you mean 'cifar10'"),
    (FIND_LR[:4], (), "--model is missing; `losslab find lr --help`"),
    (TRAIN, ("--epochs", "1,5"), "write it with a point: 1.5"),
    (TRAIN, ("--lr", "cosine()"), "cosine needs `high`"),
    (TRAIN, ("--batch", "exp_range(64, 8)"), "must exceed"),
    (TRAIN, ("--loss", "crossentropy"), "did you mean 'cross_entropy'"),
    (TRAIN, ("--metric", "acuracy"), "did you mean 'accuracy'"),
    (TRAIN, ("--optimizer", "torch.optim/RAdamm"), "has no 'RAdamm'; did you mean 'RAdam'?"),
    (TRAIN, ("--model", "edge_samples:no_parameters"), "has nothing to train"),
    (TRAIN, ("--model", "edge_samples:nothing"), "edge_samples has no 'nothing'"),
    (
        FIND_LR,
        ("--model", "norm_samples:vector_norm", "--batch", "103"),
        "give `batch` = 104 or `train_images` = 206",
    ),
    (TRAIN, ("--data", "edge_samples:uneven"), "different numbers of samples"),
    (TRAIN, ("--data", "edge_samples:lazy"), "not a losslab.data.TaskData"),
    (TRAIN, ("--plateau", "reduce(factor=2)"), "must be below 1"),
    (TRAIN, ("--average", "ema(decay=2)"), "must be a number from 0 to below 1"),
    (TRAIN, ("--data-workers", "-1"), "--data-workers (=-1) must be at least 0"),
    (("count",), (), "is missing; `losslab count --help`"),
    (("count", "lenet6"), (), "did you mean 'lenet5'"),
    (("count", "resnet50"), (), "or torchvision/resnet50, timm/resnet50"),
    (("count", "net.py"), (), "name what is in the file: net:Network"),
    (("count", "net.py:Net"), (), "a file is named without .py, and from its folder: net:Net"),
    (
        ("count", "torch.nn:Identity"),
        (),
        "which forward(input) needs; give the shape of one sample",
    ),
    (("count", "mlp(hidden=3"), (), "not of the form"),
    (("count", "no_module:x"), (), "cannot import no_module"),
    (("count", "mlp"), ("--input", "3xax3"), "must be sizes of at least 1 such as 3x224x224"),
    (("count", "mlp"), ("--batch-size", "0"), "batch_size"),
    (("count", "mlp"), ("--training", "--optimizer", "adm"), "did you mean 'adam'"),
    (("count", "mlp"), ("--format", "xml"), '"markdown"'),
    (("count", "mlp"), ("--optimizer", "adam"), "--optimizer (=adam) is for --training alone"),
    (("count", "mlp"), ("--precision", "bf16"), "--precision (=bf16) is for --training alone"),
    (("count", "mlp"), ("--json", "--format", "csv"), "--json and --format (=csv) contradict"),
    (FIND_LR, ("--confirm", "--rule", "steepest"), "--rule (=steepest) is no rule of a race"),
    (
        FIND_LR,
        ("--optimizer", "sgd(momentum=0.8)", "--momentum", "0.9"),
        "--momentum (=0.9) and --optimizer (=sgd(momentum=0.8)) both give one",
    ),
    (("data", "fetch", SAMPLE), ("--source", "npm"), "is part of losslab and comes from no"),
    (("report", ""), (), "FOLDER is empty; give a file or a folder"),
    (("data", "show", "cifar"), (), "did you mean 'cifar10'"),
    (("data", "show", "./none"), (), "./none"),
    (("data", "show", SAMPLE), ("--picture", "x.exe"), "must end in one of .pdf, .png, .svg"),
    (("data", "show", SAMPLE), ("--picture", "missing/x.png"), "there is no folder missing"),
    (("data", "fetch", "nothing"), (), "unknown data set 'nothing'"),
    (("data", "fetch", "cifar10"), ("--source", "nowhere"), "unknown source 'nowhere'"),
    (("data", "list", "cifar10"), (), "`cifar10` is more than the command takes"),
    (("data", "shwo"), (), 'Did you mean "show"?'),
    (("study", "run", "nothing"), (), "unknown study 'nothing'"),
    (("study", "run", "none.toml"), (), "none.toml"),
    (
        ("study", "plan", "adaptive-optimizers"),
        ("--budget", "1s"),
        "--budget (=1s) must be at least 5.0 s",
    ),
    (
        ("study", "plan", "adaptive-optimizers"),
        ("--budget", "10"),
        "must be a duration above zero",
    ),
    (("study", "plan", "architectures"), ("--seeds", "3"), "trains nothing"),
    (("study", "plan", "architectures"), ("--device-tflops", "0"), "must be above 0"),
    (("study", "plan", "architectures"), ("--engine", "slurm"), '"local", "ray"'),
    (("study", "plan", "architectures"), ("--workers", "0"), "must be at least 1"),
    (("study", "resume", "none"), (), "holds no study"),
    (("study", "status", "none"), (), "holds no study"),
    (("report", "none"), (), "holds no study"),
    (("export", "none"), ("--to", "comet"), '"tensorboard", "mlflow"'),
]


@pytest.mark.row(24)
@pytest.mark.parametrize(
    ("call", "change", "message"),
    WRONG,
    ids=[" ".join([*call[:2], *change])[:60] for call, change, _ in WRONG],
)
def test_a_wrong_call_is_one_line_and_changes_nothing(
    call: tuple[str, ...],
    change: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {word for word in change if word.startswith("--")}
    kept = [
        word
        for before, word in zip(("", *call), call, strict=False)
        if not {before, word} & options
    ]
    status = run_command([*kept, *change])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("losslab: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.row(24)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--model", "edge_samples:Late"), "RuntimeError: an error of two lines ("),
        (("--model", "edge_samples:Piping"), "BrokenPipeError: [Errno 32] Broken pipe ("),
        (("--model", "edge_samples:broken_model"), "ZeroDivisionError: in the factory ("),
        (("--data", "edge_samples:torn"), "KeyError: 'no sample "),
    ],
)
def test_an_error_of_the_users_own_code_is_one_line_that_says_where(
    change: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [*TRAIN, "--batch", "20"]
    given[given.index(change[0]) + 1] = change[1]
    assert run_command(given) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("losslab: ")
    assert message in line
    assert "edge_samples.py, line " in line
    assert line.endswith("`python -X dev -m losslab ...` prints the traceback")
