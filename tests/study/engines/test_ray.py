"""The Ray engine on a cluster of two nodes on this machine: the same bits as the local engine, whatever is killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
from own_task import STUDY as OWN
from processes import ENVIRONMENT as PLAIN
from processes import losslab, rows

from losslab.errors import InvalidInput
from losslab.files import complete_lines
from losslab.study.engines import ray as ray_engine
from losslab.study.store import RunFolder

pytest.importorskip("ray", reason="Ray is not installed: pip install 'losslab[ray]'")
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PLAIN["RAY_AUTH_MODE"] = os.environ["RAY_AUTH_MODE"] = (
    "disabled"  # whatever token lies in the home folder
)
with socket.socket() as free:
    free.bind(("127.0.0.3", 0))
    PORT = free.getsockname()[1]
ADDRESS = f"127.0.0.3:{PORT}"
ENGINE = ("--engine", "ray", "--address", ADDRESS)
ENVIRONMENT = PLAIN | {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
    "RAY_worker_niceness": "0",
}
STUDY = """
name = "slow"
title = "Slow"
[[stages]]
name = "only"
[stages.base]
data = "fashion-mnist-sample"
model = "samples:slow_net(inputs=784, hidden_dropout=0.3)"
augment = ["pad_crop(padding=2)", "flip"]
batch = "exp_range(b_min=32, b_max=96)"
epochs = 5
[[stages.grid]]
optimizer = "adam"
lr = [0.001, 0.003, 0.01]
"""


def start_node(*arguments: str) -> subprocess.Popen[bytes]:
    """A node in a session of its own, so that its processes can be told from all others."""
    command = [
        "ray.scripts.scripts",
        "start",
        "--block",
        "--num-cpus=1",
        "--object-store-memory=80000000",
        *arguments,
    ]
    return subprocess.Popen(
        [sys.executable, "-m", *command, "--disable-usage-stats"],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_node(node: subprocess.Popen[bytes]) -> None:
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == node.pid:
                process.kill()
    node.wait()


def listens() -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.3", PORT)) == 0


def until(happened: Callable[[], object], driver: subprocess.Popen[str] | None = None) -> None:
    while not happened():
        assert driver is None or driver.poll() is None
        time.sleep(0.05)


@pytest.fixture(scope="module")
def head() -> Iterator[subprocess.Popen[bytes]]:
    """The head of a cluster of two nodes."""
    from ray._raylet import GcsClient

    with TemporaryDirectory(
        prefix="r", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:  # a socket's path is short
        options = (
            "--head",
            f"--port={PORT}",
            "--include-dashboard=false",
            f"--temp-dir={folder}",
        )
        nodes = [start_node("--node-ip-address=127.0.0.3", *options)]
        nodes.append(start_node("--node-ip-address=127.0.0.2", f"--address={ADDRESS}"))
        try:
            until(listens)
            client = GcsClient(address=ADDRESS)
            until(lambda: len(client.get_all_node_info()) == 2)
            yield nodes[0]
        finally:
            for node in nodes:
                kill_node(node)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ray") / "slow.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def unbroken(study: Path) -> dict[str, list[dict[str, Any]]]:
    done = losslab("study", "run", study, "--full", "--out", study.parent / "local", "--quiet")
    assert done.returncode == 0, done.stderr
    return rows(study.parent / "local")


def begin(*arguments: object) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "losslab",
        "study",
        *map(str, arguments),
        *ENGINE,
        "--quiet",
    ]
    return subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)


def rows_at_work(out: Path) -> dict[Path, int]:
    """How many records the runs at work have written, for those that have trained a little."""
    folders = [RunFolder(path.parent) for path in out.glob("runs/*/status.json")]
    counts = {
        f.path: len(complete_lines(f.records_path))
        for f in folders
        if f.status["status"] == "running"
    }
    return {path: count for path, count in counts.items() if count > 5}


@pytest.mark.row(19)
def test_a_study_that_is_stopped_and_loses_a_worker_gives_the_bits_of_the_local_engine(
    head: subprocess.Popen[bytes], study: Path, unbroken: dict[str, list[dict[str, Any]]]
) -> None:
    out = study.parent / "ray"
    driver = begin("run", study, "--full", "--out", out)
    until(lambda: rows_at_work(out), driver)
    before = rows_at_work(out)
    driver.send_signal(signal.SIGINT)
    again = f"go on with the same command, or: losslab study resume {out}"
    assert driver.communicate()[1] == f"losslab: interrupted; {again}\n"
    assert driver.returncode == 130
    for path in before:
        assert RunFolder(path).status["status"] == "interrupted"
        assert list(path.glob("checkpoints/step-*/manifest.json"))

    driver = begin("resume", out)
    until(
        lambda: any(
            count > before.get(path, 99) + 2 for path, count in rows_at_work(out).items()
        ),
        driver,
    )
    victim = next(
        path for path, count in rows_at_work(out).items() if count > before.get(path, 99) + 2
    )
    process = int((victim / "lease").read_text().split()[1])
    assert os.getsid(process) != os.getsid(0)
    os.kill(process, signal.SIGKILL)
    driver.communicate()
    assert driver.returncode == 0
    assert rows(out) == unbroken


def test_a_task_that_loses_every_worker_fails_and_harms_no_other(
    head: subprocess.Popen[bytes],
) -> None:
    code = (
        "from losslab.study.engines import choose_engine; from losslab.study.engines.local import Ended, Task\n"
        f"engine = choose_engine('ray', '{ADDRESS}'); assert engine.slots(1) == 2\n"
        "tasks = [Task('killed', 'samples:killed', ()), Task('good', 'samples:counting', (2,))]\n"
        "tasks += [Task('broken', 'samples:broken', ()), Task('threads', 'samples:threads', ())]\n"
        "for event in engine.run_tasks(tasks, workers=2, threads=1):\n"
        "    print(event.key, getattr(event, 'value', ''), getattr(event, 'error', ''))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    events = done.stdout.splitlines()
    assert [event for event in events if event.startswith("good")] == [
        "good 0 ",
        "good 1 ",
        "good  None",
    ]
    assert [event for event in events if event.startswith("threads")] == [
        "threads 1 ",
        "threads  None",
    ]
    assert "broken  ZeroDivisionError: by mistake" in events
    assert any(event.startswith("killed  its worker was lost 4 times") for event in events)


def test_a_plan_is_priced_where_it_is_to_run(
    head: subprocess.Popen[bytes], study: Path
) -> None:
    planned = losslab("study", "plan", study, "--full", "--json", *ENGINE)
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["workers"] == 2


def test_a_worker_needs_a_machine_with_as_many_cores(
    head: subprocess.Popen[bytes], study: Path
) -> None:
    done = losslab(
        "study", "run", study, "--full", "--out", study.parent / "wide", "--threads", 2, *ENGINE
    )
    last = done.stderr.splitlines()[-1]  # after what was measured
    assert (done.returncode, last) == (
        2,
        "losslab: --threads (=2): no machine of the Ray cluster has so many cores",
    )


def test_a_study_of_ones_own_loses_a_worker_in_each_stage_and_gives_the_bits_of_the_local_engine(
    head: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.toml").write_text(OWN)
    command = ("study", "run", "own.toml", "--full", "--quiet", "--threads", 1, "--out")
    assert losslab(*command, "whole/local").returncode == 0
    # A worker dies by SIGKILL in the middle of a run, and another goes on from its checkpoint.
    for task in ("table", "tokens"):
        Path(f"kill-{task}").write_text("worker")
    done = losslab(*command, "ray", *ENGINE)
    assert done.returncode == 0, done.stderr
    assert not list(Path().glob("kill-*"))
    assert rows(Path("ray")) == rows(Path("whole/local"))


@pytest.mark.row(19)
def test_a_study_whose_cluster_is_lost_resumes_on_this_machine_to_the_same_bits(
    head: subprocess.Popen[bytes], study: Path, unbroken: dict[str, list[dict[str, Any]]]
) -> None:
    out = study.parent / "lost"
    driver = begin("run", study, "--full", "--out", out)
    until(lambda: rows_at_work(out), driver)
    kill_node(head)
    driver.communicate()
    assert driver.returncode == 1
    assert losslab("study", "resume", out, "--quiet").returncode == 0
    assert rows(out) == unbroken


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "127.0.0.4:9",
            "--address 127.0.0.4:9: no Ray cluster can be reached ([Errno 111] Connection refused)",
        ),
        ("nowhere", "--address (=nowhere) must be the host:port of a Ray cluster's head"),
    ],
    ids=["nobody there", "no address"],
)
def test_a_cluster_that_cannot_be_reached_is_said_in_one_line(
    study: Path, address: str, message: str
) -> None:
    done = losslab(
        "study",
        "run",
        study,
        "--out",
        study.parent / "none",
        "--engine",
        "ray",
        "--address",
        address,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"losslab: {message}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("gpus", "text", "device"),
    [(0, "cpu", "cpu"), (0, "auto", "cpu"), (2, "auto", "cuda"), (2, "cuda", "cuda")],
)
def test_a_worker_has_a_gpu_of_its_own_where_the_cluster_has_some(
    monkeypatch: pytest.MonkeyPatch, gpus: int, text: str, device: str
) -> None:
    node = {"Alive": True, "Resources": {"CPU": 8.0, "GPU": float(gpus)}}
    monkeypatch.setattr("ray.nodes", lambda: [node])
    assert ray_engine.read_device(text) == device
    assert ray_engine.slots(2, on_gpu=True) == gpus
    assert ray_engine.slots(2) == 4


@pytest.mark.parametrize("text", ["cuda", "cuda:0", "mps"])
def test_a_cluster_without_gpus_says_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": {"CPU": 8.0}}])
    with pytest.raises(InvalidInput, match=r"they have cpu|give cpu, cuda or auto"):
        ray_engine.read_device(text)


def test_ray_is_imported_only_to_join_a_cluster() -> None:
    code = "import sys, losslab.cli.study, losslab.study.engines.ray; sys.exit('ray' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, env=ENVIRONMENT).returncode
        == 0
    )


def test_without_ray_one_line_says_what_to_install(
    study: Path, tmp_path: Path, unbroken: object
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['ray'] = None")
    command = [
        sys.executable,
        "-m",
        "losslab",
        "study",
        "resume",
        str(study.parent / "local"),
        "--engine",
        "ray",
    ]
    environment = ENVIRONMENT | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), ENVIRONMENT["PYTHONPATH"]])
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install '.[ray]'" in done.stderr
