"""``losslab machine``: what this machine has and can do."""

import json
import os
import platform
from pathlib import Path

import psutil
import pytest
import torch

import losslab
from losslab.cli import run_command
from losslab.data import CATALOG
from losslab.data.loading import stored_path
from losslab.machine.description import OPTIONAL, ceilings
from losslab.machine.process import cores
from losslab.study.engines.local import slots


@pytest.fixture(autouse=True)
def one_try_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("losslab.machine.description.SECONDS", 0.0)


@pytest.fixture
def facts(capsys: pytest.CaptureFixture[str]) -> dict:
    assert run_command(["machine", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_holds_what_torch_psutil_and_the_disk_say(facts: dict) -> None:
    assert (facts["losslab"], facts["torch"]) == (losslab.__version__, torch.__version__)
    assert facts["memory_bytes"] == psutil.virtual_memory().total
    assert facts["threads"] == torch.get_num_threads()
    assert list(facts["optional"]) == list(OPTIONAL)
    assert facts["optional"]["pandas"] == __import__("pandas").__version__
    sample = next(one for one in facts["data"] if one["name"] == "fashion-mnist-sample")
    assert Path(sample["path"]).stat().st_size == sample["bytes"]


def test_data_that_is_not_in_the_cache_is_not_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path))
    run_command(["machine", "--json"])
    assert [one["name"] for one in json.loads(capsys.readouterr().out)["data"]] == [
        "fashion-mnist-sample"
    ]


def test_a_rate_is_work_over_the_fastest_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that gives every try a quarter of a second, whatever the machine does."""
    now = iter(range(10**6))
    monkeypatch.setattr("losslab.machine.description.perf_counter", lambda: next(now) / 4)
    found = ceilings()
    assert (
        found["gemm_gflops_1_thread"]
        == found["gemm_gflops"]
        == pytest.approx(2 * 1024**3 / 1e9 / 0.25)
    )
    assert found["copy_gb_per_second"] == pytest.approx(2 * 128 * 2**20 / 1e9 / 0.25)


def test_the_number_of_threads_is_left_as_it_was() -> None:
    before = torch.get_num_threads()
    ceilings()
    assert torch.get_num_threads() == before


def test_the_table_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["machine"]) == 0
    said = capsys.readouterr().out
    for name in (
        "losslab",
        "torch",
        "python",
        "cores",
        "memory",
        "GFLOP/s",
        "GB/s",
        "data fashion-mnist-sample",
    ):
        assert name in said
    assert str(stored_path(CATALOG["fashion-mnist-sample"])) in "".join(said.split())


def test_version_says_what_a_report_of_a_fault_needs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["--version"]) == 0
    said = capsys.readouterr().out.strip()
    assert said == (
        f"losslab {losslab.__version__}, torch {torch.__version__}, Python {platform.python_version()}"
    )


def test_cores_are_those_that_a_batch_system_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5}, raising=False)
    assert cores() == 2
    assert slots(1) == 2
