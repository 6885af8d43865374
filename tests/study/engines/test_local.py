"""The local engine: each task once, in workers whose end harms no other."""

import multiprocessing
import platform
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from processes import ENVIRONMENT

from losslab.machine.memory import CACHED_OPERATIONS, CACHES, X86
from losslab.spec import Study
from losslab.study.costs import Cost, kind_of_run
from losslab.study.engines import Engine
from losslab.study.engines.local import Ended, Task, Yielded, events_of, run_tasks
from losslab.study.execute import execute
from losslab.study.measure import OPERATIONS
from losslab.study.plan import plan_at
from losslab.study.results import read_results
from losslab.study.stages import FULL, expand
from losslab.study.store import StudyFolder


def outcome(
    tasks: list[Task], **arguments: Any
) -> tuple[dict[str, list[Any]], dict[str, str | None]]:
    values: dict[str, list[Any]] = defaultdict(list)
    ends: dict[str, str | None] = {}
    for event in run_tasks(tasks, **{"workers": 2, "threads": 1, **arguments}):
        if isinstance(event, Yielded):
            values[event.key].append(event.value)
        elif isinstance(event, Ended):
            ends[event.key] = event.error
    return values, ends


def test_every_task_runs_once_and_its_values_come_in_order() -> None:
    values, ends = outcome([Task(str(n), "samples:counting", (n,)) for n in range(7)])
    assert {key: list(range(int(key))) for key in ends} == {key: values[key] for key in ends}
    assert ends == dict.fromkeys(map(str, range(7)))


def test_a_task_that_fails_or_dies_harms_no_other() -> None:
    tasks = [Task(name, f"samples:{name}", ()) for name in ("failing", "broken", "killed")]
    values, ends = outcome([*tasks, Task("good", "samples:counting", (2,))])
    assert ends == {
        "failing": "as intended",
        "broken": "ZeroDivisionError: by mistake",
        "killed": "its process ended with exit code -9",
        "good": None,
    }
    assert values["good"] == [0, 1]


def end_of(process: int) -> None:
    """Wait until a worker is gone, as it is when the server that it was forked from has noticed."""
    while psutil.pid_exists(process):
        time.sleep(0.01)


@pytest.mark.skipif(platform.system() != "Linux", reason="workers are forked on Linux alone")
def test_a_worker_that_is_killed_within_a_message_harms_no_other() -> None:
    large = Task("large", "samples:killed_later", (b"x" * 10**7,))
    events = run_tasks([large, Task("good", "samples:counting", (2,))], workers=1, threads=1)
    first = next(events)
    assert isinstance(first, Yielded)
    end_of(first.value)
    assert list(events) == [
        Ended("large", "its process ended with exit code -9"),
        *[Yielded("good", 0), Yielded("good", 1), Ended("good", None)],
    ]


@pytest.mark.skipif(platform.system() != "Linux", reason="workers are forked on Linux alone")
def test_the_task_of_a_worker_that_is_killed_between_two_goes_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A process that dies after it was last looked at.
    monkeypatch.setattr("multiprocessing.process.BaseProcess.is_alive", lambda _: True)
    tasks = [
        Task("first", "samples:killed_later", (1,)),
        Task("next", "samples:counting", (1,)),
    ]
    values: dict[str, Any] = {}
    ends = {}
    for event in run_tasks(tasks, workers=1, threads=1):
        if isinstance(event, Yielded):
            values.setdefault(event.key, []).append(event.value)
            continue
        ends[event.key] = event.error
        if event.key == "first":
            end_of(values["first"][0])
    assert ends == {"first": None, "next": None}
    assert values["next"] == [0]


@pytest.mark.skipif(platform.system() != "Linux", reason="keeps no process to some cores")
def test_workers_may_keep_the_threads_of_a_process_alone_on_their_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The suite's own limit would make all numbers of threads one.
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    code = "import torch; print(torch.get_num_threads())"
    alone = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    values, _ = outcome([Task(str(n), "samples:cores", ()) for n in range(2)], threads=None)
    (first,), (second,) = values.values()
    assert first[0] == second[0] == int(alone.stdout)
    cores = psutil.Process().cpu_affinity()
    if len(cores) > 1:
        assert int(alone.stdout) > 1
        assert sorted(first[1] + second[1]) == cores
        assert abs(len(first[1]) - len(second[1])) < 2


SERVED = """
import psutil, threading, time
from losslab.study.engines.local import Task, run_tasks

def server():
    return next(child for child in psutil.Process().children() if 'forkserver' in ' '.join(child.cmdline()))

def interrupt():
    while True:
        try:
            server().send_signal(2)
            return
        except StopIteration:
            time.sleep(0.001)

threading.Thread(target=interrupt).start()
print(len(list(run_tasks([Task('0', 'samples:counting', (3,))], workers=1, threads=1))))
print(open(f'/proc/{server().pid}/status').read())
"""


@pytest.mark.skipif(platform.system() != "Linux", reason="workers are forked on Linux alone")
def test_the_server_that_workers_are_forked_from_has_one_thread_and_survives_ctrl_c() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVED], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.stderr == ""
    events, *lines = done.stdout.splitlines()
    assert events == "4"  # three values and the end
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert fields["Threads"].strip() == "1"
    # What others fork from it later is to know Ctrl-C.
    assert not int(fields["SigBlk"], 16) & 1 << (signal.SIGINT - 1)


