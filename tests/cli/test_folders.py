"""What commands do with folders that hold something already, and with readers that go."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_all_studies import all_parts
from fake_study import part_one

from losslab.cli import run_command
from losslab.errors import InvalidInput, StoreError
from losslab.records import from_row
from losslab.study.store import RunFolder, StudyFolder

SAMPLE = "fashion-mnist-sample"
RUN = [
    *("train", "--data", SAMPLE, "--model", "mlp(hidden=[4])", "--optimizer", "adam"),
    *("--lr", "0.01", "--steps", "30", "--batch", "8", "--threads", "1"),
]
STUDY = """
name = "small"
title = "Small"
[[stages]]
name = "only"
[stages.base]
data = "fashion-mnist-sample"
model = "mlp(hidden=[4])"
optimizer = "adam"
lr = {lr}
batch = 500
epochs = 1
"""


def test_a_study_with_runs_is_not_replaced_by_another_of_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, out = tmp_path / "small.toml", tmp_path / "out"
    words = ["study", "run", str(spec), "--workers", "1", "--quiet", "--out", str(out)]
    spec.write_text(STUDY.format(lr=0.1))
    assert run_command([*words, "--full"]) == 0
    kept = (out / "study.json").read_bytes()
    assert run_command([*words, "--budget", "9s"]) == 2
    assert "holds 'small' at its full scale; choose another folder" in capsys.readouterr().err
    spec.write_text(STUDY.format(lr=0.2))
    assert run_command([*words, "--full"]) == 2
    assert "with another rung, number of seeds or text" in capsys.readouterr().err
    assert (out / "study.json").read_bytes() == kept
    spec.write_text(STUDY.format(lr=0.1))
    assert run_command([*words, "--full"]) == 0
    assert run_command([*words, "--full", "--budget", "1m"]) == 2


def test_a_study_is_not_run_in_the_folder_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, spec = tmp_path / "run", tmp_path / "small.toml"
    assert run_command([*RUN, "--out", str(out)]) == 0
    spec.write_text(STUDY.format(lr=0.1))
    assert run_command(["study", "run", str(spec), "--full", "--out", str(out)]) == 2
    assert f"--out {out}: holds a run; choose another folder" in capsys.readouterr().err
    assert not (out / "runs").exists()


def test_a_run_that_is_done_prints_its_records_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*RUN, "--json", "--out", str(tmp_path / "run")]
    assert run_command(words) == 0
    first = capsys.readouterr().out
    assert run_command(words) == 0
    again = capsys.readouterr()
    assert again.out == first
    assert again.err.startswith("losslab: ")


def test_a_run_goes_on_when_its_reader_has_gone(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "losslab", *RUN, "--out", str(tmp_path / "run")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 0
    assert RunFolder(tmp_path / "run").status["status"] == "done"


def test_a_command_ends_without_a_word_when_its_reader_has_gone(tmp_path: Path) -> None:
    words = [sys.executable, "-u", "-m", "losslab", *RUN]
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(words, stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_folder_that_cannot_be_made_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "run"
    assert run_command([*RUN, "--out", str(out)]) == 2
    assert f"{out}: cannot be written (Not a directory)" in capsys.readouterr().err


def test_the_state_of_several_studies_is_shown_one_after_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    all_parts(tmp_path)
    names = [path.parent.name for path in tmp_path.glob("*/study.json")]
    assert run_command(["study", "status", str(tmp_path), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(names)
    assert run_command(["study", "status", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert set(names) <= {line.strip() for line in lines}
    run_id = StudyFolder(tmp_path / "adaptive-optimizers").plan["stages"][0]["runs"][0]
    assert any(run_id in line for line in lines)  # no cell is folded in a pipe
    assert run_command(["study", "pack", str(tmp_path), "--out", str(tmp_path / "kept")]) == 2
    assert "give one of those in it: adaptive-optimizers" in capsys.readouterr().err


def test_damaged_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = part_one(tmp_path, epochs=2)
    run_id = folder.plan["stages"][0]["runs"][0]
    (folder.run_folder(run_id).path / "run.json").write_text("{}")
    assert run_command(["study", "status", str(tmp_path)]) == 0
    assert f"runs/{run_id}/run.json: " in capsys.readouterr().err
    (tmp_path / "study.json").write_text("{}")
    assert run_command(["study", "status", str(tmp_path)]) == 1
    assert "study.json: not what losslab writes" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{}", "[]", '{"run": 3'])
def test_a_run_json_without_its_run_is_a_fault_of_the_store(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(StoreError, match=r"run\.json: "):
        _ = RunFolder(tmp_path).run


def test_a_row_that_is_no_object_is_no_record() -> None:
    with pytest.raises(ValueError, match="not a record"):
        from_row([3])


def test_an_export_names_the_runs_that_it_could_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    folder = part_one(tmp_path / "study", epochs=2)
    run_id = folder.plan["stages"][0]["runs"][0]
    (folder.run_folder(run_id).path / "records.jsonl").write_text("[3]\n")
    assert run_command(["export", str(folder.path), "--to", "tensorboard"]) == 1
    printed = capsys.readouterr()
    assert "35 runs in " in printed.out
    assert run_id in printed.err


def test_a_path_at_home_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_command([*RUN, "--out=~/run"]) == 0
    assert RunFolder(tmp_path / "run").status["status"] == "done"


def test_an_interrupt_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("losslab.cli.train.make_run", interrupt)
    assert run_command(RUN) == 130
    assert capsys.readouterr().err == "losslab: interrupted\n"


def test_data_of_few_images_are_shown_without_a_validation_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    images, labels = np.zeros((3, 8, 8), np.uint8), np.arange(3)
    images[0, 0, 0] = 255
    parts = {"train_images": images, "train_labels": labels}
    np.savez(tmp_path / "few.npz", **parts, test_images=images, test_labels=labels)
    assert run_command(["data", "show", str(tmp_path / "few.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sizes"]["validation"] == 0


def test_an_own_forward_that_fails_is_said_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_boom.py").write_text(
        "import torch\n\nclass Boom(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.line = torch.nn.Linear(784, 10)\n\n    def forward(self, x):\n        raise ValueError('boom')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = list(RUN)
    words[words.index("--model") + 1] = "own_boom:Boom"
    assert run_command(words) == 2
    assert "ValueError: boom (" in (line := capsys.readouterr().err)
    assert "own_boom.py, line 9); `python -X dev" in line


def test_a_network_of_the_mission_takes_the_shape_of_the_data() -> None:
    from losslab.choice import Choice
    from losslab.models import build_model

    network = build_model(Choice(name="patchnet"), input_shape=(1, 28, 28), classes=7)
    assert [parameter.shape[0] for parameter in network.parameters()][-1] == 7
    with pytest.raises(InvalidInput, match="must be a list of numbers of units"):
        build_model(Choice(name="mlp", hidden=[-1]), input_shape=(1, 28, 28), classes=7)


def test_a_study_goes_on_with_other_workers_and_never_with_other_bits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, out = tmp_path / "small.toml", tmp_path / "out"
    spec.write_text(STUDY.format(lr=0.1))
    words = ["study", "run", str(spec), "--full", "--quiet", "--out", str(out)]
    assert run_command([*words, "--workers", "1"]) == 0
    for option, before in (
        (["--threads", "2"], "--threads (=2): the study was begun with 1 thread"),
        (["--layout", "channels_last"], "--layout (=channels_last): the study was begun with"),
        (["--compile-step"], "--compile-step: the study was begun with steps that are not"),
    ):
        assert run_command([*words, *option]) == 2
        assert before in capsys.readouterr().err
    facts = StudyFolder(out).plan
    for fields, before in (
        ({"device": "cuda"}, "--device (=cpu): the study was begun with --device cuda"),
        ({"deterministic": True}, "--deterministic: the study was begun with it"),
    ):
        StudyFolder(out).write_plan(facts | fields)
        assert run_command(words) == 2
        assert before in capsys.readouterr().err
    StudyFolder(out).write_plan(facts)
    assert run_command([*words, "--deterministic"]) == 2
    assert "was begun with steps that need not repeat" in capsys.readouterr().err
    assert run_command([*words, "--workers", "0"]) == 2
    assert run_command([*words, "--workers", "3"]) == 0
    assert StudyFolder(out).plan["workers"] == 3
    assert run_command(["study", "resume", str(out), "--quiet", "--workers", "2"]) == 0
    plan = StudyFolder(out).plan
    assert (plan["workers"], plan["most_workers"]) == (2, 3)
    # On another device only where it is named.
    StudyFolder(out).write_plan(plan | {"device": "mps"})
    assert run_command(["study", "resume", str(out), "--quiet"]) == 2
    assert run_command(["study", "resume", str(out), "--quiet", "--device", "cpu"]) == 0
    assert StudyFolder(out).plan["device"] == "cpu"
    capsys.readouterr()


@pytest.mark.usefixtures("no_drawing")
def test_a_page_that_cannot_be_written_may_go_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, full = part_one(tmp_path / "study", epochs=2).path, tmp_path / "file"
    full.write_text("")
    assert run_command(["report", str(folder), "--out", str(full / "page")]) == 2
    assert "cannot be written (Not a directory); choose another for" in capsys.readouterr().err
    out = tmp_path / "page"
    words = ["report", str(folder), "--markdown", "--json", "--out", str(out)]
    assert run_command(words) == 0
    paths = json.loads(capsys.readouterr().out)
    assert paths == {"report": str(out / "report.md"), "figures": str(out / "figures")}
    assert list((out / "figures").iterdir())


def test_what_was_trained_is_read_where_its_data_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data in a folder whose name is no text of a choice, found by a ~ that the shell left."""
    data, out = tmp_path / "photos (1)", tmp_path / "out"
    data.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    np.savez(data / "mine.npz", train_images=images, train_labels=np.arange(60) % 3)
    monkeypatch.setenv("HOME", str(tmp_path))
    words = [word if word != SAMPLE else "~/photos (1)/mine.npz" for word in RUN]
    assert run_command([*words, "--out", str(out)]) == 0
    name = RunFolder(out).run.data.name
    assert name == str(data / "mine.npz")
    shutil.rmtree(data)
    assert RunFolder(out).run.data.name == name
    assert run_command([*words, "--out", str(out)]) == 2
    assert "photos (1)" in capsys.readouterr().err
    assert run_command(["export", str(out), "--to", "tensorboard"]) == 0
