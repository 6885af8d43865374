"""Operations of a plan: what it would take on a device of a known rate."""

from math import ceil

import pytest

from losslab.cli import main
from losslab.spec import make_run
from losslab.study.flops import operations
from losslab.study.store import StudyFolder

MLP_MACS = 784 * 100 + 100 * 10
FIELDS = {
    "data": "fashion-mnist-sample",
    "model": "mlp(hidden=[100])",
    "optimizer": "sgd",
    "lr": 0.1,
    "batch": 64,
}


def test_operations_are_six_a_mac_in_training_and_two_in_evaluation() -> None:
    run = make_run({**FIELDS, "epochs": 3, "repeats": 2})
    trained, evaluated = 3 * 4500 * 2, 3 * (500 + 500) + 1000
    assert operations([run]) == MLP_MACS * (6 * trained + 2 * evaluated)
    assert operations([run, run]) == 2 * operations([run])
    assert operations([]) == 0


def test_steps_count_by_their_batch_size() -> None:
    run = make_run({**FIELDS, "steps": 10, "evaluate": "end", "test": False})
    assert operations([run]) == MLP_MACS * (6 * 640 + 2 * (500 + ceil(4500 / 9)))


def test_a_plan_prices_the_full_study_here_and_on_a_device(
    capsys: pytest.CaptureFixture[str], tmp_path
) -> None:
    study = tmp_path / "mine.toml"
    study.write_text(
        'name = "mine"\ntitle = "Mine"\n[[stages]]\nname = "only"\n[stages.base]\ndata = "fashion-mnist-sample"\n'
        'model = "mlp(hidden=[100])"\noptimizer = "sgd"\nlr = 0.1\nbatch = 64\nepochs = 200\n'
    )
    with pytest.raises(SystemExit, match=r"^0$"):
        main(
            [
                "study",
                "plan",
                str(study),
                "--budget",
                "5m",
                "--workers",
                "1",
                "--threads",
                "1",
                "--device-tflops",
                "0.001",
            ]
        )
    out = capsys.readouterr().out
    assert "the full study takes about" in out
    flops = operations([make_run({**FIELDS, "epochs": 200})])
    assert f"its {flops:.2g} operations" in out
    assert "a device that sustains 0.001 TFLOP/s" in out


def test_all_studies_run_into_a_folder_each_and_go_on_there(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from losslab.cli import parts

    monkeypatch.setattr(parts, "study_names", lambda: ("architectures",))
    for _ in range(2):
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["study", "run", "all", "--budget", "1m", "--out", str(tmp_path), "--quiet"])
    assert StudyFolder(tmp_path / "architectures").plan["ended"]
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["study", "resume", str(tmp_path), "--quiet"])