def test_a_users_file_with_the_name_of_a_module_of_pythons_harms_no_worker(
    tmp_path: Path,
) -> None:
    """A script is never looked for in the folder that it is called from."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "queue.py").write_text("raise RuntimeError('a file of the user')")
    script = tmp_path / "script.py"
    script.write_text(
        "from losslab.study.engines.local import Task, run_tasks\n"
        "if __name__ == '__main__':\n"
        "    print(len(list(run_tasks([Task('0', 'samples:counting', (3,))], workers=1, threads=1))))\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.stdout == "4\n", done.stderr  # three values and the end


def test_operations_are_counted_whatever_the_device() -> None:
    *values, end = events_of(Task("operations", OPERATIONS, ([],)), "cuda")
    assert [value.value for value in values if isinstance(value, Yielded)] == [0]
    assert end == Ended("operations", None)


def test_closing_ends_the_workers() -> None:
    events = run_tasks([Task("waiting", "samples:waiting", ())], workers=1, threads=1)
    event = next(events)
    assert isinstance(event, Yielded)
    events.close()  # type: ignore[attr-defined]
    assert not psutil.pid_exists(event.value)


def test_threads_are_divided_as_asked() -> None:
    assert outcome([Task("threads", "samples:threads", ())], threads=2)[0] == {"threads": [2]}


@pytest.mark.skipif(platform.machine() not in X86, reason="measured on x86 alone")
def test_workers_keep_few_prepared_operations_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in CACHES:
        monkeypatch.delenv(name, raising=False)
    assert outcome([Task("caches", "samples:caches", ())])[0] == {
        "caches": [[str(CACHED_OPERATIONS)] * 2]
    }
    monkeypatch.setenv(CACHES[1], "7")
    assert outcome([Task("caches", "samples:caches", ())])[0] == {
        "caches": [[str(CACHED_OPERATIONS), "7"]]
    }


def test_no_tasks_need_no_workers() -> None:
    assert outcome([]) == ({}, {})


def one_run() -> Study:
    stage = {
        "name": "only",
        "base": {"data": "samples:tiny_data", "model": "lenet5", "optimizer": "adam"},
    }
    return Study.model_validate(
        {
            "name": "tiny",
            "title": "Tiny",
            "stages": [{**stage, "grid": [{"lr": 0.1, "batch": 9, "steps": 1}]}],
        }
    )


def test_a_run_that_leaves_nothing_in_its_folder_has_failed(tmp_path: Path) -> None:
    def elsewhere(tasks: list[Task], **_: int) -> Iterator[Ended]:
        yield from (Ended(task.key, None) for task in tasks)

    study = one_run()
    costs = {
        kind_of_run(run): Cost(((64, 1.0),), 1.0, 1.0, 1) for run in expand(study.stages[0])
    }
    folder = StudyFolder(tmp_path)
    folder.prepare()
    list(
        execute(
            plan_at(study, FULL, costs, 1, 1),
            folder,
            {},
            Engine("ray", elsewhere, lambda threads: 1),
        )
    )
    (result,) = read_results(folder).stages["only"]
    assert (result.status, result.message) == (
        "failed",
        "it left nothing here; does its machine share this folder?",
    )


def test_a_run_that_fails_before_it_goes_on_says_why(tmp_path: Path) -> None:
    def refusing(tasks: list[Task], **_: int) -> Iterator[Ended]:
        yield from (Ended(task.key, "other data") for task in tasks)

    study = one_run()
    (run,) = expand(study.stages[0])
    folder = StudyFolder(tmp_path)
    folder.prepare()
    folder.run_folder(run.id).create(run, {})
    folder.run_folder(run.id).set_status("interrupted")
    engine = Engine("ray", refusing, lambda threads: 1)
    costs = {kind_of_run(run): Cost(((64, 1.0),), 1.0, 1.0, 1)}
    list(execute(plan_at(study, FULL, costs, 1, 1), folder, {}, engine))
    status = folder.run_folder(run.id).status
    assert (status["status"], status["message"]) == ("failed", "other data")


def test_a_worker_at_the_end_of_its_task_ends_when_it_is_asked_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("losslab.study.engines.local.STOP_SECONDS", 5.0)
    events = run_tasks([Task("last", "samples:deaf_at_its_end", ())], workers=1, threads=1)
    assert isinstance(next(events), Yielded)
    (worker,) = multiprocessing.active_children()
    events.close()  # type: ignore[attr-defined]
    assert worker.exitcode == 0


def test_workers_share_the_devices_in_turn() -> None:
    tasks = [Task(str(n), "samples:its_device", ()) for n in range(3)]
    values, ends = outcome(tasks, workers=3, devices=("cuda:0", "cuda:1"))
    assert ends == dict.fromkeys("012")
    assert sorted(value for [value] in values.values()) == ["cuda:0", "cuda:0", "cuda:1"]


def test_a_worker_asks_torch_for_determinism() -> None:
    values, _ = outcome([Task("0", "samples:repeats_bits", ())], deterministic=True)
    assert values["0"] == [True]
