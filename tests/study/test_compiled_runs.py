"""Runs with a compiled step: the numbers of others, kept by their folders and by the plan of a study."""

import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from optimizer_samples import needs_compiler
from samples import tiny_data

from losslab.cli import run_command
from losslab.errors import Interrupted, InvalidInput
from losslab.files import read_json
from losslab.records import Record, Steps, deterministic
from losslab.spec import Run, Study, make_run
from losslab.study.calibrate import calibrate
from losslab.study.costs import Cost
from losslab.study.engines import Engine
from losslab.study.engines.local import Ended, Event, Task, Yielded
from losslab.study.execute import execute
from losslab.study.facts import planned_before, study_facts
from losslab.study.planning import plan
from losslab.study.store import RunFolder, StudyFolder
from losslab.study.worker import run_in_folder
from losslab.training.loop import train

pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"
)
DATA = tiny_data()
BASE = {
    "data": "samples:tiny_data",
    "model": "mlp(hidden=[600, 200])",
    "lr": 1e-4,
    "batch": 50,
    "epochs": 2,
    "weight_decay": 0.01,
}
METHODS = ["rmsprop", "adam"]


def run(optimizer: str = "nadam") -> Run:
    return make_run({**BASE, "optimizer": optimizer})


def losses(records: Iterable[Record]) -> list[float]:
    return [loss for record in records if isinstance(record, Steps) for loss in record.loss]


@needs_compiler
@pytest.mark.parametrize("optimizer", ["rmsprop", "rmsprop-nesterov", "adadelta", "nadam"])
def test_losses_are_those_of_a_step_that_is_not_compiled(optimizer: str) -> None:
    plain = losses(train(run(optimizer), dataset=DATA))
    fast = losses(train(run(optimizer), dataset=DATA, compile_step=True))
    assert len(plain) == 10
    # Of losses that begin at 1: what rounding makes of a step grows with the steps.
    assert fast == pytest.approx(plain, rel=1e-6, abs=3e-6)


@needs_compiler
@pytest.mark.parametrize("begun_compiled", [True, False])
def test_a_run_goes_on_as_it_began(tmp_path: Path, begun_compiled: bool) -> None:
    folder = RunFolder(tmp_path / "run")
    records = run_in_folder(run(), folder, compile_step=begun_compiled)
    first = [next(records), next(records)]
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Interrupted):
        list(records)
    assert folder.environment["compiled_step"] == begun_compiled
    rest = list(run_in_folder(run(), folder, compile_step=not begun_compiled))
    assert folder.environment["compiled_step"] == begun_compiled
    assert len(rest) > 1
    whole = train(run(), dataset=DATA, compile_step=begun_compiled)
    assert [*map(deterministic, folder.records())] == [*map(deterministic, whole)]
    assert folder.records()[: len(first)] == first


def study() -> Study:
    stage = {"name": "only", "base": BASE, "grid": [{"optimizer": METHODS}]}
    return Study.model_validate({"name": "mine", "title": "Mine", "stages": [stage]})


def engine() -> tuple[Engine, list[Task]]:
    """An engine that does nothing, and the tasks that it was given."""
    tasks: list[Task] = []

    def run_tasks(given: Iterable[Task], **_: int) -> Iterator[Event]:
        for task in given:
            tasks.append(task)
            cost = Cost(((50, 1.0),), 0.0, 0.0, 10**8)
            yield Yielded(task.key, {"contiguous": cost})
            yield Ended(task.key, None)

    return Engine("local", run_tasks, lambda threads: 1), tasks


@pytest.mark.parametrize("compile_step", [True, False])
def test_measuring_compiles_the_steps_of_the_methods_that_can_be(compile_step: bool) -> None:
    idle, tasks = engine()
    planned = plan(study(), workers=1, compile_step=compile_step, engine=idle)
    assert planned.compile_step == compile_step
    compiles = {task.arguments[0].optimizer.name: task.arguments[3] for task in tasks}
    assert compiles == {"rmsprop": compile_step, "adam": False}


def test_a_step_is_measured_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert next(calibrate(run(), None, compare=False))
    with pytest.raises(InvalidInput, match="no-such-compiler"):
        next(calibrate(run(), None, compare=False, compile_step=True))


@needs_compiler
def test_a_study_says_what_it_compiles_and_goes_on_so(tmp_path: Path) -> None:
    idle, _ = engine()
    planned = plan(study(), workers=1, compile_step=True, engine=idle)
    folder = StudyFolder(tmp_path)
    for _ in execute(planned, folder):
        pass
    assert folder.plan["compile_step"] is True
    assert planned_before(folder).compile_step is True
    environments = [folder.run_folder(spec.id).environment for spec in planned.runs]
    assert [entry["compiled_step"] for entry in environments] == [True, False]


def test_a_study_begun_by_an_earlier_version_compiles_nothing(tmp_path: Path) -> None:
    idle, _ = engine()
    facts = study_facts(plan(study(), workers=1, compile_step=True, engine=idle), [], {}, {})
    assert facts.pop("compile_step") is True
    folder = StudyFolder(tmp_path)
    folder.write_plan(facts)
    assert planned_before(folder).compile_step is False


@needs_compiler
def test_the_command_line_trains_with_a_compiled_step_where_it_is_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--model", "mlp", "--data", "samples:tiny_data", "--lr", "1e-4", "--steps", "3")
    command = ("train", *options, "--compile-step", "--optimizer")
    assert run_command([*command, "rmsprop", "--out", str(tmp_path / "run")]) == 0
    assert read_json(tmp_path / "run" / "run.json")["environment"]["compiled_step"] is True
    capsys.readouterr()
    assert run_command([*command, "adam"]) == 2
    assert capsys.readouterr().err == (
        "losslab: `compile_step`: Adam has no step to compile; leave it out\n"
    )
