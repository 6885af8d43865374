"""Devices by name, on a machine without any and on one that seems to have two GPUs."""

import subprocess
import sys

import pytest
import torch

from losslab.devices import (
    ask_for_determinism,
    device_facts,
    devices_here,
    read_device,
    read_devices,
    sent,
)
from losslab.errors import InvalidInput


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("text", ["cuda", "cuda:0", "cuda:0,1", "mps", "xpu"])
def test_a_device_that_is_not_here_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"this machine has no .*; it has cpu$"):
        read_devices(text)


@pytest.mark.usefixtures("no_gpu")
def test_auto_is_the_processor_where_there_is_nothing_faster() -> None:
    assert read_devices("auto") == ("cpu",)
    assert devices_here() == ["cpu"]


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("cpu", ("cpu",)),
        ("auto", ("cuda",)),
        ("cuda", ("cuda",)),
        ("cuda:1", ("cuda:1",)),
        ("cuda:0,1", ("cuda:0", "cuda:1")),
        ("cuda:1,1", ("cuda:1",)),
    ],
)
def test_a_text_names_devices(text: str, devices: tuple[str, ...]) -> None:
    assert read_devices(text) == devices


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_past_the_last_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidInput, match=r"no cuda:2; it has cuda:0, cuda:1, cpu"):
        read_devices("cuda:0,2")


@pytest.mark.usefixtures("two_gpus")
def test_a_run_trains_on_one() -> None:
    with pytest.raises(InvalidInput, match=r"name one of cuda:0, cuda:1, or start .* torchrun"):
        read_device("cuda:0,1")
    assert read_device("cuda:1") == "cuda:1"


@pytest.mark.parametrize("text", ["", "gpu", "cpu:0", "cuda:", "cuda:a", "cuda:0,", "CPU"])
def test_what_names_no_device_is_answered_with_the_forms(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"must be cpu, cuda, cuda:1, cuda:0,1, mps, xpu"):
        read_devices(text)


def test_the_processor_is_found_without_torch() -> None:
    source = (
        "import sys; from losslab.devices import read_devices; read_devices('cpu'); "
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0


def test_what_is_sent_has_the_values_and_the_device() -> None:
    numbers = torch.arange(3)
    assert sent(numbers, torch.device("cpu")) is numbers
    assert sent(numbers, torch.device("meta")).device.type == "meta"


def test_determinism_is_torchs_and_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    flags = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    try:
        ask_for_determinism()
        assert device_facts("cpu") == {"device": "cpu", "deterministic": True}
        with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
            torch.zeros(2).put_(torch.tensor([0, 0]), torch.ones(2), accumulate=False)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = flags
