"""What several commands share."""

import json

import pytest

from losslab.cli import run_command
from losslab.cli.options import check_machine, parse_duration
from losslab.cli.parts import studies_of, with_data
from losslab.errors import DataUnavailable, InvalidInput
from losslab.spec import Run, make_run
from losslab.study.ladder import rungs
from losslab.study.load import study_names
from losslab.training.timeline import Timeline


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5m", 90), ("1h30m", 5400), ("1d", 86400)]
)
def test_a_duration_is_the_sum_of_its_parts(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "s", "-1s", "0s", "1h 30m", "1x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="must be a duration above zero, such as 90s"):
        parse_duration(text)


def test_the_processor_can_always_train() -> None:
    check_machine("cpu", None)
    check_machine("cpu", 1)


@pytest.mark.parametrize("device", ["gpu", "cpu:x"])
def test_a_device_of_no_kind_is_answered_with_the_kinds(device: str) -> None:
    with pytest.raises(
        InvalidInput, match=r"must be cpu, cuda, cuda:1, cuda:0,1, mps, xpu or auto"
    ):
        check_machine(device, None)


def test_seeds_on_the_command_line_are_those_of_every_rung() -> None:
    (study,) = studies_of("batch-augmentation", None, 3)
    for version in rungs(study):
        assert version.stages[-1].floor.seeds == 3


def test_the_words_of_a_training_reach_the_fields_of_its_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    laid_out: list[Run] = []

    def lay_out(run: Run, images: int) -> Timeline:
        laid_out.append(run)
        return Timeline(run, images)

    monkeypatch.setattr("losslab.cli.train.Timeline", lay_out)
    fields = {
        "model": "mlp(hidden=[8])",
        "optimizer": "sgd(momentum=0.5)",
        "lr": "one_cycle(max_lr=0.5)",
        "batch": "exp_range(b_min=8, b_max=32)",
        "repeats": 3,
        "max_micro_batch": 4,
        "epochs": 2,
        "weight_decay": 0.25,
        "parameter_groups": "losslab.models.patchnet:parameter_groups",
        "loss": "cross_entropy(label_smoothing=0.25)",
        "clip_norm": 1.5,
        "average": "ema(decay=0.75)",
        "momentum": "cycled(base_momentum=0.5, max_momentum=0.75)",
        "plateau": "reduce(factor=0.5, patience=7)",
        "precision": "bf16",
        "seed": 9,
    }
    words = [word for name, value in fields.items() for word in (_option(name), str(value))]
    lists = {"augment": ["flip", "cutout(size=3)"], "metrics": ["accuracy", "top_k(k=2)"]}
    words += ["--augment", "flip", "--augment", "cutout(size=3)"]
    words += ["--metric", "accuracy", "--metric", "top_k(k=2)"]
    words += ["--data", "samples:tiny_data", "--train-images", "40"]
    words += ["--validation-fraction", "0.25"]
    assert run_command(["train", *words, "--dry-run"]) == 0
    subset = {"train_images": 40, "validation_fraction": 0.25}
    data = {"name": "samples:tiny_data", **subset}
    assert laid_out == [make_run({**fields, **lists, "data": data})]


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def test_studies_are_listed_by_name_and_title(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["study", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [study["name"] for study in listed] == list(study_names())
    assert run_command(["study", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, study in zip(lines, listed, strict=True):
        assert line.split(maxsplit=1) == [study["name"], study["title"]]


def test_a_study_turns_to_the_sample_where_its_data_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(name: str) -> None:
        raise DataUnavailable(f"{name} could not be had")

    monkeypatch.setattr("losslab.cli.parts.data.load", gone)
    (study,) = studies_of("learning-rate-and-batch-size", None, None)
    with pytest.raises(DataUnavailable):
        with_data(study, False)
    turned = with_data(study, True)
    assert "going on with the embedded sample of Fashion-MNIST" in capsys.readouterr().err
    assert {stage.base["data"] for stage in turned.stages} == {"fashion-mnist-sample"}
    before = [stage.model_dump(exclude={"base"}) for stage in study.stages]
    assert [stage.model_dump(exclude={"base"}) for stage in turned.stages] == before
